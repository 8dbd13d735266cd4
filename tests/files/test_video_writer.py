"""Videos are written whole or not at all, in H.264, in step with their sound."""

import resource

import av
import cv2
import numpy as np
import pytest

from mhmr_jax.errors import InputError
from mhmr_jax.files import video, video_writer
from tests.files import videos


def _frames(count, height=48, width=64):
  return [np.full((height, width, 3), 20 * i % 240, np.uint8) for i in range(count)]


def _write(path, frames, fps=30.0, **options):
  with video_writer.writing(path, fps, **options) as writer:
    for frame in frames:
      writer.write(frame)
  return path


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
  assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(fps, rel=1e-6)
  for i in range(10):
    ok, frame = capture.read()
    assert ok
    # BGR: the red that was written is last.
    np.testing.assert_allclose(frame.mean((0, 1)), [20 * i, 20 * i, 200], atol=12)
  assert not capture.read()[0]
  np.testing.assert_allclose(video.probe(path).times, np.arange(10) / fps, atol=1e-9)


def test_browsers_and_quicktime_play_it(tmp_path):
  path = _write(tmp_path / "video.mp4", _frames(10))
  with av.open(str(path)) as container:
    context = container.streams.video[0].codec_context
    assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
    assert (context.color_trc, context.color_primaries, context.colorspace) == (1, 1, 1)
  content = path.read_bytes()
  # It starts to play before all of it has come.
  assert content.index(b"moov") < content.index(b"mdat")


def test_colours_survive(tmp_path):
  frame = np.zeros((48, 64, 3), np.uint8)
  frame[:, :32], frame[:, 32:] = [180, 90, 40], [40, 60, 160]
  (found,) = video.read_frames(_write(tmp_path / "video.mp4", [frame]))
  np.testing.assert_allclose(found[:, 4:28], frame[:, 4:28], atol=6)
  np.testing.assert_allclose(found[:, 36:60], frame[:, 36:60], atol=6)


def test_uneven_times_are_kept(tmp_path):
  times = np.cumsum([0, *[1 / 24, 1 / 60, 0.1] * 3])
  path = _write(tmp_path / "video.mp4", _frames(10), 9 / times[-1], times=times)
  np.testing.assert_allclose(video.probe(path).times, times, atol=2e-5)


@pytest.mark.parametrize(
  ("name", "codec", "sound", "written"),
  [
    ("phone.mp4", "libx264", "aac", "aac"),
    ("phone.mov", "libx264", "pcm_s16le", "aac"),
    ("browser.webm", "libvpx-vp9", "libopus", "aac"),
    ("old.avi", "mpeg4", "libmp3lame", "mp3float"),
    ("television.ts", "libx264", "aac", "aac"),  # Its clock starts late.
  ],
)
def test_sound_stays_with_its_pictures(tmp_path, name, codec, sound, written):
  source = videos.write(tmp_path / name, codec, sound=sound, frames=50)
  info = video.probe(source)
  path = tmp_path / "overlay.mp4"
  _write(path, video.read_frames(source), info.fps, times=info.times, sound_of=source)
  with av.open(str(path)) as container:
    (stream,) = container.streams.audio
    assert stream.codec_context.name == written
    assert float(stream.duration * stream.time_base) == pytest.approx(2, abs=0.1)
  assert videos.tone_starts(source) == pytest.approx(1, abs=0.1)
  assert videos.tone_starts(path) == pytest.approx(videos.tone_starts(source), abs=0.03)


def test_sound_ends_with_the_pictures(tmp_path):
  source = videos.write(tmp_path / "source.mp4", sound="aac", frames=50)
  path = _write(tmp_path / "part.mp4", _frames(10), 25.0, sound_of=source)
  with av.open(str(path)) as container:
    (stream,) = container.streams.audio
    assert float(stream.duration * stream.time_base) == pytest.approx(0.4, abs=0.05)


def test_a_source_without_sound(tmp_path):
  source = videos.write(tmp_path / "source.mp4")
  for silent in (source, tmp_path):
    path = _write(tmp_path / "copy.mp4", _frames(5), sound_of=silent)
    with av.open(str(path)) as container:
      assert not container.streams.audio


def test_damaged_sound_is_left_out(tmp_path):
  source = videos.write(tmp_path / "source.webm", "libvpx-vp9", sound="libopus")
  with av.open(str(source)) as container:
    places = [(p.pos, p.size) for p in container.demux(audio=0) if p.size]
  data = bytearray(source.read_bytes())
  for position, size in places[5:9]:
    data[position : position + size] = b"\xff" * size
  source.write_bytes(data)
  path = _write(tmp_path / "copy.mp4", _frames(20), 25.0, sound_of=source)
  assert video.probe(path).num_frames == 20


def test_video_of_odd_size_loses_a_row_and_a_column(tmp_path):
  path = _write(tmp_path / "video.mp4", _frames(3, 49, 65))
  assert video.probe(path)[:2] == (64, 48)


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


@pytest.mark.parametrize("room", [0, 3000, 20_000])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, room):
  rng = np.random.default_rng(0)
  frames = [rng.integers(0, 255, (96, 128, 3), np.uint8) for _ in range(30)]
  before = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
  try:
    with pytest.raises(InputError, match=r"video\.mp4 (could not|cannot) be written"):
      _write(tmp_path / "video.mp4", frames)
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
  assert not list(tmp_path.iterdir())


def test_video_whose_frames_were_lost_is_an_error(tmp_path, monkeypatch):
  info = video.VideoInfo(64, 48, 30.0, 3, np.arange(3) / 30)
  monkeypatch.setattr(video, "probe", lambda path: info)
  with pytest.raises(InputError, match="3 of 9 frames could be read back"):
    _write(tmp_path / "video.mp4", _frames(9))
  assert not list(tmp_path.iterdir())


def test_frames_of_two_sizes_are_refused(tmp_path):
  with pytest.raises(ValueError, match="the frame is"):
    _write(tmp_path / "video.mp4", _frames(1) + _frames(1, height=32))
