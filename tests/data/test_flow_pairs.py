import cv2
import numpy as np
import pytest

from configs import flow_flownets
from mhmr_jax.data import flow_pairs
from mhmr_jax.data.sources import ClipSource
from mhmr_jax.errors import InputError
from mhmr_jax.files import flow_images
from tests.data import clips

SIZE = 128
# From a frame to the next: a turn, a zoom and a shift about the frame's centre.
MOVE = np.array([[1.03, 0.04, 2.0], [-0.04, 1.03, -3.0]])


def _moved(points):
  return (points - SIZE / 2) @ MOVE[:, :2].T + SIZE / 2 + MOVE[:, 2]


def _grid(size):
  x, y = np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5)
  return np.stack([x, y], -1)


def _clip():
  """Two frames of a smooth texture whose flow is known by formula."""
  noise = np.random.default_rng(0).normal(0, 1, (SIZE, SIZE, 3)).astype(np.float32)
  smooth = cv2.GaussianBlur(noise, (0, 0), 6)
  first = cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
  # cv2 numbers pixel centres from 0.
  source = np.linalg.inv(np.vstack([MOVE, [0, 0, 1]]))[:2, :2]
  centre = SIZE / 2 + MOVE[:, 2]
  places = ((_grid(SIZE) - centre) @ source.T + SIZE / 2 - 0.5).astype(np.float32)
  second = cv2.remap(first, places, None, cv2.INTER_LINEAR)
  flow = (_moved(_grid(SIZE)) - _grid(SIZE)).astype(np.float32)
  known = np.zeros((SIZE, SIZE), bool)
  known[12:-12, 20:-12] = True  # Nearer to the border, pixels leave the frame.
  encode = lambda image: cv2.imencode(
    ".jpg", image[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, 100)
  )[1].tobytes()
  still = flow_images.encode_png(np.zeros_like(flow))
  return {
    **clips.make_clip(0, 2),
    "frames": [encode(first), encode(second)],
    "flow": [still, flow_images.encode_png(flow, known)],
  }


@pytest.mark.parametrize("seed", range(6))
def test_flow_leads_from_the_first_crop_to_the_second(seed):
  example = flow_pairs.TrainingPair(64, (0.5, 0.9), 0.1)
  batch = example.random_map(_clip(), np.random.default_rng(seed))
  assert batch["first"].shape == (64, 64, 3)
  assert batch["flow"].dtype == np.float32
  places = (_grid(64) + batch["flow"] - 0.5).astype(np.float32)
  back = cv2.remap(batch["second"], places, None, cv2.INTER_LINEAR)
  inside = (np.abs(places - 31.5) < 30).all(-1) & batch["valid"]
  assert inside.sum() > 500
  error = lambda image: np.abs(image.astype(float) - batch["first"])[inside].mean()
  assert error(back) < 0.25 * error(batch["second"])


def test_pixels_without_flow_and_outside_are_not_valid():
  pair = flow_pairs.read(_clip(), 1)
  box = np.array([-32.0, 0.0, 96.0, 128.0], np.float32)
  cut = flow_pairs.crop(pair, box, 64, np.zeros(2))
  assert not cut.valid[:, : (32 + 20) // 2].any()
  assert cut.valid[8:-8, 27:].all()


def test_mirrors_all_four_ways():
  example = flow_pairs.TrainingPair(64, (0.99, 1.0), 0.0)
  centres = {
    tuple(np.sign(example.random_map(_clip(), rng)["flow"][32, 32]))
    for rng in map(np.random.default_rng, range(30))
  }
  assert centres == {(1, -1), (-1, -1), (1, 1), (-1, 1)}


def test_clips_without_flow_are_named():
  clip = _clip()
  del clip["flow"]
  with pytest.raises(InputError, match="clip0 stores no exact flow"):
    flow_pairs.read(clip, 1)


def test_the_stream_repeats_itself():
  config = flow_flownets.get_config()
  config.data.size = 64
  source = ClipSource("made", [_clip()] * 3, "/made")
  first, again = (flow_pairs.training_dataset(source, config)[5] for _ in range(2))
  assert first.keys() == {"first", "second", "flow", "valid"}
  for key in first:
    np.testing.assert_array_equal(first[key], again[key])
