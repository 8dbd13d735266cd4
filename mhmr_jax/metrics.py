"""The errors that papers report, in millimetres; pure functions that jit."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from mhmr_jax.geometry import procrustes

_MM_PER_M = 1000.0


def _mean_distance(
  points: Float[Array, "*batch n 3"], target: Float[Array, "*batch n 3"]
) -> Float[Array, "*batch"]:
  return _MM_PER_M * jnp.mean(jnp.linalg.norm(points - target, axis=-1), axis=-1)


def pa_mpjpe(
  joints: Float[Array, "*batch n 3"], target: Float[Array, "*batch n 3"]
) -> Float[Array, "*batch"]:
  """Mean joint error, mm, of each frame after its best similarity to the target."""
  return _mean_distance(procrustes.align(joints, target), target)


def mpjpe(
  joints: Float[Array, "*batch n 3"], target: Float[Array, "*batch n 3"], root: int = 0
) -> Float[Array, "*batch"]:
  """Mean joint error, mm, of each frame with both roots at the origin."""
  return _mean_distance(
    joints - joints[..., root : root + 1, :], target - target[..., root : root + 1, :]
  )


def pve(
  vertices: Float[Array, "*batch v 3"],
  target: Float[Array, "*batch v 3"],
  root_joint: Float[Array, "*batch 3"],
  root_target: Float[Array, "*batch 3"],
) -> Float[Array, "*batch"]:
  """Mean vertex error, mm, of each frame with both root joints at the origin."""
  return _mean_distance(
    vertices - root_joint[..., None, :], target - root_target[..., None, :]
  )


def acceleration_error(
  joints: Float[Array, "*batch time n 3"],
  target: Float[Array, "*batch time n 3"],
  valid: Bool[Array, "*batch time"],
  fps: float | Float[Array, "*batch"],
  frame_index: Int[Array, "*batch time"] | None = None,
) -> tuple[Float[Array, "*batch time"], Bool[Array, "*batch time"]]:
  """Mean length, mm/s², of the difference of the joints' accelerations.

  An acceleration is the second difference around a frame times fps²; it is never
  taken across a gap, an invalid frame or a clip's ends.

  Args:
    joints: metres; axes and origin as `target`'s.
    target: the truth.
    valid: frames that count.
    fps: frames a second, one number or one a clip.
    frame_index: in the video; None if the frames are consecutive.

  Returns:
    The error around each frame, and where it is defined (it is 0 elsewhere).
  """
  # An invalid frame may hold anything, NaN too; one more is put at either end.
  time = [(0, 0)] * (valid.ndim - 1) + [(1, 1)]
  difference = jnp.where(valid[..., None, None], joints - target, 0.0)
  difference = jnp.pad(difference, [*time, (0, 0), (0, 0)])
  padded = jnp.pad(valid, time)
  defined = padded[..., :-2] & valid & padded[..., 2:]
  if frame_index is not None:
    consecutive = jnp.pad(jnp.diff(frame_index, axis=-1) == 1, time)
    defined &= consecutive[..., :-1] & consecutive[..., 1:]
  before, now, after = (
    difference[..., i : i + valid.shape[-1], :, :] for i in range(3)
  )
  second = before - 2 * now + after
  error = _MM_PER_M * jnp.mean(jnp.linalg.norm(second, axis=-1), axis=-1)
  error = error * jnp.square(jnp.asarray(fps, jnp.float32))[..., None]
  return jnp.where(defined, error, 0.0), defined
