"""The intrinsics of a video, from every source, and files that can't be used."""

import json

import numpy as np
import pytest

from mhmr_jax.errors import InputError
from mhmr_jax.inference import intrinsics

SIZE = (1920, 1080)
MATRIX = [[1500.0, 0, 960], [0, 1510, 540], [0, 0, 1]]


def find(**given):
  return intrinsics.find(SIZE, 3, **given)


def test_without_a_hint_it_is_the_diagonal_and_says_so():
  found = find()
  focal = np.hypot(*SIZE)
  expected = [[focal, 0, 960], [0, focal, 540], [0, 0, 1]]
  np.testing.assert_allclose(found.matrices, expected)
  assert "assumed" in found.origin
  assert f"{focal:.0f} px" in found.origin


def test_focal_length_and_angle_of_view_agree():
  np.testing.assert_allclose(find(focal=960.0).matrices, find(fov=90.0).matrices)
  assert find(fov=60.0).matrices[0, 0] == pytest.approx(960 * np.sqrt(3))


@pytest.mark.parametrize("key", intrinsics.EQUIVALENT_KEYS)
def test_metadata_of_phones(key):
  # 43.27 mm have the diagonal of a 35 mm picture.
  found = find(metadata={key: str(np.hypot(36, 24))})
  np.testing.assert_allclose(found.matrices, find().matrices)
  wide = find(metadata={key: "26"})
  assert wide.matrices[0, 0] == pytest.approx(26 / 43.2666 * np.hypot(*SIZE), rel=1e-5)
  assert "26 mm" in wide.origin


@pytest.mark.parametrize("value", ["", "0", "-4", "nan", "inf", "f/2"])
def test_nonsense_in_metadata_is_no_hint(value):
  found = find(metadata={"FocalLengthIn35mmFilm": value, "title": "a walk"})
  np.testing.assert_allclose(found.matrices, find().matrices)
  assert "assumed" in found.origin


def test_what_the_user_gives_counts_more_than_metadata():
  found = find(focal=700.0, metadata={"FocalLengthIn35mmFilm": "26"})
  assert found.matrices[0, 0] == 700


@pytest.mark.parametrize(
  ("given", "message"),
  [
    ({"focal": 0.0}, "--focal=0"),
    ({"focal": float("nan")}, "--focal=nan"),
    ({"fov": 180.0}, "--fov=180"),
    ({"fov": -20.0}, "--fov=-20"),
    ({"focal": 900.0, "fov": 60.0}, "--focal and --fov"),
  ],
)
def test_impossible_values(given, message):
  with pytest.raises(InputError, match=message):
    find(**given)


def write(path, value):
  if path.suffix == ".npz":
    np.savez(path, intrinsics=np.asarray(value))
  else:
    path.write_text(json.dumps(value))
  return path


@pytest.mark.parametrize("name", ["k.json", "k.npz"])
@pytest.mark.parametrize("frames", [None, 3])
def test_files_of_intrinsics(tmp_path, name, frames):
  value = MATRIX if frames is None else [MATRIX] * frames
  path = write(tmp_path / name, value)
  found = find(path=path)
  np.testing.assert_array_equal(found.matrices, value)
  assert str(path) in found.origin
  named = write(tmp_path / "named.json", {"intrinsics": value, "unit": "px"})
  np.testing.assert_array_equal(find(path=named).matrices, value)


def test_another_number_of_frames_is_refused_with_both(tmp_path):
  path = write(tmp_path / "k.json", [MATRIX] * 5)
  with pytest.raises(InputError, match=r"5 frames.*has 3"):
    find(path=path)


def changed(row, column, value):
  matrix = [list(line) for line in MATRIX]
  matrix[row][column] = value
  return matrix


@pytest.mark.parametrize(
  ("value", "message"),
  [
    (changed(0, 0, -1500), "focal length that is not above 0"),
    (changed(0, 1, 3), "skew"),
    (changed(1, 0, 3), "skew"),
    (changed(2, 2, 2), "last row"),
    (changed(0, 2, float("nan")), "not finite"),
    ([1500, 960], "shape \\(2,\\)"),
    ([[[MATRIX]]], "shape"),
    ("a camera", "cannot be read"),
    ([[1, 2], [3]], "cannot be read"),
    ({"matrix": MATRIX}, "cannot be read"),
  ],
)
def test_what_is_no_camera_is_refused(tmp_path, value, message):
  path = write(tmp_path / "k.json", value)
  with pytest.raises(InputError, match=message):
    find(path=path)


def test_missing_and_foreign_files_are_refused(tmp_path):
  with pytest.raises(InputError, match="cannot be read"):
    find(path=tmp_path / "none.json")
  with pytest.raises(InputError, match="cannot be read"):
    find(path=tmp_path / "none.npz")
  np.savez(tmp_path / "other.npz", other=np.eye(3))
  with pytest.raises(InputError, match="no array intrinsics"):
    find(path=tmp_path / "other.npz")
  (tmp_path / "words.json").write_text("[1500,")
  with pytest.raises(InputError, match="may be damaged"):
    find(path=tmp_path / "words.json")
