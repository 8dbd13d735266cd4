"""The colour wheel of flow."""

import numpy as np

from mhmr_jax.visualize import flow_colours


def test_colour_wheel():
  flow = np.array([[0, 0], [2, 0], [-2, 0], [1, 0]], np.float32)
  colours = flow_colours.colour(flow, maximum=2.0)
  np.testing.assert_array_equal(colours[0], [255, 255, 255])
  np.testing.assert_array_equal(colours[1], [255, 0, 0])
  np.testing.assert_array_equal(colours[2], [0, 255, 255])
  assert 0 < colours[3, 1] < 255
