"""Runs a model along whole sequences, chunk after chunk."""

import functools
from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float
from ml_collections import ConfigDict

from mhmr_jax import sharding, train_step
from mhmr_jax.batch import Clip, Prediction
from mhmr_jax.data import pipeline, sources
from mhmr_jax.models import motion_hmr
from mhmr_jax.train_step import Variables

# Sequences side by side on each device.
_LANES = 8


class SequencePrediction(NamedTuple):
  """What the model said of one whole sequence, and in which windows."""

  rotations: Float[np.ndarray, "time 24 3 3"]
  betas: Float[np.ndarray, "time 10"]
  camera: Float[np.ndarray, "time 3"]
  box: Float[np.ndarray, "time 4"]  # Image pixels.
  keypoints: Float[np.ndarray, "time 17 3"] | None  # As given, in crop pixels.


def predict(
  config: ConfigDict,
  variables: Variables,
  source: sources.ClipSource,
  lengths: Sequence[int],
  mesh: Mesh,
) -> Iterator[SequencePrediction]:
  """Predicts whole sequences, the LSTM's state carried from chunk to chunk.

  The next sequences are loaded while the devices work on these.

  Args:
    config: of the training run.
    variables: of the model.
    source: the sequences.
    lengths: frames of each sequence.
    mesh: sequences side by side are divided over it.

  Yields:
    The sequences in the source's order.
  """
  model = motion_hmr.from_config(config.model, config.data.size)
  split, whole = sharding.batched(mesh), sharding.replicated(mesh)
  step = jax.jit(
    functools.partial(train_step.eval_step, model=model),
    in_shardings=(whole, split, split),
    out_shardings=split,
  )
  variables = jax.device_put(variables, whole)
  lanes = min(_LANES, -(-len(source) // mesh.size)) * mesh.size
  pending: Iterator[SequencePrediction] = iter(())
  for group in pipeline.evaluation_groups(source, config, lanes):
    carry = jax.device_put(model.initial_carry(lanes), split)
    outputs = []
    for chunk in group:
      inputs = {key: chunk.batch[key] for key in (*config.model.inputs, "valid")}
      prediction, carry = step(variables, sharding.global_batch(inputs, mesh), carry)
      outputs.append(prediction)
    yield from pending
    pending = _joined(group, outputs, lengths)
  yield from pending


def _joined(
  group: list[pipeline.Chunk], outputs: list[Prediction], lengths: Sequence[int]
) -> Iterator[SequencePrediction]:
  """Joins the chunks of each lane; waits for the devices."""
  joined: dict[str, np.ndarray] = jax.tree.map(
    lambda *leaves: np.concatenate(leaves, axis=1),
    *[cast(dict[str, np.ndarray], jax.device_get(output)) for output in outputs],
  )
  window = group[0].batch["valid"].shape[1]
  boxes = np.repeat(np.stack([c.boxes for c in group], axis=1), window, axis=1)
  keypoints = None
  if "keypoints" in group[0].batch:
    keypoints = np.concatenate([c.batch["keypoints"] for c in group], axis=1)
  for lane, clip in enumerate(group[0].clips):
    if clip < 0:
      continue
    frames = (lane, slice(lengths[clip]))
    yield SequencePrediction(
      rotations=joined["rotations"][frames],
      betas=joined["betas"][frames],
      camera=joined["camera"][frames],
      box=boxes[frames],
      keypoints=None if keypoints is None else keypoints[frames],
    )


def labels(source: sources.ClipSource) -> Iterator[Clip]:
  """The clips of a split without their images, in order."""
  for index in range(len(source)):
    clip = {
      key: value
      for key, value in source[index].items()
      if key not in ("frames", "flow", "mask")
    }
    yield cast(Clip, clip)
