"""The body layer against smplx, its two paths against each other, and bad files."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mhmr_jax.body import joints as body_joints
from mhmr_jax.body import smpl
from mhmr_jax.errors import InputError
from mhmr_jax.geometry import rotations as rot
from tests.body import random_smpl

forward = jax.jit(smpl.forward)
joints = jax.jit(smpl.joints)


def load(folder, data) -> smpl.SmplModel:
  path = folder / "model.npz"
  np.savez(path, **data)
  return smpl.load(path)


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> smpl.SmplModel:
  return load(tmp_path_factory.mktemp("small"), random_smpl.arrays(120))


@pytest.fixture(scope="module")
def free_body() -> smpl.SmplModel:
  return smpl.load()


def smplx_forward(data, pose, betas, transl):
  """Vertices and joints by smplx's own linear blend skinning."""
  torch = pytest.importorskip("torch")
  lbs = pytest.importorskip("smplx.lbs")

  def tensor(value):
    return torch.tensor(value.astype(np.float32))

  vertices, joints = lbs.lbs(
    tensor(betas),
    tensor(pose.reshape(len(pose), 72)),
    tensor(data["v_template"]),
    tensor(data["shapedirs"]),
    tensor(data["posedirs"].reshape(-1, 207).T),
    tensor(data["J_regressor"]),
    torch.tensor(body_joints.SMPL_PARENTS),
    tensor(data["weights"]),
  )
  return vertices.numpy() + transl[:, None], joints.numpy() + transl[:, None]


@pytest.mark.parametrize("num_vertices", [120, 6890])
def test_forward_is_smplxs(tmp_path, num_vertices):
  data = random_smpl.arrays(num_vertices)
  pose, betas, transl = random_smpl.inputs((8,))
  pose[0] = 0
  expected_vertices, expected_joints = smplx_forward(data, pose, betas, transl)
  vertices, joints = forward(load(tmp_path, data), pose, betas, transl)
  np.testing.assert_allclose(vertices, expected_vertices, rtol=0, atol=1e-5)
  np.testing.assert_allclose(joints, expected_joints, rtol=0, atol=1e-5)


@pytest.mark.parametrize("batch", [(), (1,), (3, 1, 2, 1)])
def test_every_batch_shape_gives_what_one_at_a_time_gives(small, batch):
  pose, betas, transl = random_smpl.inputs(batch)
  vertices, places = jax.device_get(forward(small, pose, betas, transl))
  assert vertices.shape == (*batch, 120, 3)
  assert places.shape == (*batch, 24, 3)
  assert vertices.dtype == places.dtype == jnp.float32
  for index in np.ndindex(batch):
    one = forward(small, pose[index], betas[index], transl[index])
    np.testing.assert_allclose(vertices[index], one[0], atol=1e-5)
    np.testing.assert_allclose(places[index], one[1], atol=1e-5)


def test_one_shape_serves_all_frames(small):
  pose, _, transl = random_smpl.inputs((2, 3))
  betas = random_smpl.inputs((2, 1))[1]
  everywhere = np.broadcast_to(betas, (2, 3, 10))
  for result, expected in zip(
    forward(small, pose, betas, transl),
    forward(small, pose, everywhere, transl),
    strict=True,
  ):
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_joints_alone_are_forwards_and_read_no_vertex(small):
  pose, betas, transl = random_smpl.inputs((5,))
  without = dataclasses.replace(
    small,
    **{
      name: jax.device_put(np.full_like(getattr(small, name), np.nan))
      for name in ("v_template", "shapedirs", "posedirs", "weights", "J_regressor")
    },
  )
  expected = forward(small, pose, betas, transl)[1]
  np.testing.assert_allclose(joints(without, pose, betas, transl), expected, atol=1e-6)


def test_regressed_joints_are_the_regressor_times_the_vertices(small):
  rng = np.random.default_rng(3)
  regressor = np.zeros((19, 120), np.float32)
  regressor[:, rng.choice(120, 30, replace=False)] = rng.random((19, 30))
  restricted = smpl.restrict(small, regressor)
  assert restricted.v_template.shape == (30, 3)
  pose, betas, transl = random_smpl.inputs((4, 2))
  result = jax.jit(smpl.regressed_joints)(restricted, pose, betas, transl)
  vertices, places = forward(small, pose, betas, transl)
  np.testing.assert_allclose(
    result, np.einsum("kv,btvc->btkc", regressor, vertices), atol=1e-4
  )
  np.testing.assert_allclose(joints(restricted, pose, betas, transl), places, atol=1e-6)


def test_gradients_at_zero_pose_are_those_of_finite_differences(small):
  cotangent = np.random.default_rng(4).normal(size=(120, 3))
  betas = np.linspace(-1, 1, 10)

  def loss(pose, betas, model):
    vertices, places = smpl.forward(model, pose, betas, jnp.zeros(3))
    return jnp.vdot(vertices, cotangent) + jnp.vdot(places, cotangent[:24])

  with jax.enable_x64(True):
    model = jax.tree.map(
      lambda x: jax.device_put(
        np.asarray(x, np.float64 if x.dtype == np.float32 else None)
      ),
      small,
    )
    zero = np.zeros((24, 3))
    gradients = jax.jit(jax.grad(loss, (0, 1)))(zero, betas, model)
    step = 1e-5
    many = jax.jit(jax.vmap(loss, (0, None, None)))
    deltas = step * np.eye(72).reshape(72, 24, 3)
    plus, minus = (np.asarray(many(d, betas, model)) for d in (deltas, -deltas))
    expected = (plus - minus) / (2 * step)
    np.testing.assert_allclose(np.ravel(gradients[0]), expected, atol=1e-6)
    many = jax.jit(jax.vmap(loss, (None, 0, None)))
    deltas = step * np.eye(10)
    plus, minus = (np.asarray(many(zero, betas + d, model)) for d in (deltas, -deltas))
    np.testing.assert_allclose(gradients[1], (plus - minus) / (2 * step), atol=1e-6)


def test_the_global_rotation_turns_about_the_pelvis(small):
  pose, betas, transl = random_smpl.inputs((6,))
  turned = pose.copy()
  turned[:, 0] = [0.0, np.pi / 2, 0.0]
  pose[:, 0] = 0
  places, places_turned = (
    np.asarray(joints(small, p, betas, transl)) for p in (pose, turned)
  )
  np.testing.assert_allclose(places_turned[:, 0], places[:, 0], atol=1e-6)
  offset, offset_turned = (p - p[:, :1] for p in (places, places_turned))
  quarter = np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]])
  np.testing.assert_allclose(offset_turned, offset @ quarter.T, atol=1e-5)


def test_more_than_ten_shapes_are_cut_to_ten(tmp_path):
  data = random_smpl.arrays(120)
  first = load(tmp_path, data)
  extra = np.ones((120, 3, 290))
  data["shapedirs"] = np.concatenate([data["shapedirs"], extra], axis=-1)
  for leaf, expected in zip(
    jax.tree.leaves(load(tmp_path, data)), jax.tree.leaves(first), strict=True
  ):
    np.testing.assert_array_equal(leaf, expected)


def test_smpls_own_mesh_has_keypoints_of_vertices_and_joints(tmp_path):
  data = random_smpl.arrays(6890)
  model = load(tmp_path, data)
  regressor = np.asarray(model.keypoint_regressor)
  names = dict(zip(body_joints.COCO_KEYPOINTS, regressor, strict=True))
  left_hip = body_joints.SMPL_JOINTS.index("left_hip")
  np.testing.assert_allclose(
    names["left_hip"], data["J_regressor"][left_hip], atol=1e-7
  )
  face = {"nose": 332, "left_eye": 2800, "right_eye": 6260, "left_ear": 583}
  for name, vertex in {**face, "right_ear": 4071}.items():
    np.testing.assert_array_equal(np.flatnonzero(names[name]), [vertex])


def test_the_free_body_stands_with_its_left_to_plus_x_and_faces_plus_z(free_body):
  pose, betas, transl = np.zeros((24, 3)), np.zeros(10), np.zeros(3)
  vertices, places = jax.device_get(forward(free_body, pose, betas, transl))
  keypoints = np.asarray(free_body.keypoint_regressor) @ vertices
  place = dict(zip(body_joints.SMPL_JOINTS, np.asarray(places), strict=True))
  point = dict(zip(body_joints.COCO_KEYPOINTS, keypoints, strict=True))
  for name, where in [*place.items(), *point.items()]:
    if name.startswith("left"):
      assert where[0] > 0.01, name
  assert point["nose"][2] > point["left_ear"][2] + 0.05
  assert place["head"][1] > place["pelvis"][1] > place["left_foot"][1]
  assert 1.4 < np.ptp(vertices[:, 1]) < 2.1


def test_a_mirrored_pose_gives_the_mirrored_free_body(free_body):
  pose, betas, _ = random_smpl.inputs((4,))
  transl = np.zeros((4, 3), np.float32)
  expected = np.asarray(joints(free_body, pose, betas * 0, transl))
  expected = expected[:, body_joints.SMPL_FLIP] * [-1, 1, 1]
  mirrored = joints(free_body, body_joints.flip_pose(pose), betas * 0, transl)
  np.testing.assert_allclose(mirrored, expected, atol=1e-4)


@pytest.mark.parametrize(
  ("key", "change"),
  [
    *((key, None) for key in random_smpl.arrays(20)),
    ("v_template", lambda x: x[:, :2]),
    ("v_template", lambda x: x * np.nan),
    ("shapedirs", lambda x: x[..., :9]),
    ("shapedirs", lambda x: x[:-1]),
    ("posedirs", lambda x: x[..., :-1]),
    ("J_regressor", lambda x: x.T),
    ("weights", lambda x: x[:, :-1]),
    ("weights", lambda x: x.astype(str)),
    ("kintree_table", lambda x: x[:, ::-1]),
    ("kintree_table", lambda x: x[:, :22]),
    ("f", lambda x: x + 20),
    ("keypoint_regressor", lambda x: x[:16]),
  ],
)
def test_what_is_not_smpls_form_is_one_sentence_naming_file_and_key(
  tmp_path, key, change
):
  data = random_smpl.arrays(20)
  if change:
    data[key] = change(data[key])
  else:
    del data[key]
  with pytest.raises(InputError, match=rf"(?s)(?=.*model\.npz)(?=.*{key})"):
    load(tmp_path, data)


def test_a_missing_file_is_named(tmp_path):
  with pytest.raises(InputError, match=r"nobody\.pkl"):
    smpl.load(tmp_path / "nobody.pkl")


@pytest.mark.parametrize("batch", [(), (2, 3)])
def test_world_rotations_are_the_bones_and_have_an_inverse(small, batch):
  pose, betas, _ = random_smpl.inputs(batch)
  relative = jax.jit(rot.axis_angle_to_matrix)(pose)
  world = jax.jit(smpl.world_rotations)(relative)
  R, _, _ = jax.jit(smpl.bone_transforms)(small, relative, betas)
  np.testing.assert_allclose(world, R, atol=1e-5)
  inverse = jax.jit(smpl.parent_relative)
  np.testing.assert_allclose(inverse(world), relative, atol=1e-5)
  again = jax.jit(smpl.world_rotations)(inverse(relative))
  np.testing.assert_allclose(again, relative, atol=1e-5)
