"""MediaPipe for real, on real videos; and what is said where it cannot run."""

import itertools
import pathlib
import zipfile

import cv2
import numpy as np
import pytest

from mhmr_jax.body.joints import COCO_FLIP, COCO_KEYPOINTS
from mhmr_jax.errors import InputError
from mhmr_jax.files import video
from mhmr_jax.keypoints import detection, detectors, tracking
from mhmr_jax.keypoints.detectors import mediapipe_pose, regions
from tests.keypoints.detectors import images

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


_GOLDENS = pathlib.Path(__file__).parent / "goldens"


@pytest.fixture(scope="module")
def weights(shared_data):
  pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")
  path = shared_data / "models" / "pose_landmarker.task"
  if not path.is_file():
    pytest.skip(f"MediaPipe's weights are not at {path}")
  return path


def _open(weights):
  return detectors.adapter("mediapipe").open_detector(weights)


def _size(person):
  return np.ptp(person[:, :2], axis=0).max()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["runner", "taiji"])
def test_follows_the_person_of_a_real_video(weights, shared_data, name):
  path = shared_data / "video" / f"{name}.mp4"
  info = video.probe(path)
  with _open(weights) as detect:
    frames = itertools.islice(video.read_frames(path), 75)
    found = detection.detect_frames(frames, info.times[:75], detect)
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


def _crop_as_mediapipe(image, region, size, border):
  """Takes the corners of pixels for their centres, as MediaPipe does."""
  corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
  matrix = cv2.getAffineTransform(
    np.float32(corners * size), np.float32(regions.to_image(corners, region))
  )
  flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
  return cv2.warpAffine(image, matrix, (size, size), flags=flags, borderMode=border)


def test_as_mediapipe_finds_them(weights, shared_data, monkeypatch):
  monkeypatch.setattr(regions, "crop", _crop_as_mediapipe)
  with np.load(_GOLDENS / "mediapipe.npz") as golden:
    landmarks, world = golden["landmarks"], golden["world_landmarks"]
  for row, frame in enumerate(images.video_frames(shared_data / "video")):
    (person,) = mediapipe_pose.open_landmarker(weights)(frame, 0.0)
    # Those outside the image are guessed from the edge's pixels.
    inside = np.all(landmarks[row, :, :2] < frame.shape[1::-1], axis=-1)
    away = np.abs(person.landmarks[inside, :2] - landmarks[row, inside, :2])
    assert np.median(away) < 0.5
    assert np.percentile(away, 95) < 2.0
    np.testing.assert_allclose(
      person.landmarks[inside, 3], landmarks[row, inside, 3], atol=0.02
    )
    spread = np.linalg.norm(person.world_landmarks - world[row], axis=-1)
    assert np.median(spread) < 0.003


@pytest.mark.slow
def test_mirrored_image_mirrors_the_names(weights, shared_data):
  away = []
  for frame in images.video_frames(shared_data / "video"):
    found = []
    for image in (frame, np.ascontiguousarray(frame[:, ::-1])):
      with _open(weights) as detect:
        found.append(detect(image, 0.0)[0])
    mirrored = found[1][list(COCO_FLIP), :2]
    mirrored[:, 0] = frame.shape[1] - mirrored[:, 0]
    away.append((found[0][:, :2] - mirrored) / _size(found[0]))
  assert np.median(np.linalg.norm(away, axis=-1)) < 0.02
  # Points half a pixel of the crop too far to the right would be twice as far here.
  assert abs(np.median(away, axis=(0, 1))[0]) < 0.003


@pytest.mark.slow
def test_time_may_stand_still_and_nobody_is_found_in_noise(weights):
  with _open(weights) as detect:
    noise = np.random.default_rng(0).integers(0, 255, (96, 128, 3)).astype(np.uint8)
    for _ in range(3):
      assert detect(noise, 0.0).shape == (0, 17, 3)


def test_several_people_come_and_go(weights, shared_data):
  frame = images.video_frames(shared_data / "video")[0]
  alone = frame[:, 320:960]
  nobody = np.zeros_like(alone)
  both = np.concatenate([alone, alone], axis=1)
  one = np.concatenate([alone, nobody], axis=1)
  with _open(weights) as detect:
    counts = [
      len(detect(image, number / 10))
      for number, image in enumerate([one, both, both, both, one, both, both])
    ]
    # A newcomer is noticed within 0.2 s, somebody's loss at once.
    assert counts == [1, 1, 2, 2, 1, 2, 2]
    left, right = sorted(detect(both, 0.7), key=lambda person: person[:, 0].mean())
  np.testing.assert_allclose(right[:, 0] - left[:, 0], 640, atol=6)
  with mediapipe_pose.open_detector(weights, people=1) as detect:
    assert len(detect(both, 0.0)) == 1


def test_damaged_weights(weights, tmp_path):
  path = tmp_path / "damaged.task"
  whole = weights.read_bytes()
  garbled = bytearray(whole)
  garbled[3_000_000:3_000_100] = bytes(100)
  for content in (whole[:100_000], bytes(garbled), b""):
    path.write_bytes(content)
    _is_refused(path)


@pytest.mark.parametrize(
  "members",
  [
    ("pose_detector",),
    ("pose_landmarks_detector",),
    ("exchanged",),
    ("pose_detector", "text"),
  ],
)
def test_bundles_of_something_else(weights, tmp_path, members):
  path = tmp_path / "damaged.task"
  with zipfile.ZipFile(weights) as bundle, zipfile.ZipFile(path, "w") as other:
    names = ["pose_detector", "pose_landmarks_detector"]
    for name in members:
      if name == "exchanged":
        for source, target in zip(names, names[::-1], strict=True):
          other.writestr(f"{target}.tflite", bundle.read(f"{source}.tflite"))
      elif name == "text":
        other.writestr("pose_landmarks_detector.tflite", b"not a network" * 100)
      else:
        other.writestr(f"{name}.tflite", bundle.read(f"{name}.tflite"))
  _is_refused(path)


def _is_refused(path):
  with (
    pytest.raises(InputError, match=r"damaged\.task is not a \.task file"),
    _open(path),
  ):
    pass


def test_weights_that_are_not_there(tmp_path):
  with pytest.raises(InputError, match=r"There is no file .*absent\.task: give"):
    mediapipe_pose.weight_files(tmp_path / "absent.task")
