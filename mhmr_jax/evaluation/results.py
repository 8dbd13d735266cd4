"""What `metrics.json` says of one model or one file of predictions."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging
from jax.sharding import Mesh
from jaxtyping import Float
from ml_collections import ConfigDict

from mhmr_jax.body import regressor_files
from mhmr_jax.body.gendered import Bodies
from mhmr_jax.data import sources
from mhmr_jax.errors import InputError
from mhmr_jax.evaluation import protocols, scores, summary
from mhmr_jax.evaluation.truth import Predicted, Truth
from mhmr_jax.schema import Clip

_MEANS = {
  "frame": "over all frames",
  "sequence": "over each sequence's frames, then over sequences",
}
# Regressors' files, and the keys that name them.
_FILES = {"h36m": "J_regressor_h36m", "cocoplus": "cocoplus_regressor"}


def choose_protocol(
  name: str | None, config: ConfigDict, dataset: str
) -> protocols.Protocol:
  """The protocol of that name; without one, spin where its regressor is named.

  Raises:
    InputError: there is no such protocol, or its regressor is not named.
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
) -> scores.Scorer:
  """Reads the bodies and the regressor that a config names; InputError if it cannot."""
  bodies = Bodies.load(
    config.body.path, config.body.get("male", ""), config.body.get("female", "")
  )
  regressor = None
  if protocol.regressor:
    path = _regressor_path(config, protocol.regressor)
    regressor = regressor_files.read(path, protocol.regressor, bodies.neutral)
  truth = Truth.of(clips, dataset)
  return scores.Scorer(protocol, regressor, bodies, truth, mesh)


def score_baselines(
  scorer: scores.Scorer,
  mean_pose: tuple[Float[np.ndarray, "24 3 3"], Float[np.ndarray, "10"]] | None,
) -> dict[str, summary.Means]:
  """The figures of what knows nothing of a frame, on the frames that count."""
  errors = {"best_constant_pose": scorer.score_oracle()}
  if mean_pose is not None:
    still = scorer.score(Predicted.constant(*mean_pose, len(scorer.truth.valid)))
    errors = {"mean_pose": still, **errors}
  return {name: _means(scorer, of_name) for name, of_name in errors.items()}


def data_facts(source: sources.ClipSource, truth: Truth) -> dict[str, Any]:
  """Which data the figures are of: as a dataset's folder names it, without its root."""
  name, *configuration, version = pathlib.Path(source.folder).parts[-3:]
  return {
    "builder": name,
    "configuration": "/".join(configuration),
    "version": version,
    "num_clips": len(truth.lengths),
    "num_frames": int(truth.lengths.sum()),
  }


def of_predicted(
  scorer: scores.Scorer, predicted: Predicted, baselines: Mapping[str, summary.Means]
) -> tuple[dict[str, Any], list[scores.Errors]]:
  """All figures of one set of predictions, and the errors that they are of.

  Raises:
    InputError: no frame that counts is predicted.
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
  mean_pose = baselines.get("mean_pose", {}).get("pa_mpjpe_mm")
  ours = overall["pa_mpjpe_mm"]
  figures = {
    **overall,
    "num_frames": int(used.sum()),
    "num_missing_frames": int((scorer.counted & ~predicted.present).sum()),
    "num_sequences": len(set(truth.sequences)),
    "protocol": protocol.name,
    "regressor": protocol.regressor or None,
    "frame_filter": protocol.frames,
    "root": protocol.root,
    "mean": _MEANS[protocol.mean],
    "intervals": summary.intervals(errors, truth.sequences, protocol),
    "ratio_to_mean_pose": ours / mean_pose if ours and mean_pose else None,
    "baselines": dict(baselines),
    "per_joint": summary.per_joint(errors, truth.sequences, protocol),
    "per_sequence": summary.per_clip(errors, truth.names, protocol),
  }
  return figures, errors


def _means(scorer: scores.Scorer, errors: Sequence[scores.Errors]) -> summary.Means:
  return summary.means(errors, scorer.truth.sequences, scorer.protocol)
