"""The contents of `metrics.json`: all figures of one model or file of predictions."""

import pathlib
from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from absl import logging
from jax.sharding import Mesh
from jaxtyping import Float
from ml_collections import ConfigDict

from mhmr_jax.body import regressor_files
from mhmr_jax.body.gendered import Bodies
from mhmr_jax.data import sources
from mhmr_jax.errors import InputError
from mhmr_jax.evaluation import intervals, means, protocols
from mhmr_jax.evaluation.frame_errors import Errors
from mhmr_jax.evaluation.means import Means
from mhmr_jax.evaluation.scores import Scorer
from mhmr_jax.evaluation.truth import Predicted, Truth
from mhmr_jax.schema import Clip

_MEANS = {
  "frame": "over all frames",
  "sequence": "over each sequence's frames, then over sequences",
}
# The usual file names of the regressors.
_FILES = {"h36m": "J_regressor_h36m", "cocoplus": "cocoplus_regressor"}

Baselines = dict[str, Means]


class DataFacts(TypedDict):
  """Which version of which data was scored."""

  builder: str
  configuration: str
  version: str
  num_clips: int
  num_frames: int


class Figures(Means):
  """The figures of one set of predictions, and what was scored."""

  num_frames: int
  num_missing_frames: int
  num_sequences: int
  protocol: str
  regressor: str | None
  frame_filter: str
  root: str
  mean: str
  intervals: intervals.Intervals
  ratio_to_mean_pose: float | None
  baselines: Baselines
  per_joint: list[means.JointMeans]
  per_sequence: list[means.ClipMeans]


class RunFacts(TypedDict, total=False):
  """The checkpoint and the body of a run; predictions from a file have neither."""

  step: int
  body: str
  fit: bool  # Whether the bodies were fitted to the keypoints after the network.


class Where(TypedDict):
  """The data that was scored."""

  dataset: str
  split: str
  data: DataFacts


class Results(Figures, RunFacts, Where):
  """Everything in `metrics.json`."""


def choose_protocol(
  name: str | None, config: ConfigDict, dataset: str
) -> protocols.Protocol:
  """The protocol of that name; without a name, spin if its regressor is configured.

  Raises:
    InputError: there is no such protocol, or its regressor is not configured.
  """
  if name is None:
    found = bool(_regressor_path(config, "h36m"))
    if not found and dataset == "threedpw":
      logging.warning(
        "No joint regressor is named by config.body.h36m_regressor: protocol smpl24 "
        "is used, whose figures are not those of papers that follow SPIN."
      )
    return protocols.SPIN if found else protocols.SMPL24
  protocol = protocols.get(name)
  if protocol.regressor and not _regressor_path(config, protocol.regressor):
    raise InputError(
      f"--protocol={name} takes joints from the vertices: name the regressor's file, "
      f"{_FILES[protocol.regressor]}, by --config.body.{protocol.regressor}_regressor, "
      "or use --protocol=smpl24."
    )
  return protocol


def _regressor_path(config: ConfigDict, kind: str) -> str:
  return str(config.body.get(f"{kind}_regressor", ""))


def make_scorer(
  config: ConfigDict,
  protocol: protocols.Protocol,
  clips: Sequence[Clip],
  dataset: str,
  mesh: Mesh,
) -> Scorer:
  """Reads the bodies and the regressor that a config names.

  Raises:
    InputError: there are no clips, or a file is missing or unusable.
  """
  bodies = Bodies.load(
    config.body.path, config.body.get("male", ""), config.body.get("female", "")
  )
  regressor = None
  if protocol.regressor:
    path = _regressor_path(config, protocol.regressor)
    regressor = regressor_files.read(path, protocol.regressor, bodies.neutral)
  return Scorer(protocol, regressor, bodies, Truth.of(clips, dataset), mesh)


def score_baselines(
  scorer: Scorer,
  mean_pose: tuple[Float[np.ndarray, "24 3 3"], Float[np.ndarray, "10"]] | None,
) -> Baselines:
  """The figures of constant predictions, on the frames that count.

  Args:
    scorer: the scorer of the clips.
    mean_pose: rotations and betas of the training split's mean; None to leave that
      baseline out.
  """
  errors = {"best_constant_pose": scorer.score_oracle()}
  if mean_pose is not None:
    still = scorer.score(Predicted.constant(*mean_pose, scorer.truth.num_frames))
    errors = {"mean_pose": still, **errors}
  return {name: _means(scorer, of_name) for name, of_name in errors.items()}


def data_facts(source: sources.ClipSource, truth: Truth) -> DataFacts:
  """Names the data by the dataset's folder, without the root of all datasets."""
  name, *configuration, version = pathlib.Path(source.folder).parts[-3:]
  return DataFacts(
    builder=name,
    configuration="/".join(configuration),
    version=version,
    num_clips=len(truth.lengths),
    num_frames=truth.num_frames,
  )


def of_predicted(
  scorer: Scorer, predicted: Predicted, baselines: Baselines
) -> tuple[Figures, list[Errors]]:
  """Scores predictions: all figures, and the errors of each clip behind them.

  Raises:
    InputError: no frame that counts has a prediction.
  """
  used = scorer.counted & predicted.present
  if not used.any():
    raise InputError(
      "The predictions have none of the frames that the protocol counts: name "
      "sequences and frames as the dataset does."
    )
  truth, protocol = scorer.truth, scorer.protocol
  errors = scorer.score(predicted)
  overall = _means(scorer, errors)
  mean_pose = (
    baselines["mean_pose"]["pa_mpjpe_mm"] if "mean_pose" in baselines else None
  )
  pa_mpjpe = overall["pa_mpjpe_mm"]
  figures = Figures(
    **overall,
    num_frames=int(used.sum()),
    num_missing_frames=int((scorer.counted & ~predicted.present).sum()),
    num_sequences=len(set(truth.sequences)),
    protocol=protocol.name,
    regressor=protocol.regressor or None,
    frame_filter=protocol.frames,
    root=protocol.root,
    mean=_MEANS[protocol.mean],
    intervals=intervals.bootstrap(errors, truth.sequences, protocol),
    ratio_to_mean_pose=pa_mpjpe / mean_pose if pa_mpjpe and mean_pose else None,
    baselines=baselines,
    per_joint=means.per_joint(errors, truth.sequences, protocol),
    per_sequence=means.per_clip(errors, truth.names, protocol),
  )
  return figures, errors


def _means(scorer: Scorer, errors: Sequence[Errors]) -> Means:
  return means.overall(errors, scorer.truth.sequences, scorer.protocol)
