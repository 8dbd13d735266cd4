"""The error metrics that papers report, in millimetres; pure functions that jit.

Every function takes any leading batch shape, and joints and vertices in metres. PCK and
the area under its curve are those of MPI-INF-3DHP (Mehta et al., 3DV 2017): the errors
of root-aligned joints, a threshold of 150 mm, and the mean over the thresholds 0, 5,
... 150 mm.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from mhmr_jax.geometry import procrustes

PCK_MM = 150.0
AUC_STEP_MM = 5.0

MM_PER_M = 1000.0


def joint_errors(
  points: Float[Array, "*batch n 3"], target: Float[Array, "*batch n 3"]
) -> Float[Array, "*batch n"]:
  """The distance in mm of each point from its target, without any alignment."""
  return MM_PER_M * jnp.linalg.norm(points - target, axis=-1)


def aligned_joint_errors(
  joints: Float[Array, "*batch n 3"],
  target: Float[Array, "*batch n 3"],
  weights: Float[Array, "*batch n"] | None = None,
) -> Float[Array, "*batch n"]:
  """The distance in mm of each joint from its target after similarity alignment.

  Args:
    joints: predicted joints, metres.
    target: true joints, metres.
    weights: the weights of the joints in the fit. A joint of weight 0 is missing: it
      may hold anything, NaN too, and its error is 0.
  """
  if weights is not None:
    present = weights[..., None] > 0
    joints, target = jnp.where(present, joints, 0), jnp.where(present, target, 0)
  # Far from the origin the means would lose digits.
  joints, target = joints - joints[..., :1, :], target - target[..., :1, :]
  errors = joint_errors(procrustes.align(joints, target, weights), target)
  return errors if weights is None else jnp.where(weights > 0, errors, 0)


def pa_mpjpe(
  joints: Float[Array, "*batch n 3"],
  target: Float[Array, "*batch n 3"],
  weights: Float[Array, "*batch n"] | None = None,
) -> Float[Array, "*batch"]:
  """PA-MPJPE: the mean joint error in mm of each frame after similarity alignment.

  Args:
    joints: predicted joints, metres.
    target: true joints, metres.
    weights: the weights of the joints, in the fit and in the mean; 0 leaves out a
      missing joint. The error of a frame without any joint is NaN.
  """
  errors = aligned_joint_errors(joints, target, weights)
  if weights is None:
    return jnp.mean(errors, axis=-1)
  return jnp.sum(weights * errors, axis=-1) / jnp.sum(weights, axis=-1)


def mpjpe(
  joints: Float[Array, "*batch n 3"], target: Float[Array, "*batch n 3"], root: int = 0
) -> Float[Array, "*batch"]:
  """The mean joint error in mm of each frame with both root joints at the origin."""
  errors = joint_errors(
    joints - joints[..., root : root + 1, :], target - target[..., root : root + 1, :]
  )
  return jnp.mean(errors, axis=-1)


def pck(
  errors: Float[Array, "*batch n"], threshold: float = PCK_MM
) -> Float[Array, "*batch"]:
  """The percentage of joints whose error in mm is strictly below the threshold."""
  return 100 * jnp.mean(errors < threshold, axis=-1, dtype=errors.dtype)


def pck_area(errors: Float[Array, "*batch n"]) -> Float[Array, "*batch"]:
  """The mean of `pck` over the thresholds 0, 5, ... 150 mm; at most 100 * 30 / 31."""
  count = round(PCK_MM / AUC_STEP_MM)
  # The thresholds above an error begin at the next multiple of the step.
  above = count - jnp.clip(jnp.floor(errors / AUC_STEP_MM), 0, count)
  return 100 * jnp.mean(above, axis=-1) / (count + 1)


def pve(
  vertices: Float[Array, "*batch v 3"],
  target: Float[Array, "*batch v 3"],
  root_joint: Float[Array, "*batch 3"],
  root_target: Float[Array, "*batch 3"],
) -> Float[Array, "*batch"]:
  """PVE: the mean vertex error in mm of each frame with both roots at the origin."""
  errors = joint_errors(
    vertices - root_joint[..., None, :], target - root_target[..., None, :]
  )
  return jnp.mean(errors, axis=-1)


def acceleration_error(
  joints: Float[Array, "*batch time n 3"],
  target: Float[Array, "*batch time n 3"],
  valid: Bool[Array, "*batch time"],
  fps: float | Float[Array, "*batch"],
  frame_index: Int[Array, "*batch time"] | None = None,
) -> tuple[Float[Array, "*batch time"], Bool[Array, "*batch time"]]:
  """The mean length in mm/s² of the difference between the joints' accelerations.

  An acceleration is the second difference around a frame times fps². It is never taken
  across a gap, an invalid frame or the ends of a clip.

  Args:
    joints: predicted joints, metres, with the axes and origin of `target`.
    target: true joints, metres.
    valid: which frames count.
    fps: frames per second, one number for all clips or one for each.
    frame_index: the frames' numbers in the video; None if they are consecutive.

  Returns:
    The error around each frame, and where it is defined; it is 0 elsewhere.
  """
  # An invalid frame may hold anything, NaN too. One more is added at either end.
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
  error = MM_PER_M * jnp.mean(jnp.linalg.norm(second, axis=-1), axis=-1)
  error = error * jnp.square(jnp.asarray(fps, jnp.float32))[..., None]
  return jnp.where(defined, error, 0.0), defined
