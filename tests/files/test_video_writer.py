"""Videos are written whole or not at all."""

import cv2
import numpy as np
import pytest

from mhmr_jax.errors import InputError
from mhmr_jax.files import video, video_writer


def _frames(count, height=48, width=64):
  return [np.full((height, width, 3), 20 * i, np.uint8) for i in range(count)]


def _write(path, frames, fps=30.0):
  with video_writer.writing(path, fps) as writer:
    for frame in frames:
      writer.write(frame)


@pytest.mark.parametrize("fps", [30.0, 24000 / 1001])
def test_video_has_every_frame(tmp_path, fps):
  path = tmp_path / "video.mp4"
  with video_writer.writing(path, fps) as writer:
    for frame in _frames(10):
      frame[..., 0] = 200
      writer.write(frame)
    assert not path.exists()
  assert [file.name for file in tmp_path.iterdir()] == ["video.mp4"]
  capture = cv2.VideoCapture(str(path))
  assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(fps, rel=1e-3)
  for i in range(10):
    ok, frame = capture.read()
    assert ok
    # BGR: the red that was written is last.
    np.testing.assert_allclose(frame.mean((0, 1)), [20 * i, 20 * i, 200], atol=12)
  assert not capture.read()[0]


def test_video_of_odd_size_loses_a_row_and_a_column(tmp_path):
  _write(tmp_path / "video.mp4", _frames(3, 49, 65))
  ok, frame = cv2.VideoCapture(str(tmp_path / "video.mp4")).read()
  assert ok
  assert frame.shape == (48, 64, 3)


def test_failed_video_leaves_the_one_before(tmp_path):
  path = tmp_path / "video.mp4"
  path.write_bytes(b"before")

  def interrupted():
    yield from _frames(2)
    raise RuntimeError("decoder")

  with pytest.raises(RuntimeError, match="decoder"):
    _write(path, interrupted())
  with pytest.raises(InputError, match="no frames"):
    _write(path, [])
  assert path.read_bytes() == b"before"
  assert [file.name for file in tmp_path.iterdir()] == ["video.mp4"]


def test_video_in_a_folder_that_is_not_there(tmp_path, capfd):
  with pytest.raises(InputError, match=r"video\.mp4 could not be written"):
    _write(tmp_path / "absent" / "video.mp4", _frames(1))
  assert not capfd.readouterr().err


def test_video_whose_frames_were_lost_is_an_error(tmp_path, monkeypatch):
  monkeypatch.setattr(video, "probe", lambda path: video.VideoInfo(64, 48, 30.0, 3))
  with pytest.raises(InputError, match="3 of 9 frames"):
    _write(tmp_path / "video.mp4", _frames(9))
  assert not any(tmp_path.iterdir())


def test_frames_of_two_sizes(tmp_path):
  with pytest.raises(ValueError, match=r"the frame is \(32, 64, 3\)"):
    _write(tmp_path / "video.mp4", _frames(1) + _frames(1, height=32))
