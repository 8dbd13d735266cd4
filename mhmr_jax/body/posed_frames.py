"""Bodies of many frames: their joints, what regressors read, their surfaces.

Skinning is a product of the weights and the bones' transforms: with the frames as the
last axis it needs no transposition, and all that follows it is elementwise over
frames. A few frames at a time, what it makes stays in a core's cache.
"""

import functools
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int
from scipy.spatial.transform import Rotation

from mhmr_jax.body import smpl
from mhmr_jax.geometry import metrics

# A TPU would otherwise multiply in bfloat16: centimetres at human scale.
_dot = functools.partial(jnp.dot, precision=jax.lax.Precision.HIGHEST)

Rows = Array | np.ndarray
# Coordinates of points, each [points, frames].
_Axes = tuple[Float[Array, "n f"], Float[Array, "n f"], Float[Array, "n f"]]


class Posed(NamedTuple):
  """Bodies as far as their bones; without translation."""

  rotations: Float[Rows, "frames 24 3 3"]
  betas: Float[Rows, "frames 10"]
  transforms: Float[Rows, "frames 24 3 4"]  # That move the unposed body, [R | t].
  joints: Float[Rows, "frames 24 3"]


def matrices(pose: Float[np.ndarray, "frames 24 3"]) -> np.ndarray:
  """The rotations of axis-angle poses, on the host: nothing to compile."""
  turns = Rotation.from_rotvec(pose.reshape(-1, 3)).as_matrix()
  return turns.reshape(-1, 24, 3, 3).astype(np.float32)


def bones(
  body: smpl.SmplModel,
  rotations: Float[Array, "frames 24 3 3"],
  betas: Float[Array, "frames 10"],
) -> tuple[Float[Array, "frames 24 3 4"], Float[Array, "frames 24 3"]]:
  """`Posed.transforms` and `Posed.joints`: no vertex is posed."""
  R, t, joints = smpl.bone_transforms(body, rotations, betas)
  return jnp.concatenate([R, t[..., None]], axis=-1), joints


def regressed(restricted: smpl.SmplModel, posed: Posed) -> Float[Array, "frames n 3"]:
  """The points of a `smpl.restrict`ed body's regressor."""
  return _read(restricted.keypoint_regressor, _surface(restricted, posed))


def read(
  regressor: Float[Array, "n V"], vertices: Float[Array, "frames V 3"]
) -> Float[Array, "frames n 3"]:
  """The points that a regressor takes from vertices."""
  return _read(regressor, _axes(vertices))


def surface_errors(
  body: smpl.SmplModel,
  label_body: smpl.SmplModel,
  said: Posed | Float[Array, "frames V 3"],
  label: Posed,
  root: Float[Array, "frames 3"],
  label_root: Float[Array, "frames 3"],
) -> Float[Array, "frames"]:
  """`metrics.pve` of vertices that are never all there at once: of each frame, mm.

  Args:
    body: of predictions.
    label_body: of the labels.
    said: predicted bodies, or vertices.
    label: the labels'.
    root: of the predictions, among their vertices.
    label_root: of the labels.
  """
  surface = _surface(body, said) if isinstance(said, Posed) else _axes(said)
  truth = _surface(label_body, label)
  pairs = zip(surface, truth, root.T, label_root.T, strict=True)
  gaps = [(ours - r) - (theirs - s) for ours, theirs, r, s in pairs]
  squared = jnp.square(gaps[0]) + jnp.square(gaps[1]) + jnp.square(gaps[2])
  # A mean as a product: XLA's CPU sums over a leading axis go column by column.
  mean = jnp.full(len(truth[0]), metrics.MM_PER_M / len(truth[0]), squared.dtype)
  return _dot(mean, jnp.sqrt(squared))


def _surface(body: smpl.SmplModel, posed: Posed) -> _Axes:
  """Vertices, frames last."""
  num_vertices, frames = len(body.v_template), len(posed.betas)
  unposed = _dot(body.shapedirs.reshape(-1, 10), posed.betas.T)
  if num_features := body.posedirs.shape[-1]:
    feature = posed.rotations[:, 1:] - jnp.eye(3, dtype=posed.rotations.dtype)
    feature = feature.reshape(frames, num_features)
    unposed += _dot(body.posedirs.reshape(-1, num_features), feature.T)
  unposed = unposed.reshape(num_vertices, 3, frames) + body.v_template[..., None]
  transforms = jnp.transpose(posed.transforms, (1, 2, 3, 0)).reshape(24, -1)
  T = _dot(body.weights, transforms).reshape(num_vertices, 3, 4, frames)
  x, y, z = (
    T[:, i, 0] * unposed[:, 0]
    + T[:, i, 1] * unposed[:, 1]
    + T[:, i, 2] * unposed[:, 2]
    + T[:, i, 3]
    for i in range(3)
  )
  return x, y, z


def _axes(points: Float[Array, "frames n 3"]) -> _Axes:
  x, y, z = jnp.transpose(points, (2, 1, 0))
  return x, y, z


def _read(regressor: Float[Array, "n V"], axes: _Axes) -> Float[Array, "frames n 3"]:
  points = jnp.stack([_dot(regressor, axis) for axis in axes])
  return jnp.transpose(points, (2, 1, 0))


def in_blocks(
  function: Callable[..., Any],
  whole: tuple[Any, ...],
  rows: Any,
  frames: Int[np.ndarray, "some"],
  mesh: Mesh,
  steps: int,
  size: int,
) -> Any:
  """A function's results for some frames; 0 in all others.

  Args:
    function: of `whole`, then of the rows of a few frames; what it gives has the
      frames as its leading axes.
    whole: arguments that are the same for all frames.
    rows: a tuple of arrays of all frames.
    frames: which to compute.
    mesh: a step's frames are divided over it.
    steps: of one call, one after the other.
    size: frames of a step, at least.
  """
  size = -(-size // mesh.size) * mesh.size
  split = NamedSharding(mesh, PartitionSpec(None, *mesh.axis_names))
  parts = []
  for start in range(0, len(frames), steps * size):
    # Filled up to one size, so that all compile once.
    place = np.minimum(start + np.arange(steps * size), len(frames) - 1)
    chosen = frames[place].reshape(steps, size)
    block = jax.device_put(jax.tree.map(operator.itemgetter(chosen), rows), split)
    # Not waited for: the next block is cut out meanwhile.
    parts.append(_stepwise(function, whole, block))
  count = len(jax.tree.leaves(rows)[0])

  def join(*blocks: Array) -> np.ndarray:
    values = [np.asarray(block).reshape(-1, *block.shape[2:]) for block in blocks]
    joined = np.concatenate(values)[: len(frames)]
    everywhere = np.zeros((count, *joined.shape[1:]), joined.dtype)
    everywhere[frames] = joined
    return everywhere

  return jax.tree.map(join, *parts)


@functools.partial(jax.jit, static_argnums=0)
def _stepwise(function: Callable[..., Any], whole: tuple[Any, ...], block: Any) -> Any:
  return jax.lax.map(lambda rows: function(*whole, *rows), block)
