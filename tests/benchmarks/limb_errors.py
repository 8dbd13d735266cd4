"""The error of 3D limb joints against a true motion: for any video with 3D truth.

It is taken over the 12 joints that nearly all skeletons share. The acceleration error
compares joints relative to the middle of the hips, so that it judges how the body moves
and not where a method puts it: many give no position in space.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mhmr_jax.body.joints import SMPL_BONES, SMPL_JOINTS
from mhmr_jax.geometry import metrics, procrustes

LIMB_JOINTS = tuple(
  f"{side}_{joint}"
  for joint in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
  for side in ("left", "right")
)
_FPS = 30.0  # The rate whose frames accelerations are given in.
# The bones between limb joints, which keep their lengths, by the places of their ends.
_BONES = np.array(
  [
    [LIMB_JOINTS.index(SMPL_JOINTS[joint]) for joint in bone]
    for bone in SMPL_BONES
    if {SMPL_JOINTS[joint] for joint in bone} <= {*LIMB_JOINTS}
  ]
  + [[LIMB_JOINTS.index("left_hip"), LIMB_JOINTS.index("right_hip")]]
)


# Operation by operation they would take much longer.
_pa_mpjpe = jax.jit(metrics.pa_mpjpe)
_align = jax.jit(procrustes.align)
_acceleration_error = jax.jit(metrics.acceleration_error)


class Errors(NamedTuple):
  """The errors of a motion; means over its frames."""

  pa_mpjpe: float  # mm, after a similarity for each frame.
  acceleration: float  # mm a frame² of 1/30 s, after one similarity for the sequence.


def measure(
  joints: Float[np.ndarray, "frames 12 3"],
  truth: Float[np.ndarray, "frames 12 3"],
  frame_index: Int[np.ndarray, "frames"],
  fps: float,
) -> Errors:
  """Compares joints with the true ones, which may have other axes and another origin.

  Args:
    joints: LIMB_JOINTS of one person, in any unit.
    truth: the same joints, metres.
    frame_index: the ascending numbers of the frames. An acceleration is taken where
      three follow each other.
    fps: the frames a second that these numbers count.
  """
  pa_mpjpe = _pa_mpjpe(_on_device(joints), _on_device(truth))
  rooted, target = _rooted(joints), _rooted(truth)
  aligned = _align(rooted.reshape(-1, 3), target.reshape(-1, 3))
  valid = jnp.ones(len(target), bool)
  acceleration, defined = _acceleration_error(
    aligned.reshape(target.shape), target, valid, fps, jnp.asarray(frame_index)
  )
  per_second2 = float(np.asarray(acceleration)[np.asarray(defined)].mean())
  return Errors(float(np.mean(pa_mpjpe)), per_second2 / _FPS**2)


def acceleration_noise(truth: Float[np.ndarray, "frames 12 3"], fps: float) -> float:
  """The acceleration error that a perfect motion would have: the truth's own noise.

  It is estimated from the second differences of the bones' lengths, which are noise
  only, because bones keep their lengths. The noise is taken to be the same in all
  joints and directions, and independent from joint to joint.

  Args:
    truth: LIMB_JOINTS of one person in frames that follow each other, metres.
    fps: the frames a second.

  Returns:
    The expected error, mm a frame² of 1/30 s, of joints relative to the middle of the
    hips.
  """
  first, second = _BONES.T
  lengths = np.linalg.norm(truth[:, first] - truth[:, second], axis=-1)
  change = 1000 * np.diff(lengths, n=2, axis=0) * (fps / _FPS) ** 2
  variance = np.mean(np.square(change)) / 2  # Each bone has the noise of two joints.
  # The middle of the hips has half the variance of a joint, and each hip shares it.
  from_hips = np.array([0.5 if "hip" in name else 1.5 for name in LIMB_JOINTS])
  # The mean length of a vector of three normal numbers.
  return float(np.sqrt(8 / np.pi) * np.mean(np.sqrt(variance * from_hips)))


def best_constant(
  truth: Float[np.ndarray, "frames 12 3"],
) -> Float[np.ndarray, "12 3"]:
  """The true pose of one frame that has the lowest PA-MPJPE over all frames."""
  poses = _on_device(truth)
  pairs = (len(poses), *poses.shape)
  constant = jnp.broadcast_to(poses[:, None], pairs)
  errors = _pa_mpjpe(constant, jnp.broadcast_to(poses, pairs))
  return truth[int(jnp.argmin(jnp.mean(errors, axis=1)))]


def _on_device(joints: Float[np.ndarray, "*batch 12 3"]) -> Float[Array, "*batch 12 3"]:
  return jnp.asarray(joints, jnp.float32)


def _rooted(
  joints: Float[np.ndarray, "frames 12 3"],
) -> Float[Array, "frames 12 3"]:
  """The joints relative to the middle of the hips."""
  hips = [LIMB_JOINTS.index("left_hip"), LIMB_JOINTS.index("right_hip")]
  return _on_device(joints - joints[:, hips].mean(axis=1, keepdims=True))
