"""Runs a model along whole sequences, chunk after chunk."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float
from ml_collections import ConfigDict

from mhmr_jax import sharding, steps
from mhmr_jax.batch import Clip, Prediction
from mhmr_jax.data import pipeline, sources
from mhmr_jax.flow import input_step
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

  The next chunk is loaded while the devices work on this one; of past ones only what
  is yielded is kept.

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
  step = steps.make_eval_step(config, mesh)
  variables = jax.device_put(variables, whole)
  with_flow = input_step.make(config, mesh)
  names = (*pipeline.InputSpec.from_config(config).host_inputs, "valid")
  lanes = min(_LANES, -(-len(source) // mesh.size)) * mesh.size
  for group in pipeline.evaluation_groups(source, config, lanes):
    carry = jax.device_put(model.initial_carry(lanes), split)
    seen: list[_Seen] = []
    for chunk in group:
      inputs = {key: chunk.batch[key] for key in names}
      batch = with_flow(sharding.global_batch(inputs, mesh))
      prediction, carry = step(variables, batch, carry)
      seen.append(
        _Seen(prediction, chunk.clips, chunk.boxes, chunk.batch.get("keypoints"))
      )
    yield from _joined(seen, lengths, config.data.window)


class _Seen(NamedTuple):
  """What is kept of a chunk: the prediction, still on the devices, and small arrays."""

  prediction: Prediction
  clips: np.ndarray
  boxes: np.ndarray
  keypoints: np.ndarray | None


def _joined(
  group: list[_Seen], lengths: Sequence[int], window: int
) -> Iterator[SequencePrediction]:
  """Joins the chunks of each lane; waits for the devices."""
  joined: dict[str, np.ndarray] = jax.tree.map(
    lambda *leaves: np.concatenate(leaves, axis=1),
    *[cast(dict[str, np.ndarray], jax.device_get(seen.prediction)) for seen in group],
  )
  boxes = np.repeat(np.stack([seen.boxes for seen in group], axis=1), window, axis=1)
  given = [seen.keypoints for seen in group if seen.keypoints is not None]
  keypoints = np.concatenate(given, axis=1) if given else None
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
