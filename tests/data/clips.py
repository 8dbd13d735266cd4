"""Hand-made clips, and the batches that the Grain graph makes of them."""

import cv2
import numpy as np

from mhmr_jax.data import pipeline
from mhmr_jax.data.sources import ClipSource
from mhmr_jax.files import flow_images
from mhmr_jax.schema import Clip

LENGTH = 10


def make_clip(index: int, length: int = LENGTH) -> Clip:
  """A clip whose betas name it, and whose transl and depth count its frames."""
  rng = np.random.default_rng(index)
  count = np.arange(length, dtype=np.float32)
  frames = rng.integers(0, 255, (length, 64, 64, 3), dtype=np.uint8)
  joints_camera = rng.normal(0, 0.3, (length, 24, 3)).astype(np.float32)
  joints_camera[..., 2] = 4 + count[:, None]
  keypoints = rng.uniform(15, 50, (length, 17, 3)).astype(np.float32)
  keypoints[..., 2] = 1
  flow = rng.integers(-64, 64, (64, 64, 2)).astype(np.float32) / 64
  return Clip(
    frames=[cv2.imencode(".jpg", frame)[1].tobytes() for frame in frames],
    pose=rng.normal(0, 0.3, (length, 24, 3)).astype(np.float32),
    betas=np.full(10, index, np.float32),
    joints_camera=joints_camera,
    keypoints_image=keypoints,
    visibility=np.ones((length, 24), np.float32),
    intrinsics=np.array([[90, 0, 32], [0, 90, 32], [0, 0, 1]], np.float32),
    flow=[flow_images.encode_png(flow) for _ in range(length)],
    valid=np.ones(length, bool),
    fps=30.0,
    sequence=f"clip{index}",
    frame_index=np.arange(length),
  )


def make_source(
  lengths: list[int], folder: str = "/made", split: str = "all"
) -> ClipSource:
  """Clips of these lengths, numbered from 0."""
  clips = [make_clip(index, length) for index, length in enumerate(lengths)]
  return ClipSource("made", clips, folder, split=split)


def take(config, source, count, host=None, state=None, target=None):
  """The next batches of a stream, from the start or a state, and the state then."""
  iterator = pipeline.training_iterator(source, config, host, target)
  if state is not None:
    iterator.set_state(state)
  batches = [next(iterator) for _ in range(count)]
  state = iterator.get_state()
  iterator.close()
  return batches, state


def assert_same(left, right):
  """Two examples or batches are equal in all fields."""
  assert left.keys() == right.keys()
  for key in left:
    np.testing.assert_array_equal(left[key], right[key], err_msg=key)


class AskedFrames(list):
  """Frames that remember which of them were asked for."""

  def __init__(self, frames):
    super().__init__(frames)
    self.asked = []

  def __getitem__(self, key):
    self.asked += range(len(self))[key] if isinstance(key, slice) else [key]
    return super().__getitem__(key)


def as_found(
  times: np.ndarray, keypoints: np.ndarray, moments: np.ndarray
) -> np.ndarray:
  """Stands in for `smooth_paths.positions`, where a clip is compared with a video.

  Videos' keypoints are smoothed along time, and stored clips' are not.
  """
  nearest = np.abs(times[:, None] - moments).argmin(axis=0)
  return keypoints[nearest, :, :2].astype(np.float64)
