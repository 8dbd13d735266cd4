"""Scores trained models on held-out clips, and shows what they predict.

  python -m mhmr_jax.evaluate --workdir=DIR --dataset=synthetic_clips
  python -m mhmr_jax.evaluate --workdir=DIR,DIR --predictions=FILE --dataset=threedpw

Prints a table. For one workdir it writes `metrics.json`, `report.html` and
`overlay.mp4`; for several, or for the predictions of other methods (the layout of their
files is in `evaluation/predictions_file.py`), `comparison.html`, `.png` and `.json`.
Several processes (`process_flags`) predict the sequences together, and the first one
writes.
"""

import dataclasses
import itertools
import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from absl import flags
from etils import epath, epy
from ml_collections import ConfigDict
from tqdm import tqdm

from configs import flow_kp
from mhmr_jax.data import config_paths
from mhmr_jax.errors import InputError
from mhmr_jax.files import atomic
from mhmr_jax.runtime import process_flags, processes, program

# Imported at their first use: `--help` does without what takes seconds to import.
with epy.lazy_imports():
  import jax
  import numpy as np

  from mhmr_jax.body import smpl
  from mhmr_jax.data import sources
  from mhmr_jax.evaluation import (
    baselines,
    predictions_file,
    results,
    truth,
  )
  from mhmr_jax.inference import fitted_sequences, keypoint_fit, sequences, trained
  from mhmr_jax.runtime import sharding
  from mhmr_jax.visualize import breakdown, charts, comparison, gallery, report

if TYPE_CHECKING:
  from mhmr_jax.evaluation.frame_errors import Errors
  from mhmr_jax.evaluation.results import Results
  from mhmr_jax.evaluation.scores import Scorer
  from mhmr_jax.evaluation.truth import Predicted
  from mhmr_jax.inference.sequences import SequencePrediction
  from mhmr_jax.models.motion_hmr import Variables

_DATASET = flags.DEFINE_string(
  "dataset", None, f"The dataset to evaluate on: {', '.join(config_paths.NAMES)}."
)
_SPLIT = flags.DEFINE_string(
  "split",
  None,
  "The split of the dataset; by default test, and on 3DPW the protocol's own.",
)
_PROTOCOL = flags.DEFINE_string(
  "protocol",
  None,
  "Which joints and frames count, and how they are averaged: spin, hmmr or smpl24; by "
  "default spin if the config names its joint regressor, else smpl24.",
)
_PREDICTIONS = flags.DEFINE_list(
  "predictions",
  [],
  "Files with predictions of other methods, scored beside the workdirs or alone.",
)
_WITH_FIT = flags.DEFINE_boolean(
  "with_fit",
  False,
  "Whether the predicted bodies are fitted to the keypoints that the network is given.",
)
_CONFIG = program.define_config(config_paths.local_paths())


class Run(NamedTuple):
  """A trained model.

  Attributes:
    workdir: the work directory of its training.
    config: its config, with this machine's paths and the variant of the clips that are
      evaluated.
    variant: the variant of the clips that it was trained on.
    variables: the network's variables.
    step: the step of the checkpoint.
  """

  workdir: epath.Path
  config: ConfigDict
  variant: str
  variables: "Variables"
  step: int

  @classmethod
  def open(cls, workdir: epath.Path) -> "Run":
    """Reads the latest checkpoint and the config, with this machine's paths in it.

    Raises:
      InputError: the folder is no work directory, or has no checkpoint.
    """
    found, variables, step = trained.restore(workdir)
    config = config_paths.with_local_paths(found, _CONFIG.value)
    variant = found.data.get("variant", config.data.variant)
    return cls(workdir, config, variant, variables, step)


class Entrant(NamedTuple):
  """A run, the clips as its config names them, and the scorer with its body."""

  run: Run
  source: "sources.ClipSource"
  scorer: "Scorer"


class Task(NamedTuple):
  """Everything that is evaluated, on the same clips by the same protocol.

  Attributes:
    entrants: the runs; the first one's config chooses the clips and the protocol.
    from_files: the predictions of other methods.
    names: the names of the entrants and then of the files, for the table.
    scorer: for the files, with the first config's bodies.
    config: the config of the first run, or the default one.
    where: the dataset, the split and the version of the data.
    out: the folder of the results.
  """

  entrants: list[Entrant]
  from_files: "list[Predicted]"
  names: list[str]
  scorer: "Scorer"
  config: ConfigDict
  where: "results.Where"
  out: pathlib.Path


class Scored(NamedTuple):
  """The contents of `metrics.json`, and the errors of each clip behind them."""

  results: "Results"
  errors: "list[Errors]"


def main(argv: list[str]) -> None:
  """Reads the flags, predicts, scores, and writes the results."""
  del argv
  dataset = str(program.require(_DATASET))
  process_flags.connect()
  task = open_task(dataset)
  predictions = [predict(entrant) for entrant in task.entrants]
  processes.disconnect()
  if not processes.is_first():
    return
  if _WITH_FIT.value:
    pairs = zip(task.entrants, predictions, strict=True)
    predictions = [fit(entrant, own) for entrant, own in pairs]
  scored = dict(zip(task.names, score(task, predictions), strict=True))
  with atomic.together(task.out) as folder:
    if len(scored) == 1:
      write_metrics(scored[task.names[0]].results, folder)
    if len(scored) > 1 or task.from_files:
      rows = {name: row.results for name, row in scored.items()}
      write_comparison(rows, task, folder)
    else:
      write_report(task, predictions[0], scored[task.names[0]], folder)
    names = sorted(path.name for path in folder.iterdir())
  for name in names:
    print(task.out / name)


def open_task(dataset: str) -> Task:
  """Opens all that the flags name, before anything is computed.

  Raises:
    InputError: something is missing, damaged or does not belong together.
  """
  files = [pathlib.Path(name).expanduser().absolute() for name in _PREDICTIONS.value]
  runs = [Run.open(path) for path in _workdirs(required=not files)]
  # Predictions alone are scored on the default experiment's clips.
  config = (
    runs[0].config
    if runs
    else config_paths.with_local_paths(flow_kp.get_config(), _CONFIG.value)
  )
  protocol = results.choose_protocol(_PROTOCOL.value, config, dataset)
  split = _SPLIT.value or (protocol.split if dataset == "threedpw" else "test")
  # Files and folders come first: clips that are missing take long to make.
  stored = [predictions_file.load(path) for path in files]
  out = _out([run.workdir for run in runs], dataset)
  if processes.is_first():
    atomic.make_folder(out)
  source = sources.open_source(config, split, dataset)

  clips = list(sequences.labels(source))
  mesh = sharding.make_mesh(jax.local_devices())
  scorer = results.make_scorer(config, protocol, clips, dataset, mesh)
  from_files = [predictions_file.match(each, scorer) for each in stored]
  where = results.Where(
    dataset=dataset, split=split, data=results.data_facts(source, scorer.truth)
  )
  entrants = [Entrant(run, source, scorer) for run in runs[:1]]
  entrants += [_entrant(run, scorer, where) for run in runs[1:]]
  names = _names([run.workdir for run in runs] + files)
  if _WITH_FIT.value:
    names[: len(runs)] = [f"{name} with fit" for name in names[: len(runs)]]
  return Task(entrants, from_files, names, scorer, config, where, out)


def _entrant(run: Run, scorer: "Scorer", where: "results.Where") -> Entrant:
  """Opens the clips of a run that is not the first.

  Raises:
    InputError: they are other clips, on which the figures are not comparable.
  """
  dataset = where["dataset"]
  source = sources.open_source(run.config, where["split"], dataset)
  own = truth.Truth.of(list(sequences.labels(source)), dataset)
  first = scorer.truth
  if own.names != first.names or not np.array_equal(own.pose, first.pose):
    raise InputError(
      f"{run.workdir} evaluates on other clips than the first workdir: give runs "
      "whose configs make the same clips."
    )
  body = smpl.load(run.config.body.path or None)
  bodies = scorer.bodies._replace(neutral=body)
  return Entrant(run, source, dataclasses.replace(scorer, bodies=bodies))


def predict(entrant: Entrant) -> "list[SequencePrediction]":
  """Predicts all clips of an entrant; each of several hosts computes a part of them."""
  run, source, scorer = entrant
  lengths = scorer.truth.lengths.tolist()
  predicted = sequences.predict(run.config, run.variables, source, lengths, scorer.mesh)
  own = len(lengths[jax.process_index() :: jax.process_count()])
  silent = not processes.is_first()
  shown = tqdm(predicted, "Evaluating", own, unit="seq", disable=silent)
  return sequences.gather(list(shown), lengths)


def fit(
  entrant: Entrant, predictions: "Sequence[SequencePrediction]"
) -> "list[SequencePrediction]":
  """Fits an entrant's bodies to the keypoints that the network was given.

  Raises:
    InputError: the network is given none.
  """
  run, source, scorer = entrant
  if "keypoints" not in run.config.model.inputs:
    raise InputError(
      f"--with_fit: the network of {run.workdir} is given no keypoints to fit bodies "
      "to: leave --with_fit out."
    )
  clips = list(sequences.labels(source))
  body = keypoint_fit.load_body(scorer.bodies.neutral)
  return fitted_sequences.fit(body, clips, predictions, run.config.data.size)


def score(
  task: Task, predictions: "Sequence[Sequence[SequencePrediction]]"
) -> Iterator[Scored]:
  """Scores the entrants' predictions and those from files, beside the baselines."""
  mean_pose = _mean_pose(task.entrants[0].run) if task.entrants else None
  base = results.score_baselines(task.scorer, mean_pose)
  for entrant, of_entrant in zip(task.entrants, predictions, strict=True):
    joined = truth.Predicted.of_bodies(
      np.concatenate([p.rotations for p in of_entrant]),
      np.concatenate([p.betas for p in of_entrant]),
    )
    figures, errors = results.of_predicted(entrant.scorer, joined, base)
    body = pathlib.Path(entrant.run.config.body.path).name or "free"
    facts = results.RunFacts(step=entrant.run.step, body=body, fit=_WITH_FIT.value)
    yield Scored(results.Results(**figures, **facts, **task.where), errors)
  for predicted in task.from_files:
    figures, errors = results.of_predicted(task.scorer, predicted, base)
    yield Scored(results.Results(**figures, **task.where), errors)


def _mean_pose(run: Run) -> "tuple[np.ndarray, np.ndarray] | None":
  """The mean pose of a run's training clips; None if they are not on this machine."""
  config = ConfigDict(run.config.to_dict())
  config.data.variant = run.variant
  if not sources.training_is_here(config):
    print("There are no training clips on this machine: no mean pose to compare with.")
    return None
  training = sources.open_training_clips(config)
  parts = training.sources if isinstance(training, sources.Mixture) else [training]
  return baselines.mean_pose(
    itertools.chain.from_iterable(map(sequences.labels, parts))
  )


def write_metrics(scored: "Results", out: pathlib.Path) -> None:
  """Writes `metrics.json`."""
  atomic.write(out / "metrics.json", json.dumps(scored, indent=2) + "\n")


def write_report(
  task: Task,
  predictions: "Sequence[SequencePrediction]",
  scored: Scored,
  out: pathlib.Path,
) -> None:
  """Prints the scores of one run, and writes `report.html` and `overlay.mp4`."""
  run, source, scorer = task.entrants[0]
  found, errors = scored
  fitted = ", bodies fitted to the keypoints" if found["fit"] else ""
  print(f"{_facts(task)}, step {run.step:,}{fitted}")
  print(table(found))
  if found["ratio_to_mean_pose"] is not None:
    print(f"PA-MPJPE is {found['ratio_to_mean_pose']:.3f} of the mean pose's.")
  shown = gallery.Gallery(
    scorer.bodies, run.config, source, predictions, found["per_sequence"]
  )
  terms = [name for name, weight in run.config.loss.items() if weight]
  history = report.read_history(run.workdir / "metrics.jsonl")
  timelines = breakdown.choose_timelines(
    shown.order(), found["per_sequence"], scorer.counted_frames(), errors
  )
  page = report.render(found, history, shown.pictures(), timelines, terms)
  atomic.write(out / "report.html", page)
  shown.write_video(out / "overlay.mp4")


def write_comparison(
  rows: "Mapping[str, Results]", task: Task, out: pathlib.Path
) -> None:
  """Prints a table of several methods and the baselines; writes `comparison.*`."""
  first = next(iter(rows.values()))
  shown: comparison.Rows = {
    **rows,
    **{report.BASELINES[name]: row for name, row in first["baselines"].items()},
  }
  facts = _facts(task)
  path = out / "comparison"
  written: dict[pathlib.Path, str | bytes] = {
    path.with_suffix(".json"): json.dumps(rows, indent=2) + "\n",
    path.with_suffix(".html"): comparison.render(shown, facts),
    path.with_suffix(".png"): charts.png(comparison.draw(shown)),
  }
  for file, content in written.items():
    atomic.write(file, content)
  print(facts)
  print(aligned([("", comparison.header()), *comparison.table_rows(shown)]))


def _facts(task: Task) -> str:
  scorer, where = task.scorer, task.where
  return (
    f"{where['dataset']} {where['split']}, protocol {scorer.protocol.name}: "
    f"{scorer.counted.sum():,} frames of {len(scorer.truth.lengths)} clips"
  )


def table(scored: "Results") -> str:
  """The scores as aligned text."""
  header = ("", list(report.MEASURES.values()))
  return aligned([header, *report.score_rows(scored)])


def aligned(rows: list[tuple[str, list[str]]]) -> str:
  """Lays out rows of a name and cells as text in columns."""
  first = max(len(name) for name, _ in rows)
  widths = [max(len(row[i]) for _, row in rows) for i in range(len(rows[0][1]))]
  lines = [
    name.ljust(first)
    + "".join("  " + cell.rjust(w) for cell, w in zip(cells, widths, strict=True))
    for name, cells in rows
  ]
  return "\n".join(line.rstrip() for line in lines)


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
  """The last parts of the paths, numbered where they are the same."""
  names: list[str] = []
  for path in paths:
    name, count = path.stem if path.is_file() else path.name, 2
    while name in names:
      name, count = f"{path.name} ({count})", count + 1
    names.append(name)
  return names


if __name__ == "__main__":
  program.run(
    main, processes.leave, usual=("workdir", "dataset", "out", "predictions", "config")
  )
