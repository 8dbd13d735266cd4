"""Captured or generated motion, and how its frame rate is changed."""

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
  before = np.minimum(position.astype(int), max(len(motion) - 2, 0))
  after = np.minimum(before + 1, len(motion) - 1)
  part = position - before
  start = Rotation.from_rotvec(motion.pose[before].reshape(-1, 3))
  end = Rotation.from_rotvec(motion.pose[after].reshape(-1, 3))
  turn = (start.inv() * end).as_rotvec() * np.repeat(part, 24)[:, None]
  pose = (start * Rotation.from_rotvec(turn)).as_rotvec().reshape(frames, 24, 3)
  transl = motion.transl[before] * (1 - part[:, None])
  transl = transl + motion.transl[after] * part[:, None]
  return PoseSequence(pose.astype(np.float32), transl.astype(np.float32), fps)
