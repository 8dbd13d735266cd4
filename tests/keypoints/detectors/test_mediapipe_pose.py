"""MediaPipe for real, on real videos; and what is said where it cannot run."""

import contextlib
import itertools

import numpy as np
import pytest

from mhmr_jax.body.joints import COCO_FLIP, COCO_KEYPOINTS
from mhmr_jax.errors import InputError
from mhmr_jax.files import video
from mhmr_jax.keypoints import detection, detectors, tracking
from mhmr_jax.keypoints.detectors import mediapipe_pose

# In the first frame, px, placed by hand.
_BY_HAND = {
  "taiji": {
    "nose": (657, 122), "left_wrist": (738, 390), "right_wrist": (563, 385),
    "left_ankle": (716, 650), "right_ankle": (603, 650),
  },
  "runner": {
    "nose": (773, 266), "left_wrist": (766, 469), "left_ankle": (720, 779),
    "right_ankle": (585, 640),
  },
}  # fmt: skip


@pytest.fixture(scope="module")
def weights(shared_data):
  pytest.importorskip("mediapipe", reason="MediaPipe is not installed")
  path = shared_data / "models" / "pose_landmarker.task"
  if not path.is_file():
    pytest.skip(f"MediaPipe's weights are not at {path}")
  return path


@contextlib.contextmanager
def _open(weights):
  """The detector; skips where the system lacks its libraries."""
  with contextlib.ExitStack() as stack:
    try:
      detect = stack.enter_context(
        detectors.adapter("mediapipe").open_detector(weights)
      )
    except InputError as error:
      if "library of the system" in str(error):
        pytest.skip(str(error))
      raise
    yield detect


def _size(person):
  return np.ptp(person[:, :2], axis=0).max()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["runner", "taiji"])
def test_follows_the_person_of_a_real_video(weights, shared_data, name):
  path = shared_data / "video" / f"{name}.mp4"
  info = video.probe(path)
  with _open(weights) as detect:
    frames = itertools.islice(video.read_frames(path), 75)
    found = detection.detect_frames(frames, info.fps, detect, 75)
  track = tracking.largest(tracking.track(found, info.fps))
  assert len(track.frame_index) >= 74
  first = track.keypoints[0]
  for point, place in _BY_HAND[name].items():
    away = np.linalg.norm(first[COCO_KEYPOINTS.index(point), :2] - place)
    assert away < 0.05 * _size(first), point
  assert np.all((track.keypoints[..., 2] > 0) & (track.keypoints[..., 2] <= 1))
  # Nobody moves by a tenth of their size in the mean from one frame to the next.
  steps = np.linalg.norm(np.diff(track.keypoints[..., :2], axis=0), axis=-1).mean(-1)
  assert steps.max() < 0.1 * _size(first)
  # A far arm that nobody can see is guessed, and scored so.
  assert track.keypoints[..., 2].min() < 0.5 or name == "taiji"


@pytest.mark.slow
def test_mirrored_image_mirrors_the_names(weights, shared_data):
  frame = next(video.read_frames(shared_data / "video" / "taiji.mp4"))
  found = []
  for image in (frame, np.ascontiguousarray(frame[:, ::-1])):
    with _open(weights) as detect:
      found.append(detect(image, 0.0)[0])
  mirrored = found[1][list(COCO_FLIP), :2]
  mirrored[:, 0] = frame.shape[1] - mirrored[:, 0]
  away = np.linalg.norm(mirrored - found[0][:, :2], axis=-1)
  assert np.median(away) < 0.02 * _size(found[0])


@pytest.mark.slow
def test_time_may_stand_still_and_nobody_is_found_in_noise(weights):
  with _open(weights) as detect:
    noise = np.random.default_rng(0).integers(0, 255, (96, 128, 3)).astype(np.uint8)
    for _ in range(3):
      assert detect(noise, 0.0).shape == (0, 17, 3)


@pytest.mark.slow
def test_damaged_weights(weights, tmp_path):
  path = tmp_path / "damaged.task"
  path.write_bytes(weights.read_bytes()[:100_000])
  with (
    pytest.raises(InputError, match=r"damaged\.task is not a \.task file"),
    _open(path),
  ):
    pass


def test_weights_that_are_not_there(tmp_path):
  with pytest.raises(InputError, match=r"There is no file .*absent\.task: give"):
    mediapipe_pose.weight_files(tmp_path / "absent.task")
