"""Joints, regressed points and vertex errors of many posed bodies, for evaluation.

`smpl.forward` gives the vertices of bodies with the batch first, which training and
drawing need. Here the frames are the last axis: skinning is then one product of the
weights and the bones' transforms, whose result needs no transposition, and everything
after it is elementwise over frames. The vertex errors are computed for a few frames at
a time, whose vertices stay in a core's cache, so that the vertices of a whole
evaluation are never materialised.

Both forms of skinning are kept because each takes about half the CPU time of the other
in its own use: 537 against 270 ms for the vertices of 256 bodies of SMPL's
size, with the gradient 871 against 378 ms (batch first is faster), and 535 against 261
ms for the vertex errors of 1,024 pairs of free bodies (frames last is faster).
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
from mhmr_jax.runtime.batching import padded_batches

# A TPU would otherwise multiply in bfloat16: centimetres at human scale.
_dot = functools.partial(jnp.dot, precision=jax.lax.Precision.HIGHEST)

_LEAST_SIZE = 32  # Frames of a step: for fewer, another program is not worth compiling.

_AnyArray = Array | np.ndarray
# The x, y and z coordinates of points, each [points, frames].
_Coordinates = tuple[Float[Array, "n f"], Float[Array, "n f"], Float[Array, "n f"]]


class Posed(NamedTuple):
  """The bones of posed bodies, without translation.

  Attributes:
    rotations: the rotation of each joint relative to its parent.
    betas: the bodies' shapes.
    transforms: [R | t] of each joint, which moves the unposed body along with it.
    joints: metres.
  """

  rotations: Float[_AnyArray, "frames 24 3 3"]
  betas: Float[_AnyArray, "frames 10"]
  transforms: Float[_AnyArray, "frames 24 3 4"]
  joints: Float[_AnyArray, "frames 24 3"]


def matrices(
  pose: Float[np.ndarray, "frames 24 3"],
) -> Float[np.ndarray, "frames 24 3 3"]:
  """Converts axis-angle poses to matrices on the host, where nothing is compiled."""
  rotations = Rotation.from_rotvec(pose.reshape(-1, 3)).as_matrix()
  return rotations.reshape(-1, 24, 3, 3).astype(np.float32)


def bones(
  body: smpl.SmplModel,
  rotations: Float[Array, "frames 24 3 3"],
  betas: Float[Array, "frames 10"],
) -> tuple[Float[Array, "frames 24 3 4"], Float[Array, "frames 24 3"]]:
  """Computes `Posed.transforms` and `Posed.joints` without posing any vertex."""
  R, t, joints = smpl.bone_transforms(body, rotations, betas)
  return jnp.concatenate([R, t[..., None]], axis=-1), joints


def regressed(restricted: smpl.SmplModel, posed: Posed) -> Float[Array, "frames n 3"]:
  """Poses the points of a `smpl.restrict`ed body's regressor."""
  return _regress(restricted.keypoint_regressor, _surface(restricted, posed))


def read(
  regressor: Float[Array, "n V"], vertices: Float[Array, "frames V 3"]
) -> Float[Array, "frames n 3"]:
  """Applies a regressor to vertices that are posed already."""
  return _regress(regressor, _frames_last(vertices))


def surface_errors(
  body: smpl.SmplModel,
  label_body: smpl.SmplModel,
  predicted: Posed | Float[Array, "frames V 3"],
  label: Posed,
  root: Float[Array, "frames 3"],
  label_root: Float[Array, "frames 3"],
) -> Float[Array, "frames"]:
  """The per-vertex error of each frame, mm: `metrics.pve` without [frames, V, 3].

  Args:
    body: the body of the predictions.
    label_body: the body of the labels, whose vertices correspond to `body`'s.
    predicted: posed bodies, or vertices in metres.
    label: the labels' posed bodies.
    root: the predictions' root joints, in the frame of their vertices.
    label_root: the labels' root joints.
  """
  if isinstance(predicted, Posed):
    vertices = _surface(body, predicted)
  else:
    vertices = _frames_last(predicted)
  target = _surface(label_body, label)
  axes = zip(vertices, target, root.T, label_root.T, strict=True)
  x, y, z = ((p - p_root) - (q - q_root) for p, q, p_root, q_root in axes)
  distance = jnp.sqrt(jnp.square(x) + jnp.square(y) + jnp.square(z))
  # A mean as a product: XLA's CPU sums over a leading axis go column by column.
  count = len(distance)
  return _dot(jnp.full(count, metrics.MM_PER_M / count, distance.dtype), distance)


def _surface(body: smpl.SmplModel, posed: Posed) -> _Coordinates:
  """Linear blend skinning with the frames as the last axis."""
  num_vertices, frames = len(body.v_template), len(posed.betas)
  unposed = _dot(body.shapedirs.reshape(-1, 10), posed.betas.T)
  if num_features := body.posedirs.shape[-1]:
    feature = smpl.pose_feature(jnp.asarray(posed.rotations))
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


def _frames_last(points: Float[Array, "frames n 3"]) -> _Coordinates:
  x, y, z = jnp.transpose(points, (2, 1, 0))
  return x, y, z


def _regress(
  regressor: Float[Array, "points n"], vertices: _Coordinates
) -> Float[Array, "f points 3"]:
  points = jnp.stack([_dot(regressor, coordinate) for coordinate in vertices])
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
  """Evaluates a function for some frames, a block of frames at a time.

  Args:
    function: takes `whole`, then the rows of a few frames; the leading axis of its
      results is the frame.
    whole: arguments that are the same for all frames.
    rows: a tuple of arrays of all frames.
    frames: which frames to compute.
    mesh: the frames of a step are divided over its devices.
    steps: the steps of one call, which are executed one after the other; fewer if
      there are few frames.
    size: how many frames a step has, at least; a single step has fewer if there are
      few frames.

  Returns:
    What the function returns, as arrays of all frames; 0 in frames not computed.
  """
  # Powers of two, so that few programs are compiled.
  steps = min(steps, _power_of_two(-(-len(frames) // size)))
  if steps == 1:
    size = min(size, max(_LEAST_SIZE, _power_of_two(len(frames))))
  size = -(-size // mesh.size) * mesh.size
  split = NamedSharding(mesh, PartitionSpec(None, *mesh.axis_names))
  blocks = []
  for places, _ in padded_batches(len(frames), steps * size):
    chosen = frames[places].reshape(steps, size)
    block = jax.device_put(jax.tree.map(operator.itemgetter(chosen), rows), split)
    # Not waited for: the next block is cut out meanwhile.
    blocks.append(_stepwise(function, whole, block))
  count = len(jax.tree.leaves(rows)[0])

  def join(*parts: Array) -> np.ndarray:
    values = [np.asarray(part).reshape(-1, *part.shape[2:]) for part in parts]
    joined = np.concatenate(values)[: len(frames)]
    everywhere = np.zeros((count, *joined.shape[1:]), joined.dtype)
    everywhere[frames] = joined
    return everywhere

  return jax.tree.map(join, *blocks)


def _power_of_two(count: int) -> int:
  """The least power of two that is no less than a count."""
  return 1 << max(count - 1, 0).bit_length()


@functools.partial(jax.jit, static_argnums=0)
def _stepwise(function: Callable[..., Any], whole: tuple[Any, ...], block: Any) -> Any:
  return jax.lax.map(lambda rows: function(*whole, *rows), block)
