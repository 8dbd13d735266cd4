"""Frames that are read when asked for, and only those."""

import os
import pickle
import resource

import numpy as np
import pytest

from mhmr_jax.errors import InputError
from mhmr_jax.files import frame_files

DATA = [b"frame %d" % number * 40 for number in range(9)]


@pytest.fixture(params=["stored", "referenced"])
def frames(request, tmp_path):
  if request.param == "stored":
    frame_files.write(tmp_path / "frames" / "a.array_record", iter(DATA))
    return frame_files.open_frames(tmp_path, "frames/a.array_record", np.arange(9))
  (tmp_path / "frames").mkdir()
  for number, data in enumerate(DATA):
    (tmp_path / "frames" / f"image_{number + 3:05d}.jpg").write_bytes(data)
  return frame_files.open_frames(tmp_path, "frames", np.arange(3, 12))


def test_reads_as_a_list_does(frames):
  assert len(frames) == 9
  assert frames[0] == DATA[0]
  assert frames[-1] == DATA[-1]
  for part in (slice(2, 5), slice(5, 99), slice(4, 4), slice(None, None, 3)):
    assert frames[part] == DATA[part]
  assert list(frames) == DATA
  with pytest.raises(IndexError):
    frames[9]
  assert pickle.loads(pickle.dumps(frames[1:3])) == DATA[1:3]


@pytest.mark.parametrize("place", ["../x", "/etc", "a/../../b", "", "a\\..\\b"])
def test_places_outside_the_folder_are_refused(tmp_path, place):
  with pytest.raises(InputError, match="leaves the folder"):
    frame_files.open_frames(tmp_path, place, np.arange(3))


def test_missing_and_damaged_files_are_named(tmp_path):
  gone = frame_files.open_frames(tmp_path, "images", np.arange(3))
  with pytest.raises(InputError, match=r"image_00001\.jpg cannot be read"):
    gone[1]
  gone = frame_files.open_frames(tmp_path, "gone.array_record", np.arange(3))
  with pytest.raises(InputError, match=r"gone\.array_record cannot be read"):
    gone[0]
  path = tmp_path / "a.array_record"
  frame_files.write(path, iter(DATA))
  short = frame_files.open_frames(tmp_path, path.name, np.arange(12))
  for index in (0, 10):
    with pytest.raises(InputError, match=r"a\.array_record cannot be read"):
      short[index]
  os.truncate(path, path.stat().st_size // 2)
  cut = frame_files.open_frames(tmp_path, path.name, np.arange(9))
  with pytest.raises(InputError, match=r"a\.array_record cannot be read"):
    cut[8]


def test_a_full_disk_and_a_failing_iterator_leave_nothing(tmp_path):
  path = tmp_path / "frames" / "a.array_record"
  before = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (10**5, before[1]))
  try:
    with pytest.raises(InputError, match=r"a\.array_record .*too large.*: make room"):
      frame_files.write(path, [os.urandom(10**5)] * 3, "make room")
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, before)

  def failing():
    yield DATA[0]
    raise RuntimeError("out of memory")

  with pytest.raises(RuntimeError, match="out of memory"):
    frame_files.write(path, failing())
  assert not any(path.parent.iterdir())
