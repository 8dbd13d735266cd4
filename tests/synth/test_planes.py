import numpy as np
import pytest

from mhmr_jax.synth import planes, render

SIZE = 64


def _blob(x: float, y: float, shape=(24, 40)) -> np.ndarray:
  """A soft spot about x, y (centres at + 0.5)."""
  row, column = np.mgrid[: shape[0], : shape[1]] + 0.5
  squared = (column - x) ** 2 + (row - y) ** 2
  return np.exp(-squared / 8).astype(np.float32)


def _homography(seed: int) -> np.ndarray:
  rng = np.random.default_rng(seed)
  matrix = np.eye(3) + rng.normal(0, 0.1, (3, 3))
  matrix[:2, 2] = rng.uniform(8, 20, 2)
  matrix[2] = [*rng.normal(0, 1e-3, 2), 1]
  return matrix


def _centre(image: np.ndarray, window: render.Window) -> np.ndarray:
  row, column = np.mgrid[window.y0 : window.y1, window.x0 : window.x1] + 0.5
  return np.array([(image * column).sum(), (image * row).sum()]) / image.sum()


@pytest.mark.parametrize("seed", range(4))
def test_a_spot_is_drawn_where_the_matrix_puts_it(seed):
  matrix = _homography(seed)
  window = planes.extent(matrix, (24, 40), SIZE)
  drawn = planes.warp(_blob(17.5, 11.25), matrix, window)
  x, y, depth = matrix @ [17.5, 11.25, 1]
  np.testing.assert_allclose(_centre(drawn, window), [x / depth, y / depth], atol=0.06)


@pytest.mark.parametrize("seed", range(4))
def test_flow_takes_points_of_a_picture_to_where_they_are_next(seed):
  now, after = _homography(seed), _homography(seed + 10)
  window = render.Window(5, 9, 60, 50)
  flow = planes.flow(after @ np.linalg.inv(now), window)
  for x, y in ((5.5, 9.5), (40.5, 20.5), (59.5, 49.5)):
    # The point of the picture that is visible there, and where it moves.
    point = np.linalg.solve(now, [x, y, 1])
    u, v, depth = after @ point
    expected = [u / depth - x, v / depth - y]
    found = flow[int(y) - window.y0, int(x) - window.x0]
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_extent_holds_all_that_is_drawn_and_nothing_outside_the_frame():
  matrix = _homography(0)
  window = planes.extent(matrix, (24, 40), SIZE)
  whole = planes.warp(np.ones((24, 40)), matrix, render.Window(0, 0, SIZE, SIZE))
  inside = np.zeros_like(whole)
  inside[window.slices] = whole[window.slices]
  # Resampling spreads the border by less than a pixel.
  assert (whole > 0.5).sum() == (inside > 0.5).sum()
  shift = np.array([[1.0, 0, 100], [0, 1, 0], [0, 0, 1]])
  assert planes.extent(shift, (24, 40), SIZE) is None
  behind = np.diag([1.0, 1.0, -1.0])
  assert planes.extent(behind, (24, 40), SIZE) is None
