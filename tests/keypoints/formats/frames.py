"""People of a few frames that the tests of the formats write and read back."""

import numpy as np


def random_people(seed, count):
  """People as COCO-17, with a missing point each."""
  rng = np.random.default_rng(seed)
  found = rng.uniform(5, 200, (count, 17, 3)).astype(np.float32)
  found[..., 2] = rng.uniform(0.1, 1, (count, 17))
  found[np.arange(count), rng.integers(17, size=count)] = 0
  return found


def some_frames():
  """People by frame number; frames 1 and 4 are not there, and 3 has nobody."""
  return {
    0: random_people(0, 2),
    2: random_people(1, 1),
    3: random_people(2, 0),
    5: random_people(3, 3),
  }


def centred(frames):
  """The people of a tool that counts from the first pixel's centre, as read."""
  shift = np.float32([0.5, 0.5, 0])
  return {
    number: np.where(found[..., 2:] > 0, found + shift, 0)
    for number, found in frames.items()
  }


def assert_same(detections, frames):
  """Compares what was read with the people by frame number."""
  for number, found in enumerate(detections):
    expected = frames.get(number, np.zeros((0, 17, 3)))
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)
