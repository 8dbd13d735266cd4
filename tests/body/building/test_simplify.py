import numpy as np
import pytest
import scipy.spatial

from mhmr_jax.body.building import simplify

FLIP = np.array([-1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def ball():
  """A closed, symmetric ball: a cube's surface of 12 x 12 quads a side, inflated."""
  steps = np.linspace(-1, 1, 13)
  corners, quads = [], []
  for axis in range(3):
    for side in (-1, 1):
      first = len(corners)
      for a in steps:
        for b in steps:
          corners.append(np.insert([a, b], axis, side))
      for i in range(12):
        for j in range(12):
          v = first + 13 * i + j
          quad = [v, v + 13, v + 14, v + 1]
          quads.append(quad if (side > 0) != (axis == 1) else quad[::-1])
  cube, index = np.unique(np.round(corners, 9), axis=0, return_inverse=True)
  vertices = cube / np.linalg.norm(cube, axis=1, keepdims=True)
  vertices[:, 0] = np.where(np.abs(vertices[:, 0]) < 1e-12, 0, vertices[:, 0])
  mirror = scipy.spatial.cKDTree(vertices).query(vertices * FLIP)[1]
  return vertices, index.reshape(-1)[np.array(quads)], mirror


@pytest.fixture(scope="module")
def coarse(ball):
  vertices, quads, mirror = ball
  faces = simplify.triangulate(quads, vertices, mirror)
  features = np.zeros((len(vertices), 1))
  simplifier = simplify.Simplifier(
    vertices, faces, mirror, np.ones(len(faces)), features
  )
  return simplifier.run(200)


def _sides(faces):
  edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
  return list(map(tuple, edges.tolist()))


def _volume(vertices, faces):
  a, b, c = np.moveaxis(vertices[faces], 1, 0)
  return np.einsum("fi,fi->", a, np.cross(b, c)) / 6


def test_triangulation_is_closed_and_mirrors_itself(ball):
  vertices, quads, mirror = ball
  faces = simplify.triangulate(quads, vertices, mirror)
  assert len(faces) == 2 * len(quads)
  assert set(_sides(faces)) == {(b, a) for a, b in _sides(faces)}
  images = {frozenset(face) for face in mirror[faces].tolist()}
  assert images == {frozenset(face) for face in faces.tolist()}


def test_simplified_surface_stays_closed_and_in_shape(ball, coarse):
  vertices, _, _ = ball
  count = len(np.unique(coarse))
  assert 190 < count <= 200
  assert len(coarse) == 2 * count - 4
  sides = _sides(coarse)
  assert len(set(sides)) == len(sides)
  assert set(sides) == {(b, a) for a, b in sides}
  assert _volume(vertices, coarse) == pytest.approx(4 / 3 * np.pi, rel=0.06)


def test_simplified_surface_mirrors_itself(ball, coarse):
  _, _, mirror = ball
  images = {frozenset(face) for face in mirror[coarse].tolist()}
  assert images == {frozenset(face) for face in coarse.tolist()}


def test_features_keep_vertices_where_they_vary(ball):
  vertices, quads, mirror = ball
  faces = simplify.triangulate(quads, vertices, mirror)
  features = np.where(vertices[:, 2:] > 0, vertices, 0)
  simplifier = simplify.Simplifier(
    vertices, faces, mirror, np.ones(len(faces)), features
  )
  kept = np.unique(simplifier.run(200))
  assert np.mean(vertices[kept, 2] > 0.1) > 0.7


def test_boundary_loop_runs_along_the_faces_edges(ball):
  vertices, quads, mirror = ball
  faces = simplify.triangulate(quads, vertices, mirror)
  cap = faces[(vertices[faces][..., 2] > 0.5).all(1)]
  loop = simplify.boundary_loop(cap)
  sides = set(_sides(cap))
  around = list(zip(loop, loop[1:] + loop[:1], strict=True))
  assert all((a, b) in sides and (b, a) not in sides for a, b in around)


def test_boundary_loop_refuses_two_holes(ball):
  vertices, quads, mirror = ball
  faces = simplify.triangulate(quads, vertices, mirror)
  belt = faces[(np.abs(vertices[faces][..., 2]) < 0.5).all(1)]
  with pytest.raises(ValueError, match="more than one boundary"):
    simplify.boundary_loop(belt)


def test_largest_patch_and_its_mirror_image(ball):
  vertices, quads, mirror = ball
  faces = simplify.triangulate(quads, vertices, mirror)
  left = (vertices[faces][..., 0] > 0.3).all(1)
  few = (vertices[faces][..., 0] < -0.9).all(1)
  patch = simplify.largest_patch(faces, left | few)
  np.testing.assert_array_equal(patch, left)
  right = (vertices[faces][..., 0] < -0.3).all(1)
  np.testing.assert_array_equal(simplify.mirrored(faces, left, mirror), right)


def test_rays_run_into_a_shell_from_within_only(ball):
  vertices, quads, mirror = ball
  faces = simplify.triangulate(quads, vertices, mirror)
  shell = np.concatenate([vertices, 2 * vertices])
  outer = faces + len(vertices)
  assert simplify.runs_into(shell, faces[:50], outer).all()
  assert not simplify.runs_into(shell, outer[:50], faces).any()
