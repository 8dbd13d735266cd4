import numpy as np
import pytest

from mhmr_jax.geometry import pinhole
from mhmr_jax.synth import render
from tests.synth.spheres import sphere

# Unequal focal lengths, and a principal point off the middle.
K = np.array([[150, 0, 70], [0, 130, 45], [0, 0, 1]], np.float32)
SHAPE = (96, 128)
RADIUS, CENTRE = 0.5, (0.1, 0.2, 3.0)


def _analytic(x, y):
  """Depth of the sphere along the rays through pixels (x, y); NaN beside it."""
  rays = np.stack([(x - K[0, 2]) / K[0, 0], (y - K[1, 2]) / K[1, 1], np.ones_like(x)])
  a = (rays**2).sum(0)
  b = np.tensordot(CENTRE, rays, 1)
  with np.errstate(invalid="ignore"):
    return (b - np.sqrt(b**2 - a * (np.dot(CENTRE, CENTRE) - RADIUS**2))) / a


@pytest.fixture(scope="module")
def fragments_of_sphere():
  vertices, mesh = sphere(RADIUS, CENTRE)
  fragments = mesh.rasterise(vertices, K, SHAPE)
  assert fragments is not None
  return vertices, fragments


def test_pixels_see_the_right_point_at_their_centre(fragments_of_sphere):
  vertices, fragments = fragments_of_sphere
  fragments = fragments.centres()
  x = fragments.window.x0 + fragments.column + 0.5
  y = fragments.window.y0 + fragments.row + 0.5
  points = np.stack(fragments.interpolate(list(vertices.T)), -1)
  pixels = pinhole.project(points, K)
  np.testing.assert_allclose(pixels, np.stack([x, y], -1), atol=1e-3)
  np.testing.assert_allclose(fragments.barycentric.sum(1), 1, atol=1e-5)
  # At the rim the triangles are farther away than the sphere, so the bound is loose.
  error = np.abs(points[:, 2] - _analytic(x, y))
  assert np.nanmax(error) < 0.05
  assert np.nanmedian(error) < 1e-3


def test_the_pixels_seen_are_those_whose_centre_lies_on_the_sphere(fragments_of_sphere):
  _, fragments = fragments_of_sphere
  centres = fragments.centres()
  mask = np.zeros(SHAPE, bool)
  mask[fragments.window.slices][centres.row, centres.column] = True
  y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
  expected = np.isfinite(_analytic(x, y))
  # The polyhedron is slightly smaller than the sphere.
  assert (mask & ~expected).sum() == 0
  assert (expected & ~mask).sum() <= 4


def test_alpha_is_how_much_of_a_pixel_is_covered(fragments_of_sphere):
  _, fragments = fragments_of_sphere
  count = len(fragments.row)
  rgba = render.resolve(fragments, [np.full(count, 80, np.float32)] * 3)
  alpha = rgba[..., 3]
  assert alpha.max() == 1
  assert ((alpha > 0) & (alpha < 1)).any()
  np.testing.assert_allclose(rgba[..., 0], 80 * alpha, atol=1e-4)
  # The area in pixels of the sphere's outline, which is an ellipse.
  y, x = np.mgrid[0 : SHAPE[0] : 0.1, 0 : SHAPE[1] : 0.1]
  area = np.isfinite(_analytic(x, y)).sum() / 100
  assert alpha.sum() == pytest.approx(area, rel=0.01)


def test_edges_take_their_colour_from_the_triangles_beside(fragments_of_sphere):
  vertices, fragments = fragments_of_sphere
  beside = ~fragments.at_centre
  assert 20 < beside.sum() < 0.2 * len(beside)
  assert (fragments.barycentric >= 0).all()
  x = fragments.window.x0 + fragments.column[beside] + 0.5
  y = fragments.window.y0 + fragments.row[beside] + 0.5
  points = np.stack(fragments.interpolate(list(vertices.T)), -1)
  pixels = pinhole.project(points[beside], K)
  # The bound is a pixel's diagonal and a triangle's size.
  assert np.linalg.norm(pixels - np.stack([x, y], -1), axis=1).max() < 2.5


def test_a_surface_out_of_sight_gives_nothing():
  for centre in ((5.0, 0.0, 3.0), (0.0, 0.0, -3.0)):
    vertices, mesh = sphere(0.5, centre)
    assert mesh.rasterise(vertices, K, SHAPE) is None


def test_triangles_too_near_are_left_out():
  vertices, mesh = sphere(1.0, (0, 0, 0.5))  # The camera is inside.
  whole, wide = sphere(1.0, (0, 0, 3.0))
  assert wide.rasterise(whole, K, SHAPE) is not None
  fragments = mesh.rasterise(vertices, K, SHAPE)
  # From inside, all remaining triangles face away.
  assert fragments is None


def test_part_of_a_surface_behind_the_camera():
  near, mesh = sphere(0.3, (0.0, 0.0, 2.0))
  passing = near.copy()
  passing[near[:, 2] < 1.75, 2] = -1.0  # A cap that faces the camera.
  whole, some = mesh.rasterise(near, K, SHAPE), mesh.rasterise(passing, K, SHAPE)
  assert whole is not None
  assert some is not None
  assert 0 < len(some.row) < len(whole.row)
