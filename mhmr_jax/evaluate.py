"""Scores a trained model on held-out clips, and shows what it does.

  python -m mhmr_jax.evaluate --workdir=DIR --dataset=synthetic_clips
  python -m mhmr_jax.evaluate --workdir=DIR,DIR --predictions=FILE --dataset=threedpw

Prints a table. Several processes predict the sequences together (`process_flags`), and
the first one writes. Of one workdir it writes `metrics.json`, `report.html` and
`overlay.mp4`; of several, or of predictions from elsewhere (`predictions_file` says
how they are laid out), `comparison.html`, `.png` and `.json`.
"""

import contextlib
import dataclasses
import itertools
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import jax
import numpy as np
from absl import flags
from etils import epath
from ml_collections import ConfigDict, config_flags
from tqdm import tqdm

from configs import flow_kp
from mhmr_jax.body import smpl
from mhmr_jax.data import sources
from mhmr_jax.errors import InputError
from mhmr_jax.evaluation import baselines, predictions_file, results, summary
from mhmr_jax.evaluation.scores import Errors, Scorer
from mhmr_jax.evaluation.truth import Predicted, Truth
from mhmr_jax.inference import sequences, trained
from mhmr_jax.inference.sequences import SequencePrediction
from mhmr_jax.models.motion_hmr import Variables
from mhmr_jax.runtime import process_flags, processes, program, sharding
from mhmr_jax.visualize import breakdown, comparison, gallery, report

_DATASET = flags.DEFINE_string(
  "dataset", None, f"What to evaluate on: {', '.join(sources.NAMES)}."
)
_SPLIT = flags.DEFINE_string(
  "split", None, "Split of the dataset; by default the one that the protocol names."
)
_PROTOCOL = flags.DEFINE_string(
  "protocol",
  None,
  "Joints, frames, root and mean: spin (the default where its regressor is named), "
  "hmmr or smpl24.",
)
_PREDICTIONS = flags.DEFINE_list(
  "predictions", [], "Files of predictions to score beside the workdirs, or alone."
)
_CONFIG = config_flags.DEFINE_config_dict(
  "config", sources.local_paths(), **program.REDEFINED_FLAG
)

Results = dict[str, Any]


class Run(NamedTuple):
  """A trained model."""

  workdir: epath.Path
  config: ConfigDict
  variables: Variables
  step: int

  @classmethod
  def open(cls, workdir: epath.Path) -> "Run":
    """Its latest checkpoint, with this machine's paths; InputError if it has none."""
    config, variables, step = trained.restore(workdir)
    config = sources.with_local_paths(config, _CONFIG.value)
    return cls(workdir, config, variables, step)


def predict_run(
  run: Run, source: sources.ClipSource, scorer: Scorer
) -> list[SequencePrediction]:
  """What a model says of the scorer's clips; of several hosts each predicts a part."""
  lengths = scorer.truth.lengths.tolist()
  predicted = sequences.predict(run.config, run.variables, source, lengths, scorer.mesh)
  own = len(lengths[jax.process_index() :: jax.process_count()])
  silent = not processes.is_first()
  shown = tqdm(predicted, "Evaluating", own, unit="seq", disable=silent)
  return sequences.gather(list(shown), lengths)


def score_run(
  run: Run,
  predictions: list[SequencePrediction],
  scorer: Scorer,
  base: dict[str, summary.Means],
) -> tuple[Results, list[Errors]]:
  """Results of what a model predicted of the scorer's clips, and its errors."""
  joined = Predicted.of_bodies(
    np.concatenate([p.rotations for p in predictions]),
    np.concatenate([p.betas for p in predictions]),
  )
  body = pathlib.Path(run.config.body.path).name or "free"
  facts = {"step": run.step, "body": body}
  figures, errors = results.of_predicted(scorer, joined, base)
  return {**figures, **facts}, errors


def for_run(
  run: Run, scorer: Scorer, split: str, dataset: str
) -> tuple[sources.ClipSource, Scorer]:
  """The clips as another run's config has them, and the scorer with its body.

  Raises:
    InputError: they are other clips, whose figures do not compare.
  """
  source = sources.open_source(run.config, split, dataset)
  truth = Truth.of(list(sequences.labels(source)), dataset)
  mine = scorer.truth
  if truth.names != mine.names or not np.array_equal(truth.pose, mine.pose):
    raise InputError(
      f"{run.workdir} evaluates on other clips than the first workdir: give runs "
      "whose configs make the same clips."
    )
  body = smpl.load(run.config.body.path or None)
  return source, dataclasses.replace(
    scorer, bodies=scorer.bodies._replace(neutral=body)
  )


def table(scored: Results) -> str:
  """The scores as aligned text."""
  header = ("", list(report.MEASURES.values()))
  return aligned([header, *report.score_rows(scored)])


def aligned(rows: list[tuple[str, list[str]]]) -> str:
  """Rows of a name and cells as text in columns."""
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


def write_report(
  run: Run,
  source: sources.ClipSource,
  scorer: Scorer,
  scored: Results,
  errors: list[Errors],
  predictions: list[SequencePrediction],
  out: pathlib.Path,
) -> None:
  """Writes `report.html` and `overlay.mp4` of one run."""
  shown = gallery.Gallery(
    scorer.bodies, run.config, source, predictions, scored["per_sequence"]
  )
  terms = [name for name, weight in run.config.loss.items() if weight]
  history = report.read_history(run.workdir / "metrics.jsonl")
  timelines = breakdown.choose_timelines(
    shown.order(), scored["per_sequence"], scorer.counted_frames(), errors
  )
  page = report.render(scored, history, shown.pictures(), timelines, terms)
  write_atomically(out / "report.html", page)
  shown.write_video(out / "overlay.mp4")
  for name in ("report.html", "overlay.mp4"):
    print(out / name)


def write_comparison(rows: dict[str, Results], facts: str, out: pathlib.Path) -> None:
  """Writes and prints the table of several, the baselines last."""
  first = next(iter(rows.values()))
  shown = {
    **rows,
    **{report.BASELINES[name]: row for name, row in first["baselines"].items()},
  }
  write_atomically(out / "comparison.json", json.dumps(rows, indent=2) + "\n")
  write_atomically(out / "comparison.html", comparison.render(shown, facts))
  plot = cv2.cvtColor(comparison.draw(shown), cv2.COLOR_RGB2BGR)
  if not cv2.imwrite(str(out / "comparison.png"), plot):
    raise InputError(f"{out / 'comparison.png'} cannot be written: name another --out.")
  header = ("", [*comparison.LABELS.values(), "Frames"])
  print(facts)
  print(aligned([header, *comparison.table_rows(shown)]))
  for suffix in ("json", "html", "png"):
    print(out / f"comparison.{suffix}")


def _workdirs(required: bool) -> list[epath.Path]:
  if program.WORKDIR.value is None and not required:
    return []
  names = str(program.require(program.WORKDIR)).split(",")
  return [program.any_path(name) for name in names]


def _out(workdirs: list[epath.Path], dataset: str) -> pathlib.Path:
  # Pictures and videos are not written into a bucket.
  if program.OUT.value is None and workdirs and "://" not in str(workdirs[0]):
    return pathlib.Path(workdirs[0]) / "evaluation" / dataset
  return program.path_of(program.OUT)


def _names(paths: Sequence[epath.Path | pathlib.Path]) -> list[str]:
  """What a table calls them: their last parts, numbered where these are the same."""
  names: list[str] = []
  for path in paths:
    name, count = path.stem if path.is_file() else path.name, 2
    while name in names:
      name, count = f"{path.name} ({count})", count + 1
    names.append(name)
  return names


def _mean_pose(config: ConfigDict) -> tuple[np.ndarray, np.ndarray] | None:
  """Of the training split; None where it would have to be made or found first."""
  if not sources.training_is_here(config):
    print("The training clips are not on this machine: no mean pose to compare with.")
    return None
  training = sources.open_training(config)
  parts = training.sources if isinstance(training, sources.Mixture) else [training]
  return baselines.mean_pose(
    itertools.chain.from_iterable(map(sequences.labels, parts))
  )


def main(argv: list[str]) -> None:
  """Reads the flags, evaluates, and writes the results."""
  del argv
  dataset = str(program.require(_DATASET))
  process_flags.connect()
  files = [pathlib.Path(name).expanduser().absolute() for name in _PREDICTIONS.value]
  runs = [Run.open(path) for path in _workdirs(required=not files)]
  names = _names([run.workdir for run in runs] + files)
  # Predictions alone are scored on the default experiment's clips.
  config = (
    runs[0].config
    if runs
    else sources.with_local_paths(flow_kp.get_config(), _CONFIG.value)
  )
  protocol = results.choose_protocol(_PROTOCOL.value, config, dataset)
  split = _SPLIT.value or (protocol.split if dataset == "threedpw" else "test")
  source = sources.open_source(config, split, dataset)
  out = _out([run.workdir for run in runs], dataset)
  if processes.is_first():
    make_folder(out)

  clips = list(sequences.labels(source))
  mesh = sharding.make_mesh(jax.local_devices())
  scorer = results.make_scorer(config, protocol, clips, dataset, mesh)
  from_files = [predictions_file.read(path, scorer) for path in files]
  own = [(source, scorer)] + [for_run(run, scorer, split, dataset) for run in runs[1:]]
  predicted = [predict_run(run, *its) for run, its in zip(runs, own, strict=False)]
  processes.disconnect()
  if not processes.is_first():
    return

  base = results.score_baselines(scorer, _mean_pose(config) if runs else None)
  rows: dict[str, Results] = {}
  data = results.data_facts(source, scorer.truth)
  where = {"dataset": dataset, "split": split, "data": data}
  for name, run, sequence, (_, its) in zip(names, runs, predicted, own, strict=False):
    scored, errors = score_run(run, sequence, its, base)
    rows[name] = scored | where
  for name, given in zip(names[len(runs) :], from_files, strict=True):
    rows[name] = results.of_predicted(scorer, given, base)[0] | where

  facts = (
    f"{dataset} {split}, protocol {protocol.name}: {scorer.counted.sum():,} frames of "
    f"{len(clips)} clips"
  )
  if len(rows) == 1:
    (only,) = rows.values()
    write_atomically(out / "metrics.json", json.dumps(only, indent=2) + "\n")
    print(out / "metrics.json")
  if len(rows) > 1 or files:
    write_comparison(rows, facts, out)
    return
  print(f"{facts}, step {only['step']:,}")
  print(table(only))
  if only["ratio_to_mean_pose"] is not None:
    print(f"PA-MPJPE is {only['ratio_to_mean_pose']:.3f} of the mean pose's.")
  write_report(runs[0], source, scorer, only, errors, predicted[0], out)


if __name__ == "__main__":
  program.run(main, processes.leave)
