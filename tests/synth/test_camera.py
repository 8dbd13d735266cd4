import numpy as np
import pytest

from mhmr_jax.geometry import pinhole
from mhmr_jax.synth import camera

FRAMES, SIZE, FPS = 30, 128, 30.0


def _walker(speed: float = 1.4) -> np.ndarray:
  """Points of a person 1.74 m tall, who walks along x."""
  rng = np.random.default_rng(0)
  points = rng.uniform(-1, 1, (1, 80, 3)) * [0.25, 0.87, 0.2] + [0, 0.95, 0]
  path = np.arange(FRAMES)[:, None, None] / FPS * [speed, 0, 0]
  return points + path


def _sample(seed: int, points: np.ndarray) -> camera.CameraPath:
  return camera.sample(np.random.default_rng(seed), points, SIZE, FPS)


def test_rotations_are_proper_and_the_world_is_upright():
  path = _sample(0, _walker())
  identity = path.R_wc @ path.R_wc.transpose(0, 2, 1)
  np.testing.assert_allclose(identity, np.tile(np.eye(3), (FRAMES, 1, 1)), atol=1e-5)
  np.testing.assert_allclose(np.linalg.det(path.R_wc), 1, atol=1e-5)
  # Apart from roll and pitch, the world's up is the camera's -y.
  assert (path.R_wc[:, 1, 1] < -0.3).all()


@pytest.mark.parametrize("speed", [0.0, 1.4, 5.0])
def test_most_of_the_person_is_seen_at_the_size_asked_for(speed):
  points = _walker(speed)
  heights, inside, depth = [], [], []
  for seed in range(60):
    path = _sample(seed, points)
    in_camera = path.to_camera(points)
    pixels = pinhole.project(in_camera, path.intrinsics)
    heights.append(np.ptp(pixels[FRAMES // 2, :, 1]) / SIZE)
    inside.append(((pixels > 0) & (pixels < SIZE)).all(-1).mean())
    depth.append(in_camera[..., 2].min())
  assert min(depth) > 0.5
  assert np.mean(inside) > 0.85
  assert min(inside) > 0.4
  low, middle, high = np.quantile(heights, [0.05, 0.5, 0.95])
  assert 0.3 < low < 0.55 < middle < 0.8 < high < 1.4


def test_cameras_stand_all_around_and_at_many_heights():
  points = _walker(0)
  eyes = []
  for seed in range(200):
    path = _sample(seed, points)
    eyes.append(-path.R_wc[0].T @ path.t_wc[0])
  eyes = np.array(eyes) - [0, 0.95, 0]
  quadrants = np.histogram(np.arctan2(eyes[:, 2], eyes[:, 0]), 4, (-np.pi, np.pi))[0]
  assert quadrants.min() > 25
  elevation = np.degrees(np.arctan2(eyes[:, 1], np.hypot(eyes[:, 0], eyes[:, 2])))
  assert (elevation < 0).mean() > 0.15
  assert (elevation > 20).mean() > 0.05


def test_the_same_stream_gives_the_same_camera():
  points = _walker()
  for first, second in zip(_sample(3, points), _sample(3, points), strict=True):
    np.testing.assert_array_equal(first, second)
  assert not np.allclose(_sample(3, points).t_wc, _sample(4, points).t_wc)
