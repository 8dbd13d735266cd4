"""Videos of bright boxes that walk to the right, and a detector that finds these."""

import contextlib
import pathlib
import types
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import pytest

from mhmr_jax.files import video_writer
from mhmr_jax.keypoints import detection_cache, detectors
from tests.keypoints import people

SIZE = (160, 120)  # Width and height, px.
_HEIGHT, _WIDTH = 60, 24
_PLACES = people.STANDING - people.STANDING.min(0)
# COCO's points of a person whose box has the corners (0, 0) and (1, 1).
_PLACES = _PLACES / _PLACES.max(0)


def left(number: int) -> int:
  """The left border of the box in a frame, px."""
  return 20 + number // 2


def write(
  path: pathlib.Path, shown: Sequence[bool], fps: float = 30.0, companion: bool = False
) -> pathlib.Path:
  """Writes a video.

  Args:
    path: of the file.
    shown: for every frame, whether the box is in it.
    fps: frames a second.
    companion: whether a smaller box, half as high, walks along.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  with video_writer.writing(path, fps) as writer:
    for number, is_shown in enumerate(shown):
      frame = np.full((*SIZE[::-1], 3), 40, np.uint8)
      x = left(number)
      if is_shown:
        frame[40 : 40 + _HEIGHT, x : x + _WIDTH] = 220
      if companion:
        frame[4 : 4 + _HEIGHT // 2, x + 40 : x + 40 + _WIDTH // 2] = 220
      writer.write(frame)
  return path


def boxes(image: np.ndarray) -> np.ndarray:
  """The boxes [x0, y0, x1, y1] in a picture, the largest first."""
  bright = np.uint8(image.max(-1) > 130)
  _, _, found, _ = cv2.connectedComponentsWithStats(bright)
  ordered = sorted(found[1:].tolist(), key=lambda one: -one[4])
  return np.array([[x, y, x + w, y + h] for x, y, w, h, _ in ordered]).reshape(-1, 4)


def replace_detector(
  monkeypatch: pytest.MonkeyPatch, folder: pathlib.Path
) -> list[pathlib.Path | None]:
  """Has the boxes found in place of people; returns a list of the weights of each run.

  What is found and cannot be kept beside its video is kept in `folder`.
  """
  runs = []

  def detect(frame: np.ndarray, seconds: float) -> np.ndarray:
    return np.array(
      [
        np.append(box[:2] + _PLACES * (box[2:] - box[:2]), np.ones((17, 1)), axis=1)
        for box in boxes(frame)
      ],
      np.float32,
    ).reshape(-1, 17, 3)

  @contextlib.contextmanager
  def open_detector(weights, people=None) -> Iterator[detectors.Detect]:
    runs.append(weights)
    yield detect

  fake = types.SimpleNamespace(
    DEFAULT_WEIGHTS="boxes",
    weight_files=lambda path: [path],
    open_detector=open_detector,
  )
  monkeypatch.setattr(detectors, "adapter", lambda name: fake)
  monkeypatch.setattr(detection_cache, "_FOLDER", folder)
  return runs
