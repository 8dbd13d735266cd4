"""Videos are found at any depth, in one order, and read at the rate of training."""

import numpy as np
import pytest

from data_builders import video_files
from tests.files import videos


def test_videos_are_found_at_any_depth_in_order(tmp_path):
  for name in ("b.mp4", "a.MOV", "c/a.webm", "c/notes.txt", "b.mp4.mediapipe.npz"):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
  found = [str(path.relative_to(tmp_path)) for path in video_files.below(tmp_path)]
  assert found == ["a.MOV", "b.mp4", "c/a.webm"]


@pytest.mark.parametrize(
  ("fps", "step"), [(24, 1), (30, 1), (50, 2), (60, 2), (120, 4)]
)
def test_the_step_comes_nearest_to_thirty_frames_a_second(fps, step):
  assert video_files.step(np.arange(50) / fps) == step
  assert video_files.step(np.zeros(1)) == 1


def test_only_the_wanted_frames_are_read_as_bgr(tmp_path):
  path = videos.write(tmp_path / "video.mp4", frames=12)
  numbers = np.array([2, 3, 7])
  found = list(video_files.frames(path, numbers))
  for frame, number in zip(found, numbers, strict=True):
    assert abs(int(np.median(frame)) - videos.level(number)) < 4
    blue, _, red = frame[2, 2].astype(int)
    assert red > blue + 100
