"""Pictures as videos store them, beside FFmpeg's conversions."""

import av
import numpy as np
import pytest

from mhmr_jax.files import yuv


def _smooth(height, width):
  """A picture without edges, in many colours."""
  y, x = np.mgrid[:height, :width]
  channels = [128 + 100 * np.sin(x / 9 + k) * np.cos(y / (7 + k)) for k in range(3)]
  return np.stack(channels, -1).astype(np.uint8)


def test_a_picture_is_converted_as_ffmpeg_does():
  rgb = _smooth(48, 64)
  frame = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(
    format="yuv420p", dst_colorspace=1
  )
  for found, expected in zip(yuv.from_rgb(rgb), yuv.planes(frame), strict=True):
    error = found.astype(int) - expected
    assert np.abs(error).mean() < 1.5
    assert np.abs(error).max() < 12  # FFmpeg places colours a little to the left.


def test_the_frame_of_a_picture_shows_it():
  rgb = _smooth(50, 66)  # Rows in a frame are padded.
  frame = yuv.frame(yuv.from_rgb(rgb))
  frame.colorspace = 1
  shown = frame.reformat(format="rgb24").to_ndarray()
  assert np.abs(shown.astype(int) - rgb).mean() < 3


def test_an_odd_last_row_and_column_are_lost():
  picture = yuv.from_rgb(_smooth(49, 65))
  assert [plane.shape for plane in picture] == [(48, 64), (24, 32), (24, 32)]
  assert [plane.shape for plane in yuv.black(65, 49)] == [(48, 64), (24, 32), (24, 32)]


@pytest.mark.parametrize("rgb", [(0, 0, 0), (255, 255, 255), (10, 200, 90)])
def test_colours_are_those_of_pictures(rgb):
  picture = yuv.from_rgb(np.full((4, 4, 3), rgb, np.uint8))
  found = yuv.colour(np.array(rgb, np.float32))
  np.testing.assert_allclose([plane[0, 0] for plane in picture], found, atol=0.6)
  if not any(rgb):
    for plane, black in zip(picture, yuv.black(4, 4), strict=True):
      np.testing.assert_array_equal(plane, black)


def test_shrinking_keeps_means_and_form():
  picture = yuv.from_rgb(_smooth(90, 160))
  small = yuv.shrunk(picture, 41)
  assert [plane.shape for plane in small] == [(24, 40), (12, 20), (12, 20)]
  for before, after in zip(picture, small, strict=True):
    assert after.mean() == pytest.approx(before.mean(), abs=2)
  assert yuv.shrunk(picture, 160) is picture
  assert yuv.shrunk(yuv.black(4, 600), 8).y.shape == (8, 2)
