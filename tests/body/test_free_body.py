import jax
import numpy as np
import pytest
import scipy.spatial

from mhmr_jax.body import joints, model_files, smpl
from mhmr_jax.body.building import build_free_body

FLIP = np.array([-1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def body():
  return model_files.read_model(smpl.FREE_BODY)


@pytest.fixture(scope="module")
def mirror(body):
  template = body["v_template"]
  return scipy.spatial.cKDTree(template).query(template * FLIP)[1]


@pytest.fixture(scope="module")
def people(body):
  """Vertices and joints of sampled shapes, the mean first."""
  betas = np.random.default_rng(0).normal(size=(200, 10))
  betas[0] = 0
  shapedirs = body["shapedirs"].astype(np.float64)
  vertices = body["v_template"] + np.einsum("vis,ns->nvi", shapedirs, betas)
  return vertices, np.einsum("jv,nvi->nji", body["J_regressor"], vertices)


@pytest.fixture(scope="module")
def turn():
  """Vertices and joints of the mean body: at rest, and with one joint turned."""
  model = smpl.load()
  forward = jax.jit(smpl.forward)

  def run(joint, angle):
    pose = np.zeros((2, 24, 3), np.float32)
    pose[1, _joint(joint)] = angle
    zeros = np.zeros(10, np.float32), np.zeros(3, np.float32)
    vertices, places = forward(model, pose, *zeros)
    return np.asarray(vertices, np.float64), np.asarray(places, np.float64)

  return run


def _joint(name):
  return joints.SMPL_JOINTS.index(name)


def _volume(vertices, faces):
  a, b, c = np.moveaxis(vertices[..., faces, :], -2, 0)
  return np.einsum("...fi,...fi->...", a, np.cross(b, c)) / 6


def _turns_around(vertices, faces, point):
  """How many times the surface winds around the point: 1 inside, 0 outside."""
  a, b, c = np.moveaxis(vertices[faces] - point, 1, 0)
  la, lb, lc = (np.linalg.norm(x, axis=1) for x in (a, b, c))
  triple = np.einsum("fi,fi->f", a, np.cross(b, c))
  dots = [np.einsum("fi,fi->f", x, y) for x, y in ((a, b), (b, c), (c, a))]
  below = la * lb * lc + dots[0] * lc + dots[1] * la + dots[2] * lb
  return np.arctan2(triple, below).sum() / (2 * np.pi)


def test_has_smpls_arrays_in_at_most_three_megabytes(body):
  count = len(body["v_template"])
  assert 1500 <= count <= 7000
  shapes = {name: array.shape for name, array in body.items()}
  assert shapes == {
    "v_template": (count, 3),
    "shapedirs": (count, 3, 10),
    "posedirs": (count, 3, 207),
    "J_regressor": (24, count),
    "weights": (count, 24),
    "kintree_table": (2, 24),
    "f": (2 * count - 4, 3),
    "keypoint_regressor": (17, count),
  }
  assert tuple(body["kintree_table"][0]) == joints.SMPL_PARENTS
  assert all(np.isfinite(array).all() for array in body.values())
  assert smpl.FREE_BODY.stat().st_size <= 3e6


def test_surface_is_closed_in_one_piece_and_faces_outwards(body, people):
  faces = body["f"]
  edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
  directed = set(map(tuple, edges.tolist()))
  assert len(directed) == len(edges)
  assert directed == {(b, a) for a, b in directed}
  # One closed piece without handles has V - E + F = 2; f's shape says so too.
  assert len(np.unique(faces)) == len(body["v_template"])
  graph = scipy.sparse.coo_array((np.ones(len(edges)), edges.T))
  assert scipy.sparse.csgraph.connected_components(graph)[0] == 1
  corners = body["v_template"][faces]
  normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
  assert np.linalg.norm(normals, axis=1).min() > 1e-7  # Square metres.
  assert (_volume(people[0], faces) > 0.03).all()


def test_is_its_own_mirror_image(body, mirror):
  np.testing.assert_allclose(
    body["v_template"][mirror] * FLIP, body["v_template"], atol=1e-6
  )
  shapedirs = body["shapedirs"].astype(np.float32)
  np.testing.assert_allclose(shapedirs[mirror] * FLIP[:, None], shapedirs, atol=1e-5)
  weights = body["weights"][mirror][:, joints.SMPL_FLIP]
  np.testing.assert_allclose(weights, body["weights"], atol=1e-6)
  for key, flip in (
    ("J_regressor", joints.SMPL_FLIP),
    ("keypoint_regressor", joints.COCO_FLIP),
  ):
    mirrored = body[key][list(flip)][:, mirror]
    np.testing.assert_allclose(mirrored, body[key], atol=1e-6)
  images = {frozenset(face) for face in mirror[body["f"]].tolist()}
  assert images == {frozenset(face) for face in body["f"].tolist()}


def test_weights_are_few_and_of_near_joints(body, people):
  weights = body["weights"]
  np.testing.assert_allclose(weights.sum(1), 1, atol=1e-5)
  assert weights.min() >= 0
  assert (weights > 0).sum(1).max() <= 8
  assert (weights.max(0) > 0.4).all()
  vertices, places = (x[0] for x in people)
  children = [
    [c for c, p in enumerate(joints.SMPL_PARENTS) if p == j] for j in range(24)
  ]
  for joint in range(24):
    own = vertices[weights.argmax(1) == joint]
    ends = [places[child] for child in children[joint]] or [own.mean(0)]
    parts = np.linspace(0, 1, 9)[:, None]
    bone = np.concatenate([places[joint] * (1 - parts) + end * parts for end in ends])
    assert scipy.spatial.cKDTree(bone).query(own)[0].max() < 0.22


@pytest.mark.parametrize("key", ["J_regressor", "keypoint_regressor"])
def test_regressors_are_mixtures_of_a_few_vertices(body, key):
  regressor = body[key]
  np.testing.assert_allclose(regressor.sum(1), 1, atol=1e-5)
  assert regressor.min() >= 0
  assert (regressor > 0).sum(1).max() <= 40
  points = regressor @ body["v_template"]
  for row, point in zip(regressor, points, strict=True):
    used = body["v_template"][row > 0]
    assert np.linalg.norm(used - point, axis=1).max() < 0.35


def test_joints_lie_inside_every_body(body, people):
  for vertices, places in zip(people[0][:10], people[1][:10], strict=True):
    for place in places:
      assert _turns_around(vertices, body["f"], place) == pytest.approx(1, abs=1e-3)


def test_rests_in_a_t_pose(people):
  _, places = people
  for names in (
    ("left_shoulder", "left_elbow", "left_wrist", "left_hand"),
    ("right_shoulder", "right_elbow", "right_wrist", "right_hand"),
  ):
    sign = 1 if names[0].startswith("left") else -1
    arm = places[:, [_joint(name) for name in names]]
    assert np.abs(arm[..., 1:] - arm[:, :1, 1:]).max() < 0.01
    assert (np.diff(arm[..., 0], axis=1) * sign > 0.06).all()
  for side in ("left", "right"):
    hip, knee, ankle = (
      places[:, _joint(f"{side}_{name}")] for name in ("hip", "knee", "ankle")
    )
    for part in (knee - hip, ankle - knee):
      down = -part[:, 1] / np.linalg.norm(part, axis=1)
      assert (down > np.cos(np.radians(4))).all()


def test_stands_upright_and_faces_the_front_with_its_left_at_positive_x(people):
  places = people[1]
  for name in ("hip", "knee", "ankle", "foot", "collar", "shoulder", "elbow"):
    assert (places[:, _joint(f"left_{name}"), 0] > 0.015).all()
    assert (places[:, _joint(f"right_{name}"), 0] < -0.015).all()
  upwards = ("left_foot", "left_ankle", "left_knee", "left_hip", "pelvis", "spine1")
  upwards += ("spine2", "spine3", "neck", "head")
  height = places[:, [_joint(name) for name in upwards], 1]
  assert (np.diff(height, axis=1) > 0).all()
  for side in ("left", "right"):
    toes = places[:, _joint(f"{side}_foot")] - places[:, _joint(f"{side}_ankle")]
    assert (toes[:, 2] > 0.08).all()
  np.testing.assert_allclose(
    places[:, 0], np.tile(build_free_body.PELVIS, (200, 1)), atol=2e-3
  )


def test_shapes_are_those_of_adults(body, people):
  vertices, _ = people
  height = np.ptp(vertices[..., 1], axis=1)
  mass_index = 1000 * _volume(vertices, body["f"]) / height**2
  assert 1.65 < height[0] < 1.77
  assert 0.06 < height.std() < 0.12
  assert height.min() > 1.35
  assert height.max() < 2.1
  assert 21 < mass_index.mean() < 26
  assert 2.5 < mass_index.std() < 5
  assert mass_index.min() > 11


def test_shape_components_are_ordered_and_the_first_is_height(body):
  shapedirs = body["shapedirs"].astype(np.float64)
  size = np.sqrt((shapedirs**2).sum((0, 1)))
  assert (np.diff(size) <= 0).all()
  tallness = [
    np.ptp((body["v_template"] + shapedirs @ betas)[:, 1]) for betas in 2 * np.eye(10)
  ]
  mean = np.ptp(body["v_template"][:, 1])
  assert tallness[0] - mean > 0.1
  assert all(abs(tall - mean) < 0.08 for tall in tallness[1:])
  flat = shapedirs.reshape(-1, 10) / size
  np.testing.assert_allclose(flat.T @ flat, np.eye(10), atol=1e-2)


def test_keypoints_are_where_coco_has_them(body, people):
  vertices, places = people
  found = np.einsum("kv,nvi->nki", body["keypoint_regressor"], vertices)
  points = {name: found[:, i] for i, name in enumerate(joints.COCO_KEYPOINTS)}
  for name in ("shoulder", "elbow", "wrist", "knee", "ankle"):
    np.testing.assert_allclose(
      points[f"left_{name}"], places[:, _joint(f"left_{name}")], atol=1e-4
    )
  nose, eye, ear = (points[name] for name in ("nose", "left_eye", "left_ear"))
  assert ((nose - eye)[:, 2] > 0.005).all()
  assert ((eye - ear)[:, 2] > 0.05).all()
  assert ((eye - nose)[:, 1] > 0.02).all()
  assert (eye[:, 0] > 0.02).all()
  assert ((ear - eye)[:, 0] > 0.02).all()
  distance, _ = scipy.spatial.cKDTree(vertices[0]).query([nose[0], eye[0], ear[0]])
  assert distance.max() < 0.012
  hips = points["left_hip"][:, 0] - points["right_hip"][:, 0]
  joints_apart = places[:, _joint("left_hip"), 0] - places[:, _joint("right_hip"), 0]
  assert (hips > joints_apart + 0.01).all()
  assert 0.2 < hips.mean() < 0.28


@pytest.mark.parametrize(
  ("joint", "angle"),
  [
    ("left_elbow", (0, -2.0, 0)),
    ("left_elbow", (1.2, 0, 0)),
    ("left_wrist", (1.2, 0, 0)),
    ("left_shoulder", (0, 0, -1.4)),
    ("left_shoulder", (0, 0, 1.4)),
    ("left_shoulder", (0, -1.5, 0)),
    ("left_hip", (-1.8, 0, 0)),
    ("left_knee", (2.2, 0, 0)),
    ("neck", (0.6, 0, 0)),
    ("head", (0, 1.0, 0)),
    ("spine1", (0.8, 0, 0)),
    ("spine2", (0, 0.8, 0)),
  ],
)
def test_bends_without_collapsing(body, turn, joint, angle):
  rest, posed = turn(joint, angle)[0]
  moving = body["weights"][:, _joint(joint)] > 0.02
  faces = body["f"][moving[body["f"]].any(1)]
  lengths = [
    np.linalg.norm(v[faces] - v[np.roll(faces, 1, axis=1)], axis=-1)
    for v in (rest, posed)
  ]
  assert np.median(lengths[1] / lengths[0]) == pytest.approx(1, abs=0.15)
  assert (lengths[1] - lengths[0]).max() < 0.1
  ratio = _volume(posed, body["f"]) / _volume(rest, body["f"])
  assert ratio == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("angle", [-1.2, 1.2])
def test_twisted_forearm_keeps_its_girth(turn, angle):
  """No candy wrapper: the wrist's ring does not shrink to a point."""
  (rest, posed), places = turn("left_wrist", (angle, 0, 0))
  wrist = places[0, _joint("left_wrist")]
  arm = (rest[:, 0] > wrist[0] - 0.15) & (rest[:, 0] < wrist[0] + 0.02)
  girth = [np.linalg.norm(v[arm, 1:] - wrist[1:], axis=1) for v in (rest, posed)]
  assert (girth[1] / girth[0]).min() > 0.6
