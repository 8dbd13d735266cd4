"""Runs a model along whole stored sequences, several side by side.

Each of several hosts predicts every P-th sequence; `gather` gives all of them to all.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh
from jaxtyping import Float
from ml_collections import ConfigDict

from mhmr_jax.data import device_flow, lanes
from mhmr_jax.data.input_spec import InputSpec
from mhmr_jax.data.sources import ClipSource
from mhmr_jax.inference import eval_step
from mhmr_jax.models import motion_hmr
from mhmr_jax.models.motion_hmr import Variables
from mhmr_jax.runtime import sharding
from mhmr_jax.schema import Clip, Prediction

# Sequences side by side on each device.
_LANES = 8
# The fields that are gathered from all hosts, and their shapes in one frame.
_FRAME_SHAPES = {"rotations": (24, 3, 3), "betas": (10,), "camera": (3,), "box": (4,)}


class SequencePrediction(NamedTuple):
  """The model's prediction for one whole sequence, and its crop windows."""

  rotations: Float[np.ndarray, "time 24 3 3"]
  betas: Float[np.ndarray, "time 10"]
  camera: Float[np.ndarray, "time 3"]
  box: Float[np.ndarray, "time 4"]  # Image pixels.
  keypoints: Float[np.ndarray, "time 17 3"] | None  # The model's input, crop pixels.


def predict(
  config: ConfigDict,
  variables: Variables,
  source: ClipSource,
  lengths: Sequence[int],
  mesh: Mesh,
) -> Iterator[SequencePrediction]:
  """Predicts this host's sequences, the LSTM's state carried from chunk to chunk.

  The next chunk is loaded while the devices work on this one. Of earlier chunks only
  the predictions and small arrays are kept, until their sequences are yielded.

  Args:
    config: the config of the training run.
    variables: the variables of the model.
    source: the sequences.
    lengths: frames of each sequence.
    mesh: the mesh of this host's devices; sequences side by side are divided over it.

  Yields:
    This host's sequences, in the source's order: every P-th one of P hosts.
  """
  model = motion_hmr.from_config(config)
  split, whole = sharding.batched(mesh), sharding.replicated(mesh)
  step = eval_step.make(config, mesh)
  variables = jax.device_put(variables, whole)
  with_flow = device_flow.make(config, mesh)
  names = (*InputSpec.from_config(config).host_inputs, "valid")
  count = min(_LANES, -(-len(source) // mesh.size)) * mesh.size
  host, hosts = jax.process_index(), jax.process_count()
  for group in lanes.evaluation_groups(source, config, count, host, hosts):
    carry = jax.device_put(model.initial_carry(count), split)
    results: list[_ChunkResult] = []
    for chunk in group:
      inputs = {key: chunk.batch[key] for key in names}
      batch = with_flow(sharding.global_batch(inputs, mesh))
      prediction, carry = step(variables, batch, carry)
      keypoints = chunk.batch.get("keypoints")
      results.append(_ChunkResult(prediction, chunk.clips, chunk.boxes, keypoints))
    yield from _joined(results, lengths, config.data.window)


def gather(
  own: list[SequencePrediction], lengths: Sequence[int]
) -> list[SequencePrediction]:
  """Returns all hosts' sequences, in the source's order.

  Args:
    own: this host's, as `predict` yields them.
    lengths: frames of each sequence of the source.
  """
  hosts = jax.process_count()
  if hosts == 1:
    return own
  # Arrays must have one size on all hosts, and some have fewer frames or none at all.
  frames = max(sum(lengths[host::hosts]) for host in range(hosts))
  fields = {
    name: _padded([getattr(p, name) for p in own], shape, frames)
    for name, shape in _FRAME_SHAPES.items()
  }
  has_keypoints = np.array([p.keypoints is not None for p in own]).any()
  fields["keypoints"] = _padded(
    [p.keypoints for p in own if p.keypoints is not None], (17, 3), frames
  )
  gathered, known = multihost_utils.process_allgather((fields, has_keypoints))
  parts = [_split(gathered, host, lengths[host::hosts]) for host in range(hosts)]
  joined = [parts[i % hosts][i // hosts] for i in range(len(lengths))]
  return joined if known.any() else [p._replace(keypoints=None) for p in joined]


def _padded(
  arrays: list[np.ndarray], shape: tuple[int, ...], frames: int
) -> np.ndarray:
  """Puts the arrays one after the other, with zeros up to `frames` rows."""
  padded = np.zeros((frames, *shape), np.float32)
  for rows, place in zip(arrays, np.cumsum([0, *map(len, arrays)]), strict=False):
    padded[place : place + len(rows)] = rows
  return padded


def _split(
  gathered: dict[str, np.ndarray], host: int, lengths: Sequence[int]
) -> list[SequencePrediction]:
  """The sequences of one host, from the gathered arrays [hosts, frames, ...]."""
  ends = np.cumsum(lengths, dtype=int)
  return [
    SequencePrediction(**{k: v[host, end - n : end] for k, v in gathered.items()})
    for end, n in zip(ends, lengths, strict=True)
  ]


class _ChunkResult(NamedTuple):
  """A chunk's prediction, still on the devices, and the small arrays of its batch."""

  prediction: Prediction
  clips: np.ndarray
  boxes: np.ndarray
  keypoints: np.ndarray | None


def _joined(
  results: list[_ChunkResult], lengths: Sequence[int], window: int
) -> Iterator[SequencePrediction]:
  """Joins the chunks of each lane; waits for the devices."""
  joined: dict[str, np.ndarray] = jax.tree.map(
    lambda *leaves: np.concatenate(leaves, axis=1),
    *[cast(dict[str, np.ndarray], jax.device_get(r.prediction)) for r in results],
  )
  boxes = np.repeat(np.stack([r.boxes for r in results], axis=1), window, axis=1)
  parts = [r.keypoints for r in results if r.keypoints is not None]
  keypoints = np.concatenate(parts, axis=1) if parts else None
  for lane, clip in enumerate(results[0].clips):
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


def labels(source: ClipSource) -> Iterator[Clip]:
  """Yields the clips of a split in order, without their images."""
  for index in range(len(source)):
    clip = {
      key: value
      for key, value in source[index].items()
      if key not in ("frames", "flow", "mask")
    }
    yield cast(Clip, clip)
