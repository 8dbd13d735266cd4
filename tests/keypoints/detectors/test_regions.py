"""Turned square regions: where their crops look, down to half a pixel."""

import cv2
import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from mhmr_jax.keypoints.detectors import regions
from tests.geometry import properties


def test_a_person_upright_lying_and_upside_down():
  for top, angle in (
    ([100.0, 60.0], 0),
    ([140.0, 100.0], np.pi / 2),
    ([60.0, 100.0], -np.pi / 2),
    ([100.0, 140.0], np.pi),
  ):
    region = regions.around(np.array([100.0, 100.0]), np.array(top))
    np.testing.assert_allclose(region[:3], [100, 100, 2 * 1.25 * 40])
    assert abs(region[3]) == pytest.approx(abs(angle))
    # The person's head is up in the crop.
    above = regions.to_image(np.array([0.5, 0.5 - 1 / 2.5]), region)
    np.testing.assert_allclose(above, top, atol=1e-9)


@properties.check
@hypothesis.given(
  x=strategies.floats(60, 140),
  y=strategies.floats(60, 140),
  side=strategies.floats(40, 60),
  angle=strategies.floats(-3, 3),
)
def test_a_crop_shows_what_lies_at_its_places(x, y, side, angle):
  columns, rows = np.meshgrid(np.arange(200), np.arange(200))
  image = np.stack([columns, rows, 0 * rows], -1).astype(np.uint8)
  region = np.array([x, y, side, angle])
  size = 16
  crop = regions.crop(image, region, size, cv2.BORDER_CONSTANT)
  inner = (np.stack(np.meshgrid(np.arange(size), np.arange(size)), -1) + 0.5) / size
  errors = crop[..., :2] + 0.5 - regions.to_image(inner, region)
  # To whole pixels of the image; half a pixel of the crop would be more than one.
  assert np.abs(errors.mean(axis=(0, 1))).max() < 0.6


def test_parts_of_an_oblong_image():
  for shape in ((90, 160, 3), (160, 90, 3)):
    parts = np.array(regions.parts(shape))
    assert np.all(parts[:, 2] == 90)
    along = parts[:, int(shape[0] > shape[1])]
    np.testing.assert_allclose(along, [45, 115, 80])
    across = parts[:, int(shape[0] < shape[1])]
    np.testing.assert_allclose(across, 45)
  assert regions.parts((100, 110, 3)) == []
  whole = regions.whole_image((90, 160, 3))
  crop = regions.crop(
    np.full((90, 160, 3), 9, np.uint8), whole, 16, cv2.BORDER_CONSTANT
  )
  assert not crop[:3].any()
  assert np.all(crop[5:11] == 9)
