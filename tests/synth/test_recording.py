import numpy as np
import pytest

from mhmr_jax.synth import recording
from mhmr_jax.synth.recording import Codec, Recording

SIZE = 64


def _bar(width: int = 12) -> np.ndarray:
  image = np.zeros((SIZE, SIZE, 3), np.uint8)
  image[:, 26 : 26 + width] = 200
  return image


@pytest.mark.parametrize("speed", [4.0, 10.0])
def test_what_moves_is_smeared_along_its_motion(speed):
  flow = np.zeros((SIZE, SIZE, 2), np.float32)
  flow[..., 0] = speed
  blurred = Recording(exposure=0.5).blur(_bar(), flow)[SIZE // 2, :, 0].astype(float)
  # The bar's edges are ramps as wide as its motion during the exposure.
  ramp = ((blurred > 5) & (blurred < 195)).sum() / 2
  assert abs(ramp - 0.5 * speed) <= 1.5
  # The bar as a whole neither moves nor gets lighter.
  column = np.arange(SIZE)
  assert (blurred * column).sum() / blurred.sum() == pytest.approx(31.5, abs=0.05)
  assert blurred.sum() == pytest.approx(_bar()[0, :, 0].sum(), rel=2e-3)


def test_across_the_motion_and_at_rest_all_stays_sharp():
  flow = np.zeros((SIZE, SIZE, 2), np.float32)
  still = Recording(exposure=0.5).blur(_bar(), flow)
  np.testing.assert_array_equal(still, _bar())
  flow[..., 1] = 8
  along = Recording(exposure=0.5).blur(_bar(), flow)
  np.testing.assert_allclose(along[8:-8], _bar()[8:-8], atol=1e-3)
  shut = Recording(exposure=0.0).blur(_bar(), flow + 8)
  np.testing.assert_array_equal(shut, _bar())


def test_what_lies_far_from_the_motion_is_left_as_it_is():
  image = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
  flow = np.zeros((SIZE, SIZE, 2), np.float32)
  flow[20:30, 36:44, 1] = 7
  blurred = Recording(exposure=0.5).blur(image, flow)
  changed = np.argwhere((blurred != image).any(-1))
  # Motion is averaged over five pixels, so it reaches two beyond.
  assert (changed.min(0) >= [18, 34]).all()
  assert (changed.max(0) < [32, 46]).all()
  assert len(changed) > 70


def _noisy(frames: int, jump: int) -> list[np.ndarray]:
  """Grey with faint noise, new in each frame; one corner changes at `jump`."""
  rng = np.random.default_rng(0)
  images = []
  for time in range(frames):
    image = np.clip(rng.normal(120, 1.5, (SIZE, SIZE, 3)), 0, 255).astype(np.uint8)
    if time >= jump:
      image[:16, :16] = 220
    images.append(image)
  return images


def test_blocks_that_hardly_change_freeze_until_a_keyframe():
  images = _noisy(12, jump=4)
  shown = Codec(quality=90, hold=6.0, keyframe=8).run(images)
  rest = np.s_[16:, 16:]
  for time in range(1, 12):
    same = np.array_equal(shown[time][rest], shown[time - 1][rest])
    assert same == (time != 8)
  # Blocks that change are shown at once.
  assert abs(shown[3][:16, :16].mean() - 120) < 3
  assert abs(shown[4][:16, :16].mean() - 220) < 3


def test_quality_costs_detail():
  rng = np.random.default_rng(1)
  image = rng.integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
  loss = [
    np.abs(Codec(quality, 0.0, 10).run([image])[0].astype(float) - image).mean()
    for quality in (95, 60, 20)
  ]
  assert loss[0] < loss[1] < loss[2]


def test_colours_are_not_exchanged():
  image = np.zeros((SIZE, SIZE, 3), np.uint8)
  image[...] = [200, 100, 20]
  out = Codec(80, 0.0, 10).run([image])[0]
  np.testing.assert_allclose(out.mean((0, 1)), [200, 100, 20], atol=3)


def test_some_videos_are_sharp_and_some_uncompressed():
  drawn = [recording.sample(np.random.default_rng(seed)) for seed in range(200)]
  assert 0.2 < np.mean([video.exposure == 0 for video in drawn]) < 0.4
  assert 0.4 < np.mean([video.codec is None for video in drawn]) < 0.6
