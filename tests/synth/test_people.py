import numpy as np
import pytest

from mhmr_jax.geometry import pinhole
from mhmr_jax.motion.pose_sequence import PoseSequence
from mhmr_jax.synth import people, render, skinning

SIZE, FRAMES = 128, 6


@pytest.fixture(scope="module")
def body():
  return skinning.load()


@pytest.fixture(scope="module")
def actor(body):
  return people.Actor(body)


def _motion() -> PoseSequence:
  """A person who strides, turns and swings both arms."""
  steps = np.arange(FRAMES)[:, None] / 30
  pose = np.zeros((FRAMES, 24, 3), np.float32)
  pose[:, 0] = steps * [0, 1.5, 0]
  pose[:, 1] = [0.4, 0, 0] - steps * [3, 0, 0]
  pose[:, 16] = [0, 0, -0.9] + steps * [2, 0, 0]
  pose[:, 17] = [0, 0, 0.9] - steps * [2, 0, 0]
  transl = [0, 0.95, 0] + steps * [0.3, 0, 1.2]
  return PoseSequence(pose, transl.astype(np.float32), 30.0)


def _film(actor, seed: int) -> people.Person:
  names = ("shape", "looks", "filming")
  streams = np.random.SeedSequence(seed).spawn(3)
  rngs = {n: np.random.default_rng(s) for n, s in zip(names, streams, strict=True)}
  return actor.film(_motion(), SIZE, **rngs)


@pytest.mark.parametrize("seed", range(3))
def test_labels_pose_the_body_where_it_is_seen(body, actor, seed):
  person = _film(actor, seed)
  posed = body.pose(person.pose, person.betas, person.transl)
  np.testing.assert_allclose(posed.joints, person.joints_camera, atol=1e-4)
  keypoints = np.stack([body.keypoint_regressor @ v for v in posed.vertices])
  pixels = pinhole.project(keypoints, person.camera.intrinsics)
  np.testing.assert_allclose(pixels, person.keypoints_image[..., :2], atol=0.02)


@pytest.mark.parametrize("seed", range(3))
def test_joints_that_are_seen_lie_on_the_mask(actor, seed):
  person = _film(actor, seed)
  inside = 0
  for t, layer in enumerate(person.layers):
    assert layer is not None
    mask = np.zeros((SIZE, SIZE), bool)
    mask[layer.window.slices] = np.isfinite(layer.buffer.depth)
    pixels = pinhole.project(person.joints_camera[t], person.camera.intrinsics)
    seen = person.visibility[t] > 0
    assert seen.sum() >= 8
    column, row = pixels[seen].astype(int).T
    inside += mask[row, column].mean() / len(person.layers)
  assert inside > 0.97


def test_flow_is_the_motion_of_the_vertices_seen(body, actor):
  """Compares with vertices posed from the labels, without clothes."""
  person = _film(actor, 1)
  K = person.camera.intrinsics
  mesh = render.Mesh(body.faces)
  posed = body.pose(person.pose, person.betas, person.transl)
  worst, typical = [], []
  for t in range(FRAMES - 1):
    layer = person.layers[t]
    pixels = pinhole.project(posed.vertices[t], K)
    following = pinhole.project(posed.vertices[t + 1], K)
    # Vertices that are visible, and near the centre of a pixel.
    centres = mesh.rasterise(posed.vertices[t], K, (SIZE, SIZE)).centres()
    vertex = np.unique(centres.nearest())
    here = np.floor(pixels[vertex]).astype(int)
    x0, y0, x1, y1 = layer.window
    close = np.abs(pixels[vertex] - here - 0.5).max(1) < 0.25
    close &= ((here >= [x0, y0]) & (here < [x1, y1])).all(1)
    column, row = here[close].T
    depth = layer.buffer.depth[row - y0, column - x0]
    # Clothes lie up to 4 cm off the skin.
    same = np.abs(depth - posed.vertices[t, vertex[close], 2]) < 0.04
    flow = layer.flow[row - y0, column - x0][same]
    expected = (following - pixels)[vertex[close]][same]
    error = np.linalg.norm(flow - expected, axis=1)
    assert len(error) > 50
    assert np.linalg.norm(expected, axis=1).max() > 1
    worst.append(np.quantile(error, 0.99))
    typical.append(np.median(error))
  assert max(worst) < 0.5
  assert max(typical) < 0.06


def test_a_person_out_of_the_frame(actor, monkeypatch):
  class Away(people.camera.CameraPath):
    def to_camera(self, points_world):
      return super().to_camera(points_world) + np.array([50, 0, 0], np.float32)

  sample = people.camera.sample
  monkeypatch.setattr(people.camera, "sample", lambda *a: Away(*sample(*a)))
  person = _film(actor, 0)
  assert person.layers == [None] * FRAMES
  assert not person.visibility.any()
  assert not person.keypoints_image[..., 2].any()


def test_streams_are_independent(actor):
  def film(shape, looks, filming):
    return actor.film(
      _motion(),
      SIZE,
      shape=np.random.default_rng(shape),
      looks=np.random.default_rng(looks),
      filming=np.random.default_rng(filming),
    )

  first, dressed, filmed = film(0, 1, 2), film(0, 7, 2), film(0, 1, 7)
  np.testing.assert_array_equal(first.betas, dressed.betas)
  np.testing.assert_array_equal(first.joints_camera, dressed.joints_camera)
  assert not np.allclose(first.layers[0].rgba.mean(), dressed.layers[0].rgba.mean())
  np.testing.assert_array_equal(first.betas, filmed.betas)
  assert not np.allclose(first.joints_camera, filmed.joints_camera)
