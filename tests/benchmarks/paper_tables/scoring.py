"""Tests of trained runs, and the small JSON files that tables are made from."""

import functools
import itertools
import json
import pathlib
from typing import Any, NamedTuple, TypedDict, cast

import jax
import numpy as np
from etils import epath
from ml_collections import ConfigDict

from mhmr_jax.data import sources
from mhmr_jax.errors import InputError
from mhmr_jax.evaluation import baselines, means, results
from mhmr_jax.evaluation.intervals import SeedErrors
from mhmr_jax.evaluation.truth import Predicted
from mhmr_jax.files import atomic
from mhmr_jax.inference import sequences, trained, video_motion
from mhmr_jax.inference.trained import TrainedRun
from mhmr_jax.runtime import sharding
from tests.benchmarks import balancing_man, real_video
from tests.benchmarks.paper_tables import runs
from tests.benchmarks.paper_tables.runs import Options, Run

_MEAN_POSE, _CONSTANT = "mean pose", "best constant pose (oracle)"


class Result(TypedDict):
  """One run on one test, as its file has it.

  The errors are PA-MPJPE in mm: their sum and number in each sequence.
  """

  run: str
  label: str
  seed: int
  test: str
  size: str
  quick: bool
  command: str
  commit: str
  step: int
  config: dict[str, Any]
  data: str
  pa_mpjpe_mm: float
  baselines: dict[str, float]
  sums: list[float]
  counts: list[int]


class Scores(NamedTuple):
  """PA-MPJPE in mm: its sums and numbers by sequence, and constant poses' means."""

  data: str
  sums: list[float]
  counts: list[int]
  baselines: dict[str, float]


def path_of(run: Run, test: str, folder: pathlib.Path) -> pathlib.Path:
  """Where the result of a run on a test lies."""
  return folder / f"{run.name}.{test}.json"


def read(run: Run, test: str, folder: pathlib.Path) -> Result | None:
  """The result of a run on a test; None if there is none of this config.

  Raises:
    InputError: the file is damaged.
  """
  path = path_of(run, test, folder)
  if not path.exists():
    return None
  try:
    found = cast(Result, json.loads(path.read_text()))
    same = found["config"] == runs.portable_config(run.config)
  except (ValueError, KeyError, TypeError) as error:
    raise InputError(
      f"{path} is damaged: delete it, and run again to make it anew."
    ) from error
  return found if same else None


def score(run: Run, test: str, options: Options, folder: pathlib.Path) -> Result:
  """Tests a trained run and writes its result.

  Raises:
    InputError: the run or the test's data cannot be used.
  """
  opened = trained.restore(epath.Path(run.workdir))
  if test.startswith("real"):
    scores = _on_real_video(opened, "on" if test == "real_with_fit" else "off")
  elif test == "3dpw":
    scores = _on_clips(opened, run.config, "threedpw")
  else:
    config = ConfigDict(run.config.to_dict())
    config.data.variant = test
    scores = _on_clips(opened, config, "synthetic_clips")
  result = Result(
    run=run.entry.run,
    label=run.entry.label,
    seed=run.seed,
    test=test,
    size=options.size,
    quick=options.quick,
    command=runs.command(run, options),
    commit=runs.commit(),
    step=opened.step,
    config=runs.portable_config(run.config),
    data=scores.data,
    pa_mpjpe_mm=round(sum(scores.sums) / sum(scores.counts), 2),
    baselines=scores.baselines,
    sums=scores.sums,
    counts=scores.counts,
  )
  path = path_of(run, test, folder)
  atomic.make_folder(path.parent)
  atomic.write(path, _dumped(result))
  return result


def _dumped(result: Result) -> str:
  """The result as JSON, one key a line."""
  lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in result.items()]
  return "{\n" + ",\n".join(lines) + "\n}\n"


def of_same_truth(first: Result, second: Result) -> bool:
  """Whether two results are of the same sequences, so that they can be paired.

  The best constant pose, whose errors depend on the truth alone, tells: the same test
  clips have several names, by how many training clips are beside them.
  """
  oracle = [result["baselines"].get(_CONSTANT) for result in (first, second)]
  return first["counts"] == second["counts"] and oracle[0] == oracle[1]


def errors_of(found: list[Result]) -> SeedErrors:
  """The errors of several seeds, which were tested on the same sequences."""
  sums = np.array([result["sums"] for result in found], float)
  return SeedErrors(sums, np.array(found[0]["counts"], float))


def _on_clips(run: TrainedRun, config: ConfigDict, dataset: str) -> Scores:
  """Tests on stored clips, by their usual protocol."""
  protocol = results.choose_protocol(None, config, dataset)
  split = protocol.split if dataset == "threedpw" else "test"
  source = sources.open_source(config, split, dataset)
  clips = list(sequences.labels(source))
  mesh = sharding.make_mesh(jax.local_devices())
  scorer = results.make_scorer(config, protocol, clips, dataset, mesh)
  lengths = scorer.truth.lengths.tolist()
  predicted = list(sequences.predict(config, run.variables, source, lengths, mesh))
  joined = Predicted.of_bodies(
    np.concatenate([each.rotations for each in predicted]),
    np.concatenate([each.betas for each in predicted]),
  )
  errors = scorer.score(joined)
  sums, counts = means.totals(errors, scorer.truth.sequences, "pa_mpjpe_mm")
  if protocol.mean == "sequence":
    sums, counts = sums / np.maximum(counts, 1), np.minimum(counts, 1)
  constant = results.score_baselines(scorer, _mean_pose(run.config, config))
  named = {"mean_pose": _MEAN_POSE, "best_constant_pose": _CONSTANT}
  return Scores(
    data=str(results.data_facts(source, scorer.truth)["configuration"]),
    sums=np.round(sums, 2).tolist(),
    counts=counts.astype(int).tolist(),
    baselines={
      named[name]: round(cast(float, row["pa_mpjpe_mm"]), 2)
      for name, row in constant.items()
    },
  )


def _mean_pose(
  config: ConfigDict, local: ConfigDict
) -> tuple[np.ndarray, np.ndarray] | None:
  """The mean pose of a run's training clips, if they are on this machine."""
  own = ConfigDict(local.to_dict())
  own.data.variant = config.data.variant
  if not sources.training_is_here(own):
    return None
  opened = sources.open_training_clips(own)
  parts = opened.sources if isinstance(opened, sources.Mixture) else [opened]
  place = tuple(part.folder for part in parts)
  if place not in _mean_poses:
    labels = itertools.chain.from_iterable(map(sequences.labels, parts))
    _mean_poses[place] = baselines.mean_pose(labels)
  return _mean_poses[place]


# By the folders of the clips: all rows of a table have the same.
_mean_poses: dict[tuple[str, ...], tuple[np.ndarray, np.ndarray]] = {}


@functools.cache
def recording() -> balancing_man.Recording:
  """The development set of real video, fetched where it is missing.

  Raises:
    InputError: it cannot be fetched.
  """
  return balancing_man.fetch(
    pathlib.Path(str(balancing_man.CACHE.value)).expanduser().absolute()
  )


def _on_real_video(run: TrainedRun, fit: str) -> Scores:
  """Tests on the development set of real video; each view is a sequence."""
  filmed = recording()
  constants = real_video.measure_constants(filmed)
  sums = []
  for view in filmed.views:
    source = balancing_man.keypoint_sources(view)[balancing_man.GIVEN]
    scene = video_motion.Scene(fit=fit)
    (motion,) = video_motion.predict_video(
      view.video, source, run=run, people=[0], scene=scene
    )
    joints = motion.joints_camera[:, real_video.LIMBS]
    errors = real_video.errors_in(motion.frame_index, joints, filmed)
    sums.append(round(errors.pa_mpjpe, 2))
  return Scores(
    data="balancing man",
    sums=sums,
    counts=[1] * len(sums),
    baselines={
      "SMPL's rest pose": round(constants[real_video.REST].pa_mpjpe, 2),
      _CONSTANT: round(constants[real_video.CONSTANT].pa_mpjpe, 2),
    },
  )
