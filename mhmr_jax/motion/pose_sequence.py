"""The type of captured or generated motion, and changes of its frame rate."""

import dataclasses
import math

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation


@dataclasses.dataclass(frozen=True)
class PoseSequence:
  """Poses of a person over time, of SMPL's joints; y is up in the world.

  Attributes:
    pose: axis-angle, at most pi radians; entry 0 is the global orientation.
    transl: the position of the pelvis joint in the world, metres, which does not depend
      on the body. SMPL's own `transl` is this minus the rest pelvis of the shaped body.
    fps: frames per second.
  """

  pose: Float[np.ndarray, "time 24 3"]
  transl: Float[np.ndarray, "time 3"]
  fps: float

  def __len__(self) -> int:
    return len(self.pose)

  def slice(self, start: int, stop: int) -> "PoseSequence":
    """A copy of the frames from `start` up to `stop`."""
    pose, transl = self.pose[start:stop].copy(), self.transl[start:stop].copy()
    return PoseSequence(pose, transl, self.fps)


def resample(motion: PoseSequence, fps: float) -> PoseSequence:
  """Resamples a motion: slerp for rotations, linear interpolation for the path.

  The first frame is kept, and no frame after the last one is extrapolated.
  """
  stride = motion.fps / fps
  frames = math.floor((len(motion) - 1) / stride + 1e-6) + 1
  if abs(stride - round(stride)) < 1e-6:
    step = round(stride)
    return PoseSequence(motion.pose[::step], motion.transl[::step], fps)
  position = np.minimum(np.arange(frames) * stride, len(motion) - 1)
  pose, transl = interpolate(motion.pose, motion.transl, position)
  return PoseSequence(pose.astype(np.float32), transl.astype(np.float32), fps)


def interpolate(
  pose: Float[np.ndarray, "time 24 3"],
  transl: Float[np.ndarray, "time 3"],
  position: Float[np.ndarray, "frames"],
) -> tuple[Float[np.ndarray, "frames 24 3"], Float[np.ndarray, "frames 3"]]:
  """The pose (by slerp) and the path (linearly) between rows.

  Args:
    pose: axis-angle.
    transl: the translation of any body.
    position: row numbers from 0 to the last one; 2.5 is halfway from row 2 to row 3.
  """
  before = np.minimum(position.astype(int), max(len(pose) - 2, 0))
  after = np.minimum(before + 1, len(pose) - 1)
  part = position - before
  start = Rotation.from_rotvec(pose[before].reshape(-1, 3))
  end = Rotation.from_rotvec(pose[after].reshape(-1, 3))
  turn = (start.inv() * end).as_rotvec() * np.repeat(part, 24)[:, None]
  between = (start * Rotation.from_rotvec(turn)).as_rotvec()
  path = transl[before] * (1 - part[:, None])
  path = path + transl[after] * part[:, None]
  return between.reshape(len(position), 24, 3), path
