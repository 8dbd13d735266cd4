"""The glTF file, as a reader of its own finds it: joints, vertices, who is there."""

import jax
import numpy as np
import pytest

from mhmr_jax.body import smpl
from mhmr_jax.body.joints import SMPL_JOINTS
from mhmr_jax.errors import InputError
from mhmr_jax.export import gltf
from tests.export import glb


@pytest.fixture(scope="module")
def file(tmp_path_factory, walks, body):
  path = tmp_path_factory.mktemp("glb") / "motion.glb"
  gltf.write(path, walks, body)
  return glb.read(path)


def _rows(motion, kept):
  columns = {
    name: value[kept]
    for name, value in motion._asdict().items()
    if isinstance(value, np.ndarray) and len(value) == len(motion.times)
  }
  return motion._replace(**columns)


def test_the_joints_are_where_they_are_in_the_world(file, walks):
  for person, walk in enumerate(walks):
    found = glb.joints(file, person, walk.times)
    assert tuple(found) == SMPL_JOINTS
    joints = np.stack(list(found.values()), axis=1)
    assert np.linalg.norm(joints - walk.joints_world, axis=-1).max() < 1e-5  # m.


def test_the_animation_has_the_video_s_times(file, walks):
  pelvis = file.content["skins"][0]["joints"][0]
  for path in ("translation", "rotation"):
    how, times, values = glb.channel(file, pelvis, path)
    assert how == "LINEAR"
    np.testing.assert_allclose(times, walks[0].times, atol=1e-6)
    assert len(values) == 40
  quaternions = glb.channel(file, pelvis, "rotation")[2]
  assert (np.sum(quaternions[1:] * quaternions[:-1], axis=-1) > 0).all()


def test_four_joints_a_vertex_nearly_suffice(file, walks, body):
  forward = jax.jit(smpl.forward)
  for person, walk in enumerate(walks):
    expected, _ = forward(body, walk.pose_world, walk.betas, walk.transl_world)
    found = glb.vertices(file, person, walk.times)
    apart = 1000 * np.linalg.norm(found - np.asarray(expected), axis=-1)
    assert apart.mean() < 0.1  # mm
    assert apart.max() < 25
    assert (apart > 1).mean() < 0.02


def test_meshes_are_closed_and_face_outwards_and_differ_in_colour(file, walks, body):
  for person in range(2):
    (primitive,) = file.content["meshes"][person]["primitives"]
    rest, normals, weights = (
      file.arrays[primitive["attributes"][key]]
      for key in ("POSITION", "NORMAL", "WEIGHTS_0")
    )
    faces = file.arrays[primitive["indices"]].reshape(-1, 3)
    np.testing.assert_array_equal(faces, body.faces)
    assert rest[:, 1].min() == pytest.approx(0, abs=1e-6)  # It stands on the floor.
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    corners = rest[faces].astype(float)
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert np.sum(corners[:, 0] * across) > 0  # The volume.
    # A normal points away from the faces around its vertex.
    assert (np.sum(normals[faces[:, 0]] * across, axis=1) > 0).mean() > 0.98
  colours = [
    material["pbrMetallicRoughness"]["baseColorFactor"]
    for material in file.content["materials"]
  ]
  assert np.abs(np.subtract(*colours)).max() > 0.2
  assert [mesh["name"] for mesh in file.content["meshes"]] == [
    "person_00",
    "person_01",
  ]


def _size(file, person, times):
  """How tall a person's skinned mesh is."""
  vertices = glb.vertices(file, person, np.array(times))
  return np.ptp(vertices[..., 1], axis=1)


def test_whoever_is_absent_is_not_seen(tmp_path, walks, body):
  first = _rows(walks[0], np.r_[0:10, 25:30])  # Frames 3 to 12 and 28 to 32 of 43.
  gltf.write(tmp_path / "motion.glb", [first, walks[1]], body)
  file = glb.read(tmp_path / "motion.glb")
  shown = np.array([3, 7, 12, 28, 32]) / 30
  absent = np.array([0, 2, 13, 20, 27, 33, 42]) / 30
  assert _size(file, 0, shown).min() > 1
  assert _size(file, 0, absent).max() < 1e-6
  assert _size(file, 1, [3 / 30, 20 / 30, 42 / 30]).min() > 1
  found = np.stack(list(glb.joints(file, 0, first.times).values()), axis=1)
  np.testing.assert_allclose(found, first.joints_world, atol=1e-5)


def test_whoever_is_always_there_has_no_scale(tmp_path, walks, body):
  walk = walks[0]._replace(times=np.arange(40) / 30, frame_index=np.arange(40))
  gltf.write(tmp_path / "motion.glb", [walk], body)
  file = glb.read(tmp_path / "motion.glb")
  paths = {c["target"]["path"] for c in file.content["animations"][0]["channels"]}
  assert paths == {"translation", "rotation"}


def test_a_folder_that_is_missing_is_named(tmp_path, walks, body):
  with pytest.raises(InputError, match=r"absent.*cannot be written"):
    gltf.write(tmp_path / "absent" / "motion.glb", walks, body)
