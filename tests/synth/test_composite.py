import numpy as np
import pytest

from mhmr_jax.synth import backgrounds, composite, occluders, recording, render, sensor

SIZE, FRAMES = 20, 3


def _background(is_still: bool = True) -> backgrounds.Background:
  frames = np.full((FRAMES, SIZE, SIZE, 3), 10, np.uint8)
  motion = np.tile(np.eye(3), (FRAMES, 1, 1))
  motion[1:, 0, 2] = 0.5  # Half a pixel to the right.
  return backgrounds.Background(frames, motion, is_still)


def _square(x0: int, y0: int, side: int, level: float, flow) -> occluders.Patch:
  """An opaque square; its outermost pixels have an alpha of 1/4 and no mask."""
  alpha = np.full((side, side, 1), 0.25, np.float32)
  alpha[1:-1, 1:-1] = 1
  return occluders.Patch(
    render.Window(x0, y0, x0 + side, y0 + side),
    np.concatenate([np.repeat(level * alpha, 3, -1), alpha], -1),
    alpha[..., 0] > 0.5,
    np.tile(np.array(flow, np.float32), (side, side, 1)),
  )


class _Ideal(sensor.Sensor):
  def __init__(self):
    pass

  def record(self, time, image):
    return np.clip(image, 0, 255).astype(np.uint8)


@pytest.fixture
def recorded():
  frames = lambda *args: [_square(*args)] * FRAMES
  scene = composite.Scene(
    _background(),
    behind=[frames(1, 1, 8, 40.0, (1, 0))],
    person=frames(5, 5, 9, 100.0, (0, 2)),
    front=[frames(9, 9, 6, 200.0, (-3, 0)), [None] * FRAMES],
  )
  return composite.composite(scene, _Ideal(), recording.Recording())


def test_the_nearest_is_seen(recorded):
  image = recorded[1].image[..., 0]
  assert image[17, 17] == 10
  assert image[3, 3] == 40
  assert image[7, 7] == 100  # The person is in front of the other person …
  assert image[11, 11] == 200  # … and behind the piece.
  assert image[5, 9] == round(0.25 * 100 + 0.75 * 10)


def test_the_mask_is_the_visible_person(recorded):
  expected = np.zeros((SIZE, SIZE), bool)
  expected[6:13, 6:13] = True
  expected[10:14, 10:14] = False
  for frame in recorded:
    np.testing.assert_array_equal(frame.mask, expected)


def test_flow_is_that_of_what_is_seen_in_the_frame_before(recorded):
  assert not recorded[0].flow.any()
  expected = np.zeros((SIZE, SIZE, 2), np.float32)
  expected[..., 0] = 0.5
  expected[2:8, 2:8] = [1, 0]
  expected[6:13, 6:13] = [0, 2]
  expected[10:14, 10:14] = [-3, 0]
  for frame in recorded[1:]:
    np.testing.assert_allclose(frame.flow, expected, atol=1e-6)
    assert frame.flow_valid.all()


def test_before_a_video_only_what_is_drawn_has_known_flow():
  person = [_square(5, 5, 9, 100.0, (0, 2)), None, None]
  front = [None, _square(2, 2, 5, 100.0, (0, 2)), None]
  scene = composite.Scene(_background(False), [], person, [front])
  recorded = composite.composite(scene, _Ideal(), recording.Recording())
  known = [np.argwhere(frame.flow_valid) for frame in recorded]
  assert len(known[0]) == SIZE**2
  assert (known[1].min(), known[1].max(), len(known[1])) == (6, 12, 49)
  assert (known[2].min(), known[2].max(), len(known[2])) == (3, 5, 9)
