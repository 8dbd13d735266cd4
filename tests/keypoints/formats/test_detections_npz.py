"""Our own .npz of keypoints, written and read back; and bad files."""

import pickle
import zipfile

import numpy as np
import pytest

from mhmr_jax.errors import InputError
from mhmr_jax.keypoints import formats
from mhmr_jax.keypoints.formats import detections_npz
from tests.keypoints.formats.frames import assert_same, random_people, some_frames


def test_npz_round_trip(tmp_path):
  frames = some_frames()
  detections = [frames.get(n, np.zeros((0, 17, 3), np.float32)) for n in range(6)]
  path = tmp_path / "keypoints.npz"
  detections_npz.write(path, detections)
  assert [file.name for file in tmp_path.iterdir()] == ["keypoints.npz"]
  assert_same(formats.read(path, "npz", 6), frames)
  detections_npz.write(path, [np.zeros((0, 17, 3), np.float32)] * 2)
  assert_same(formats.read(path, "npz", 2), {})


def test_npz_of_one_person_with_frame_index(tmp_path):
  people = random_people(0, 3)
  keypoints = people.copy()
  keypoints[keypoints[..., 2] == 0] = np.nan
  keypoints[1] = np.nan
  path = tmp_path / "one.npz"
  np.savez(path, keypoints=keypoints, frame_index=np.array([4, 1, 9]))
  detections = formats.read(path, "npz", 10)
  assert_same(detections, {4: people[:1], 9: people[2:]})


@pytest.mark.parametrize(
  ("arrays", "message"),
  [
    ({"poses": np.zeros(3)}, "lacks the array `keypoints`"),
    ({"keypoints": np.zeros((4, 18, 3))}, r"float64 \[4, 18, 3\]"),
    ({"keypoints": np.zeros((4, 17, 3), int)}, "of floats"),
    ({"keypoints": np.full((4, 17, 3), np.inf)}, "holds infinity"),
    ({"keypoints": np.array([None, {}])}, "refused: it has Python objects"),
    ({"keypoints": np.ones((0, 17, 3))}, "has no frames"),
    ({"keypoints": np.ones((0, 2, 17, 3))}, "has no frames"),
    ({"keypoints": np.full((4, 17, 3), 1e308)}, "holds infinity"),
    ({"keypoints": np.ones((5, 17, 3)) * 9}, "5 frames, 0 to 4, .* video has 4"),
    ({"keypoints": np.ones((3, 17, 3)) * 9}, "3 frames, 0 to 2, .* video has 4"),
    (
      {"keypoints": np.ones((2, 17, 3)) * 9, "frame_index": np.array([1, 4])},
      "keypoints for frame 4",
    ),
    (
      {"keypoints": np.ones((2, 17, 3)), "frame_index": np.zeros(3, int)},
      "one whole number for each of the 2 frames",
    ),
    (
      {"keypoints": np.ones((2, 17, 3)), "frame_index": np.zeros(2, int)},
      "names a frame twice",
    ),
  ],
)
def test_bad_npz(tmp_path, arrays, message):
  path = tmp_path / "keypoints.npz"
  np.savez(path, **arrays)
  with pytest.raises(InputError, match=message):
    formats.read(path, "npz", 4)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04nonsense", pickle.dumps([1])])
def test_damaged_npz(tmp_path, content):
  path = tmp_path / "keypoints.npz"
  path.write_bytes(content)
  with pytest.raises(InputError, match=r"keypoints\.npz cannot be read as an \.npz"):
    formats.read(path, "npz", 4)


def test_an_npz_header_of_100_gb_is_refused(tmp_path):
  path = tmp_path / "keypoints.npz"
  header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (245000000, 17, 3), }"
  with zipfile.ZipFile(path, "w") as archive:
    start = b"\x93NUMPY\x01\x00v\x00" + header.ljust(117) + b"\n"
    archive.writestr("keypoints.npy", start + bytes(408))
  with pytest.raises(InputError, match=r"refused: it has keypoints\.npy of shape"):
    formats.read(path, "npz", 4)


def test_a_file_that_cannot_be_written(tmp_path):
  with pytest.raises(InputError, match=r"cannot be written .*: name another file"):
    detections_npz.write(tmp_path / "absent" / "keypoints.npz", [])
