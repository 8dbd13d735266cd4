"""Videos as files hand them over: turned, uneven, damaged, with a wrong length."""

import fractions
import pathlib
import resource
import struct

import av
import cv2
import numpy as np
import pytest

from mhmr_jax.errors import InputError
from mhmr_jax.files import video, video_writer, yuv
from tests.files import videos

# The name of the file, its codec, and more of its options.
FORMATS = [
  ("h264.mp4", "libx264", {}),
  ("sound.mov", "libx264", {"sound": "pcm_s16le"}),
  ("hevc.mp4", "libx265", {"pixels": "yuv420p10le"}),
  ("vp9.webm", "libvpx-vp9", {"sound": "libopus"}),
  # As browsers record: neither a length nor an index.
  ("live.webm", "libvpx-vp9", {"container_options": {"live": "1"}}),
  # VP8 has packets that show nothing.
  ("vp8.webm", "libvpx", {"options": {"auto-alt-ref": "1", "lag-in-frames": "10"}}),
  ("h264.mkv", "libx264", {}),
  ("stream.ts", "libx264", {"sound": "aac"}),
  ("mpeg2.mpg", "mpeg2video", {}),
  ("old.avi", "mpeg4", {"options": {"bf": "2"}}),
  ("photos.avi", "mjpeg", {"pixels": "yuvj420p"}),
  ("odd.mkv", "ffv1", {"size": (65, 49), "pixels": "yuv444p"}),
]


@pytest.mark.parametrize(
  ("name", "codec", "more"), FORMATS, ids=[name for name, *_ in FORMATS]
)
def test_frames_of_every_format(tmp_path, name, codec, more):
  path = videos.write(tmp_path / name, codec, **more)
  info = video.probe(path)
  size = more.get("size", (64, 48))
  assert info[:2] == size
  assert info.num_frames == 20
  # FFmpeg's writer of MPEG-1 leaves a frame out of the times.
  tolerance = 0.041 if name == "mpeg2.mpg" else 1e-9
  assert info.fps == pytest.approx(25, rel=tolerance * 1.3)
  np.testing.assert_allclose(info.times, np.arange(20) / 25, atol=tolerance)
  frames = list(video.read_frames(path))
  assert len(frames) == info.num_frames
  for number, frame in enumerate(frames):
    assert frame.shape == (size[1], size[0], 3)
    assert frame.dtype == np.uint8
    np.testing.assert_allclose(frame[-8:, -8:], videos.level(number), atol=8)
    np.testing.assert_allclose(frame[2:8, 2:8].mean((0, 1)), videos.RED, atol=30)


@pytest.mark.parametrize("rate", [24000 / 1001, 30.0, 60000 / 1001, 120.0])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_even_times_are_exact(tmp_path, rate, suffix):
  """Matroska rounds times to milliseconds."""
  info = video.probe(videos.write(tmp_path / f"video.{suffix}", rate=rate, frames=100))
  assert info.fps == pytest.approx(rate, rel=1e-6)
  np.testing.assert_allclose(info.times, np.arange(100) / rate, rtol=1e-6)


def test_uneven_times_are_the_files_own(tmp_path):
  times = np.cumsum([0, *[1 / 24, 1 / 60, 0.1] * 5])
  info = video.probe(videos.write(tmp_path / "video.mp4", frames=16, times=times))
  np.testing.assert_allclose(info.times, times, atol=1e-4)
  assert info.fps == pytest.approx(15 / times[-1], rel=0.02)


def test_times_that_do_not_rise_become_even():
  path = pathlib.Path("video.avi")
  times, _ = video._timing(np.array([0, 0.04, 0.04, 0.12]), 25.0, path)
  np.testing.assert_array_equal(times, np.arange(4) / 25)
  for broken, average in (([np.nan] * 3, 0.0), ([0, 0, 0], np.inf), ([0, 1e-9], 5.0)):
    even, fps = video._timing(np.array(broken, float), average, path)
    assert fps == 30.0
    np.testing.assert_array_equal(even, np.arange(len(broken)) / 30)


def test_frames_that_only_others_need_are_not_shown(tmp_path):
  """A video cut out of another begins at a key frame, which an edit list hides."""
  path = videos.write(tmp_path / "video.mp4", options={"g": "10"})
  data = bytearray(path.read_bytes())
  start_of_media = data.index(b"elst") + 16
  (start,) = struct.unpack_from(">i", data, start_of_media)
  struct.pack_into(">i", data, start_of_media, start + 5 * 512)  # Of 12800 a second.
  path.write_bytes(data)
  info = video.probe(path)
  frames = list(video.read_frames(path))
  assert len(frames) == info.num_frames == 15
  for number, frame in enumerate(frames):
    np.testing.assert_allclose(frame[-8:, -8:], videos.level(number + 5), atol=8)


def _show_by(path, matrix):
  """Writes the matrix [a, b, c, d] into the track header, as phones do."""
  data = bytearray(path.read_bytes())
  start = data.index(b"tkhd") + 4 + 40
  a, b, c, d = (value << 16 for value in matrix)
  data[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
  path.write_bytes(data)


@pytest.mark.parametrize(
  ("matrix", "expected"),
  [
    ((0, 1, -1, 0), lambda frame: np.rot90(frame, -1)),
    ((0, -1, 1, 0), lambda frame: np.rot90(frame, 1)),
    ((-1, 0, 0, -1), lambda frame: np.rot90(frame, 2)),
    ((-1, 0, 0, 1), lambda frame: frame[:, ::-1]),  # A mirrored selfie.
    ((0, 1, 1, 0), lambda frame: frame.transpose(1, 0, 2)),
  ],
)
def test_frames_are_shown_upright(tmp_path, matrix, expected):
  path = videos.write(tmp_path / "video.mp4", frames=2)
  stored = next(video.read_frames(path))
  _show_by(path, matrix)
  shown = next(video.read_frames(path))
  np.testing.assert_array_equal(shown, expected(stored))
  assert video.probe(path)[:2] == shown.shape[1::-1]


@pytest.mark.parametrize("matrix", [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, 1)])
@pytest.mark.parametrize("pixels", ["yuv420p", "yuv420p10le"])
def test_stored_frames_are_the_same_pictures(tmp_path, matrix, pixels):
  path = tmp_path / "video.mp4"
  if pixels == "yuv420p":
    with video_writer.writing(path, 30.0) as writer:  # What is read as it is.
      for number in range(3):
        writer.write(videos.picture(number, 64, 48))
  else:
    videos.write(path, "libx265", frames=3, pixels=pixels)
  _show_by(path, matrix)
  _agree_as_stored(path)


def test_stored_frames_of_a_folder_and_of_a_damaged_video(tmp_path):
  folder = tmp_path / "images"
  folder.mkdir()
  for number in range(3):
    image = videos.picture(number, 65, 49)
    cv2.imwrite(str(folder / f"{number}.png"), image[..., ::-1])
  _agree_as_stored(folder)
  path = videos.write(tmp_path / "video.mp4", frames=60, options={"g": "10"})
  _damage(path, 0.4, 0.5)
  assert any(not frame.any() for frame in video.read_frames(path))
  _agree_as_stored(path)


def _agree_as_stored(path):
  pairs = zip(video.read_frames(path), video.read_stored(path), strict=True)
  for rgb, stored in pairs:
    for expected, found in zip(yuv.from_rgb(rgb), stored, strict=True):
      assert np.abs(expected.astype(int) - found).mean() < 2
      assert expected.shape == found.shape


def test_turned_frames_are_those_of_another_reader(tmp_path):
  path = videos.write(tmp_path / "video.mp4", frames=2, turned=90)
  _, peer = cv2.VideoCapture(str(path)).read()
  assert peer.shape[:2] == (64, 48)
  np.testing.assert_allclose(next(video.read_frames(path)), peer[..., ::-1], atol=3)


def test_pixels_that_are_not_square(tmp_path):
  """PAL's pixels in 16:9."""
  path = videos.write(
    tmp_path / "video.mp4", frames=2, aspect=fractions.Fraction(64, 45)
  )
  assert video.probe(path)[:2] == (91, 48)
  assert next(video.read_frames(path)).shape == (48, 91, 3)


def test_frames_whose_size_changes_come_in_the_first_ones(tmp_path):
  small, large = (
    videos.write(tmp_path / f"{width}.ts", frames=5, size=(width, 48))
    for width in (64, 96)
  )
  path = tmp_path / "video.ts"
  path.write_bytes(small.read_bytes() + large.read_bytes())
  frames = list(video.read_frames(path))
  assert len(frames) == video.probe(path).num_frames > 5
  assert {frame.shape for frame in frames} == {(48, 64, 3)}


def _damage(path, start, stop):
  """Overwrites a part of the pictures, in shares of their length."""
  data = bytearray(path.read_bytes())
  first = data.index(b"mdat") + 4
  length = data.index(b"moov") - 4 - first
  span = slice(first + int(start * length), first + int(stop * length))
  data[span] = np.random.default_rng(0).bytes(span.stop - span.start)
  path.write_bytes(data)


def test_damaged_frames_are_black_and_counted(tmp_path, caplog):
  path = videos.write(tmp_path / "video.mp4", frames=60, options={"g": "10"})
  _damage(path, 0.4, 0.5)
  info = video.probe(path)
  assert info.num_frames == 60
  frames = list(video.read_frames(path))
  black = [number for number, frame in enumerate(frames) if not frame.any()]
  assert len(frames) == 60
  assert 0 < len(black) < 30
  assert f"{len(black)} of 60 frames of {path} could not be decoded" in caplog.text
  # A decoder may also show what it makes of damage.
  sound = [n for n in range(60) if n < black[0] - 10 or n > black[-1] + 10]
  assert len(sound) > 20
  for number in sound:
    np.testing.assert_allclose(frames[number][-8:, -8:], videos.level(number), atol=8)


def test_damaged_frames_of_a_file_without_a_list_are_left_out(tmp_path, caplog):
  path = videos.write(tmp_path / "video.avi", "png", frames=30, pixels="rgb24")
  with av.open(str(path)) as container:
    packets = list(container.demux(video=0))
  data = bytearray(path.read_bytes())
  for number in (11, 20):
    middle = packets[number].pos + packets[number].size // 2
    data[middle : middle + 20] = bytes(20)
  path.write_bytes(data)
  info = video.probe(path)
  assert info.num_frames == 28
  assert len(list(video.read_frames(path))) == 28
  np.testing.assert_allclose(info.times[9:13], [0.36, 0.4, 0.48, 0.52])
  assert f"2 of 30 frames of {path} could not be decoded" in caplog.text


def test_a_video_cut_short_says_so(tmp_path, caplog):
  path = videos.write(
    tmp_path / "video.mp4", frames=60, container_options={"movflags": "+faststart"}
  )
  path.write_bytes(path.read_bytes()[: int(0.7 * path.stat().st_size)])
  info = video.probe(path)
  assert 0 < info.num_frames < 60
  assert f"{path} is cut short: {info.num_frames} of 60 frames are there" in caplog.text
  assert len(list(video.read_frames(path))) == info.num_frames


def test_a_matroska_file_cut_short_says_so(tmp_path, caplog):
  path = videos.write(
    tmp_path / "video.mkv", frames=100, container_options={"cluster_time_limit": "200"}
  )
  path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
  info = video.probe(path)
  assert info.num_frames < 75
  assert f"{path} has pictures for 1.4 of its 4.0 s" in caplog.text


@pytest.mark.parametrize("content", [b"", b"no video at all" * 100, b"\0" * 300])
def test_unreadable_file(tmp_path, content, capfd):
  path = tmp_path / "video.mp4"
  path.write_bytes(content)
  with pytest.raises(InputError, match="is not a video that can be read"):
    video.probe(path)
  with pytest.raises(InputError, match="is not a video"):
    next(video.read_frames(path))
  assert not capfd.readouterr().err


def test_a_playlist_has_no_other_file_read(tmp_path):
  videos.write(tmp_path / "other.ts")
  path = tmp_path / "video.m3u8"
  path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nother.ts\n")
  with pytest.raises(InputError, match="is not a video"):
    video.probe(path)


def test_a_file_of_sound_alone(tmp_path):
  path = tmp_path / "song.m4a"
  with av.open(str(path), "w", format="mp4") as container:
    videos._write_tone(container, container.add_stream("aac", rate=48_000), 0.2)
  with pytest.raises(InputError, match="is not a video"):
    video.probe(path)


def test_missing_file(tmp_path):
  with pytest.raises(InputError, match=r"There is no video .*absent"):
    video.probe(tmp_path / "absent.mp4")


@pytest.mark.parametrize("size", [(2, 2), (800, 2)])
def test_a_video_too_small_for_a_person(tmp_path, size):
  path = videos.write(tmp_path / "video.mkv", "ffv1", frames=2, size=size)
  with pytest.raises(InputError, match=f"shows {size[0]}x{size[1]} pixels, in which"):
    video.probe(path)


def test_huge_frames_are_refused_before_they_are_decoded(tmp_path):
  path = tmp_path / "video.avi"
  writer = cv2.VideoWriter(
    str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30, (8000, 4608), isColor=False
  )
  writer.write(np.zeros((4608, 8000), np.uint8))
  writer.release()
  before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  with pytest.raises(InputError, match="8000x4608 pixels, more than 36 million"):
    video.probe(path)
  with pytest.raises(InputError, match="more than 36 million"):
    next(video.read_frames(path))
  assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000


def test_a_header_that_hides_huge_frames(tmp_path, monkeypatch):
  """The decoder has the same bound as the header."""
  path = videos.write(tmp_path / "video.mp4", frames=2)
  monkeypatch.setattr(video, "MAX_PIXELS", 1000)
  monkeypatch.setattr(video, "check_size", lambda *arguments: None)
  with pytest.raises(InputError, match="is not a video that can be read"):
    video.probe(path)


def test_a_frame_rate_is_for_folders_alone(tmp_path):
  with pytest.raises(InputError, match="--fps is for folders of images"):
    video.probe(videos.write(tmp_path / "video.mp4", frames=2), 30.0)


def test_real_video(shared_data):
  path = shared_data / "video" / "runner.mp4"
  assert video.probe(path)[:4] == (1920, 1088, 30.0, 180)
  _, peer = cv2.VideoCapture(str(path)).read()
  np.testing.assert_allclose(next(video.read_frames(path)), peer[..., ::-1], atol=2)
