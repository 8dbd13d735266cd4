"""Made-up motions of people who stay upright, for tests of the examples."""

import numpy as np

from mhmr_jax.motion import bank
from mhmr_jax.motion.bank import MotionBank
from mhmr_jax.motion.library import MotionSource
from mhmr_jax.motion.pose_sequence import PoseSequence


class _Made(MotionSource):
  def motions(self, split):
    yield from (_upright(seed) for seed in range(3))

  def split(self, name):
    raise NotImplementedError

  def sample(self, rng, split, frames):
    raise NotImplementedError


def _upright(seed: int, frames: int = 40) -> PoseSequence:
  """Limbs swing, and the pelvis turns about the vertical alone."""
  rng = np.random.default_rng(seed)
  time = np.arange(frames)[:, None, None] / 30
  phase, rate = rng.uniform(0, 6.28, (2, 24, 3))
  pose = rng.uniform(0, 0.4, (24, 3)) * np.sin(phase + rate * time)
  pose[:, 0] = 0
  pose[:, 0, 1] = np.linspace(0, 2, frames)
  transl = np.linspace([0, 0.9, 0], [seed, 0.9, 1], frames)
  return PoseSequence(pose.astype(np.float32), transl.astype(np.float32), 30.0)


def build() -> MotionBank:
  """The bank of three such motions."""
  return bank.build([(_Made(), 1.0)], "train")
