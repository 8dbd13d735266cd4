"""Scores a trained model on held-out clips, and shows what it does.

  python -m mhmr_jax.evaluate --workdir=DIR --dataset=synthetic_clips

Prints a table; writes `metrics.json`, `report.html` and `overlay.mp4`.
"""

import contextlib
import json
import os
import pathlib
from typing import Any, cast

import numpy as np
from absl import flags
from jax.sharding import Mesh
from tqdm import tqdm

from mhmr_jax import baselines, checkpoints, program, scores, sequences, sharding
from mhmr_jax.batch import Clip
from mhmr_jax.body import smpl
from mhmr_jax.data import sources
from mhmr_jax.errors import InputError
from mhmr_jax.sequences import SequencePrediction
from mhmr_jax.visualize import gallery, report

_DATASET = flags.DEFINE_string(
  "dataset", None, f"What to evaluate on: {', '.join(sources.NAMES)}."
)
_SPLIT = flags.DEFINE_string("split", "test", "Split of the dataset.")
_PROTOCOL = flags.DEFINE_string("protocol", "smpl24", "Joints, root and mean: smpl24.")


def check_protocol(protocol: str) -> None:
  """Raises InputError for a protocol that cannot be computed."""
  if protocol in ("spin", "hmmr"):
    raise InputError(
      f"--protocol={protocol} scores joints that a regressor file takes from the "
      "vertices, for 3DPW alone: use --protocol=smpl24."
    )
  if protocol != "smpl24":
    raise InputError(f"There is no protocol {protocol!r}: use --protocol=smpl24.")


def evaluate(
  body: smpl.SmplModel,
  predictions: list[SequencePrediction],
  clips: list[Clip],
  mean_pose: tuple[np.ndarray, np.ndarray],
  mesh: Mesh,
) -> dict[str, Any]:
  """Scores the model and both baselines on the same frames.

  Args:
    body: of predictions and labels.
    predictions: in the order of `clips`.
    clips: the labels.
    mean_pose: rotations and betas of the baseline.
    mesh: the frames are divided over it.

  Returns:
    The scores of `metrics.json`, without the run's and the dataset's names.
  """
  truth = scores.Truth.of(clips)
  if not truth.valid.any():
    raise InputError("No frame of that split is valid: there is nothing to score.")
  rotations = np.concatenate([p.rotations for p in predictions])
  betas = np.concatenate([p.betas for p in predictions])
  ours = scores.score(body, rotations, betas, truth, mesh)
  still_rotations = np.broadcast_to(mean_pose[0], rotations.shape)
  still_betas = np.broadcast_to(mean_pose[1], betas.shape)
  still = scores.score(body, still_rotations, still_betas, truth, mesh)
  rows = {
    "mean_pose": scores.mean_per_frame(still),
    "best_constant_pose": scores.mean_per_frame(scores.score_oracle(truth)),
  }
  overall = scores.mean_per_frame(ours)
  per_sequence = [
    {
      "sequence": clip["sequence"],
      "num_frames": len(errors["pa_mpjpe_mm"]),
      **scores.mean_per_frame([errors]),
    }
    for clip, errors in zip(clips, ours, strict=True)
  ]
  return {
    **overall,
    "num_frames": int(truth.valid.sum()),
    "root": scores.ROOT,
    "ratio_to_mean_pose": _ratio(overall, rows["mean_pose"]),
    "baselines": rows,
    "per_sequence": per_sequence,
  }


def _ratio(ours: dict[str, float | None], base: dict[str, float | None]) -> float:
  return cast(float, ours["pa_mpjpe_mm"]) / cast(float, base["pa_mpjpe_mm"])


def table(results: dict[str, Any]) -> str:
  """The scores as aligned text."""
  rows = [("", list(report.MEASURES.values())), *report.score_rows(results)]
  first = max(len(name) for name, _ in rows)
  widths = [max(len(row[i]) for _, row in rows) for i in range(len(rows[0][1]))]
  lines = [
    name.ljust(first)
    + "".join("  " + cell.rjust(w) for cell, w in zip(cells, widths, strict=True))
    for name, cells in rows
  ]
  return "\n".join(line.rstrip() for line in lines)


def write_atomically(path: pathlib.Path, text: str) -> None:
  """Writes the file whole or not at all; InputError where that is impossible."""
  partial = path.with_name(path.name + ".partial")
  try:
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
  except OSError as error:
    with contextlib.suppress(OSError):
      partial.unlink(missing_ok=True)
    raise _not_writable(path, error) from error


def make_folder(path: pathlib.Path) -> None:
  """Makes the folder, so that results that cannot be kept are not computed first."""
  try:
    path.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise _not_writable(path, error) from error


def _not_writable(path: pathlib.Path, error: OSError) -> InputError:
  return InputError(
    f"{path} cannot be written ({error.strerror}): name another folder by --out."
  )


def main(argv: list[str]) -> None:
  """Reads the flags, evaluates, and writes the results."""
  del argv
  workdir = program.path_of(program.WORKDIR)
  program.require(_DATASET)
  check_protocol(_PROTOCOL.value)
  dataset = str(_DATASET.value)
  out = workdir / "evaluation" / dataset
  if program.OUT.value is not None:
    out = program.path_of(program.OUT)
  config, variables, step = checkpoints.restore_for_inference(workdir)
  history = report.read_history(workdir / "metrics.jsonl")
  source = sources.open_source(config, _SPLIT.value, dataset)
  training = sources.open_source(config, "train")
  make_folder(out)
  body = smpl.load(config.body.path or None)
  mesh = sharding.make_mesh()

  clips = list(sequences.labels(source))
  lengths = [len(clip["valid"]) for clip in clips]
  predicted = sequences.predict(config, variables, source, lengths, mesh)
  predictions = list(tqdm(predicted, "Evaluating", len(source), unit="seq"))
  mean_pose = baselines.mean_pose(sequences.labels(training))
  results = evaluate(body, predictions, clips, mean_pose, mesh)
  results |= {
    "protocol": _PROTOCOL.value,
    "dataset": dataset,
    "split": _SPLIT.value,
    "step": step,
    "body": pathlib.Path(config.body.path).name or "free",
  }
  write_atomically(out / "metrics.json", json.dumps(results, indent=2) + "\n")
  print(
    f"{results['dataset']} {results['split']}, protocol {results['protocol']}: "
    f"{results['num_frames']:,} frames of {len(clips)} sequences, step {step:,}"
  )
  print(table(results))
  print(f"PA-MPJPE is {results['ratio_to_mean_pose']:.3f} of the mean pose's.")

  shown = gallery.Gallery(body, config, source, predictions, results["per_sequence"])
  terms = [name for name, weight in config.loss.items() if weight]
  page = report.render(results, history, shown.pictures(), terms)
  write_atomically(out / "report.html", page)
  shown.write_video(out / "overlay.mp4")
  for name in ("metrics.json", "report.html", "overlay.mp4"):
    print(out / name)


if __name__ == "__main__":
  program.run(main)
