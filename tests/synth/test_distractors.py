import itertools

import numpy as np
import pytest

from mhmr_jax.geometry import pinhole
from mhmr_jax.motion import library
from mhmr_jax.synth import appearance, distractors, people, render, skinning

SIZE, FRAMES = 128, 6


@pytest.fixture(scope="module")
def body():
  return skinning.load()


@pytest.fixture(scope="module")
def simple(body):
  return distractors.simplify(body)


@pytest.fixture(scope="module")
def person(body):
  rngs = {
    name: np.random.default_rng(seed)
    for seed, name in enumerate(("shape", "looks", "filming"))
  }
  motion = library.open_motions("").sample(np.random.default_rng(3), "train", FRAMES)
  return people.Actor(body).film(motion, SIZE, **rngs)


@pytest.fixture(scope="module")
def tracks(person, simple):
  """The other people of several clips."""
  actor, motions = people.Actor(simple), library.open_motions("")
  return [
    distractors.film(
      np.random.default_rng(seed),
      actor,
      motions,
      "train",
      person,
      SIZE,
      appearance.USUAL,
    )
    for seed in range(20)
  ]


def _silhouette(body, pose, size) -> np.ndarray:
  K = np.array([[size, 0, size / 2], [0, size, size / 2], [0, 0, 1]], np.float32)
  betas = np.zeros(10, np.float32)
  posed = body.pose(pose, betas, np.array([[0, 0.2, 3.0]], np.float32))
  fragments = render.Mesh(body.faces).rasterise(posed.vertices[0], K, (size, size))
  mask = np.zeros((size, size), bool)
  centres = fragments.centres()
  window = fragments.window
  mask[centres.row + window.y0, centres.column + window.x0] = True
  return mask


def test_a_simple_body_looks_the_same_from_afar(body, simple):
  assert len(simple.v_template) < 0.4 * len(body.v_template)
  assert len(simple.faces) < 0.4 * len(body.faces)
  np.testing.assert_allclose(simple.weights.sum(1), 1, atol=1e-5)
  rng = np.random.default_rng(0)
  for _ in range(4):
    pose = rng.normal(0, 0.3, (1, 24, 3)).astype(np.float32)
    pose[0, 0] = [np.pi, 0, 0]
    pose[0, 0] += rng.normal(0, 0.3, 3)
    full, coarse = (_silhouette(b, pose, 96) for b in (body, simple))
    assert (full & coarse).sum() / (full | coarse).sum() > 0.85
    # Merged triangles leave hardly any holes.
    assert coarse.sum() > 0.93 * full.sum()


def test_keypoints_of_the_simple_body_stay(body, simple):
  both = [b.keypoint_regressor @ b.v_template for b in (body, simple)]
  assert np.abs(both[0] - both[1]).max() < 0.03


def test_others_are_smaller_behind_and_not_always_there(person, tracks):
  assert {len(track) for track in tracks} == {0, 1, 2, 3}
  seen, farther, heights = 0, [], []
  mine = np.concatenate(
    [layer.buffer.depth[layer.mask] for layer in person.layers if layer]
  )
  for track in (t for clip in tracks for t in clip):
    assert len(track) == FRAMES
    layers = [layer for layer in track if layer is not None and layer.mask.any()]
    seen += bool(layers)
    for layer in layers:
      farther.append(np.median(layer.buffer.depth[layer.mask]) / np.median(mine))
      heights.append(np.ptp(np.nonzero(layer.mask)[0]))
  assert seen > 10
  assert min(farther) > 1
  assert np.median(heights) < 0.7 * np.ptp(np.nonzero(person.layers[3].mask)[0])


def test_the_farthest_come_first(tracks):
  for clip in tracks:
    depths = [
      np.median([np.median(la.buffer.depth[la.mask]) for la in track if la is not None])
      for track in clip
      if any(la is not None and la.mask.any() for la in track)
    ]
    # They walk about, so that they may change places by a metre or two.
    assert all(a > b - 2.0 for a, b in itertools.pairwise(depths))


def test_they_stand_on_the_persons_ground(person):
  """A body's lowest joint is at the height of the person's lowest joint."""
  motion = library.open_motions("").sample(np.random.default_rng(5), "train", FRAMES)
  ground = distractors._ground(person)
  turn = distractors.Rotation.identity()
  placed = distractors._place(motion, turn, person, 40.0, 8.0, ground)
  np.testing.assert_allclose(
    placed.transl[:, 1] - motion.transl[:, 1], ground, atol=1e-5
  )
  in_camera = person.camera.to_camera(placed.transl[:, None])[:, 0]
  middle = FRAMES // 2
  pixel = pinhole.project(in_camera[middle], person.camera.intrinsics)
  assert abs(pixel[0] - 40) < 12
  assert (in_camera[:, 2] > person.joints_camera[:, 0, 2] + 0.69).all()
