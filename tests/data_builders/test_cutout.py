"""A cut-out is the image of a camera: labels and pixels are converted alike."""

import cv2
import numpy as np

from data_builders import cutout
from mhmr_jax.geometry import windows

SIZE = (640, 480)


def walk(frames: int = 40) -> np.ndarray:
  """Boxes of a person 200 px tall who walks to the right, unknown in some frames."""
  x = 150 + 4.0 * np.arange(frames)
  boxes = np.stack([x, np.full(frames, 150), x + 60, np.full(frames, 350)], -1)
  boxes[5:8] = 0
  return boxes


def test_pixels_and_points_move_together():
  part = cutout.Cutout(x=12, y=31, width=100, height=90, block=3)
  x, y = np.meshgrid(np.arange(640) + 0.5, np.arange(480) + 0.5)
  image = np.stack([x / 4, y / 4, np.zeros_like(x)], -1)
  image = np.rint(image).astype(np.uint8)
  cut = cv2.imdecode(np.frombuffer(part.jpeg(image), np.uint8), cv2.IMREAD_COLOR)
  assert cut.shape == (90, 100, 3)
  # The centre of the pixel in row 20 and column 50, in image pixels.
  centre = np.array([50.5, 20.5]) * 3 + [12, 31]
  np.testing.assert_allclose(cut[20, 50, :2], centre / 4, atol=4)
  np.testing.assert_allclose(part.points(centre), [50.5, 20.5])
  boxes = np.array([[12.0, 31, 312, 301], [0, 0, 0, 0]])
  np.testing.assert_allclose(part.boxes(boxes), [[0, 0, 100, 90], [0, 0, 0, 0]])


def test_cameras_project_to_the_moved_points():
  part = cutout.Cutout(x=12, y=31, width=100, height=90, block=3)
  rng = np.random.default_rng(0)
  points = rng.normal([0, 0, 4], 0.4, (17, 3))
  K = np.array([[500.0, 0, 320], [0, 490, 240], [0, 0, 1]])

  def project(intrinsics):
    image = points @ intrinsics.T
    return image[:, :2] / image[:, 2:]

  expected = part.points(project(K))
  np.testing.assert_allclose(project(part.intrinsics(K)), expected, rtol=1e-5)
  camera = np.array([[120.0, 0.5, 2.0], [0, 0, 0]])
  moved = part.camera(camera)
  image = camera[0, 0] * (points[:, :2] + camera[0, 1:])
  expected = part.points(image)
  np.testing.assert_allclose(
    moved[0, 0] * (points[:, :2] + moved[0, 1:]), expected, rtol=1e-5
  )
  assert not moved[1].any()
  keypoints = np.zeros((2, 17, 3))
  keypoints[0, :, :2], keypoints[0, :, 2] = image, 0.5
  found = part.keypoints(keypoints)
  np.testing.assert_allclose(found[0, :, :2], expected, rtol=1e-5)
  assert not found[1].any()


def test_part_holds_every_training_window_at_the_size_asked_for():
  boxes = walk()
  part = cutout.Cutout.around(boxes, SIZE, person=64)
  assert part.block == 3  # 200 px to 66.
  low = np.array([part.x, part.y])
  high = low + part.block * np.array([part.width, part.height])
  assert (high <= SIZE).all()
  rng = np.random.default_rng(0)
  for start in range(0, 10):
    corners = boxes[start : start + 31]
    corners = corners[corners.any(-1)].reshape(-1, 2)
    for _ in range(50):
      window = windows.square_around(corners, 1.25)
      window = windows.jitter_window(window, rng, 0.15, 0.08)
      inside = np.clip(window.reshape(2, 2), 0, SIZE)
      assert (inside[0] >= low - 1).all()
      assert (inside[1] <= high + part.block).all()


def test_nothing_is_enlarged_and_unknown_people_keep_the_whole_image():
  assert cutout.Cutout.around(walk(), SIZE, person=400).block == 1
  whole = cutout.Cutout.around(np.zeros((4, 4)), SIZE, person=64)
  assert whole == cutout.Cutout(0, 0, 640, 480, 1)
  outside = np.array([[-900.0, -900, -800, -700]])
  part = cutout.Cutout.around(outside, SIZE, person=64)
  assert (part.width, part.height) == (1, 1)
