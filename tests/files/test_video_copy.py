"""Videos that browsers play are copied as they are, and others are not."""

import fractions

import av
import numpy as np
import pytest

from mhmr_jax.files import video, video_copy
from tests.files import videos

_TIMES = np.cumsum([0, *[0.04, 0.02, 0.1] * 3])
_PLENTY = 1e9


def _pictures(path):
  with av.open(str(path)) as container:
    return [frame.to_ndarray() for frame in container.decode(video=0)]


@pytest.mark.parametrize(
  ("name", "options"),
  [
    ("even.mp4", {"sound": "aac"}),
    ("reordered.mov", {"options": {"bf": "3"}, "frames": 30}),
    ("uneven.mp4", {"frames": 10, "times": _TIMES}),
    ("late.mov", {"frames": 10, "times": _TIMES + 0.5}),
  ],
)
def test_a_copy_has_the_same_pictures_at_the_same_times(tmp_path, name, options):
  path, target = videos.write(tmp_path / name, **options), tmp_path / "copy.mp4"
  info = video.probe(path)
  assert video_copy.copy(path, target, info, _PLENTY)
  np.testing.assert_array_equal(_pictures(target), _pictures(path))
  np.testing.assert_allclose(video.probe(target).times, info.times, atol=2e-3)
  with av.open(str(target)) as container:
    assert [stream.type for stream in container.streams] == ["video"]
    # A player's clock begins with the first picture.
    assert next(container.decode(video=0)).time == 0


@pytest.mark.parametrize(
  ("name", "options"),
  [
    ("other.webm", {"codec": "libvpx-vp9"}),
    ("deep.mp4", {"pixels": "yuv420p10le"}),
    ("turned.mp4", {"turned": 180}),
    ("oblong.mp4", {"aspect": fractions.Fraction(4, 3)}),
    ("broadcast.ts", {}),
    ("other.mkv", {}),
  ],
)
def test_what_browsers_would_show_otherwise_is_not_copied(tmp_path, name, options):
  path, target = videos.write(tmp_path / name, **options), tmp_path / "copy.mp4"
  assert not video_copy.copy(path, target, video.probe(path), _PLENTY)
  assert not target.exists()


def test_a_large_video_or_a_folder_is_not_copied(tmp_path):
  path, target = videos.write(tmp_path / "video.mp4"), tmp_path / "copy.mp4"
  info = video.probe(path)
  with av.open(str(path)) as container:
    sizes = sum(packet.size for packet in container.demux(video=0))
  rate = 8 * sizes * info.fps / info.num_frames
  assert not video_copy.copy(path, target, info, 0.99 * rate)
  assert not video_copy.copy(tmp_path, target, info, _PLENTY)
  assert not target.exists()
  assert video_copy.copy(path, target, info, 1.01 * rate)


def test_a_video_that_lost_frames_is_not_copied(tmp_path):
  path = videos.write(tmp_path / "video.mp4", frames=30)
  info = video.probe(path)
  shorter = info._replace(num_frames=29, times=info.times[:29])
  assert not video_copy.copy(path, tmp_path / "copy.mp4", shorter, _PLENTY)
