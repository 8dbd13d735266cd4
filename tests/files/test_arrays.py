"""Arrays of files are checked before they are used."""

import numpy as np
import pytest

from mhmr_jax.errors import InputError
from mhmr_jax.files.arrays import read_array


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", ">f4", "float64"])
def test_arrays_of_numbers_come_back_in_float64(dtype):
  array = np.array([[0, 1, 1], [1, 0, 1]], dtype)
  read = read_array({"pose": array}, "a.pkl", "pose", (None, 3))
  assert read.dtype == np.float64
  np.testing.assert_array_equal(read, array)


def test_numbers_that_are_not_finite_are_read_where_they_are_allowed():
  data = {"pose": np.array([1, np.nan, np.inf])}
  np.testing.assert_array_equal(
    read_array(data, "a.pkl", "pose", (3,), finite=False), data["pose"]
  )
  with pytest.raises(InputError, match=r"pose of a\.pkl .* finite numbers"):
    read_array(data, "a.pkl", "pose", (3,))
  with pytest.raises(InputError, match=r"pose of a\.pkl .* finite numbers"):
    read_array({"pose": np.full(3, 1e308)}, "a.pkl", "pose", (3,))


@pytest.mark.parametrize(
  ("value", "match"),
  [
    (None, "is NoneType, not an array of numbers"),
    ([1.0, 2.0], "is list, not an array of numbers"),
    (np.array(["a", "b"]), "is <U1, not an array of numbers"),
    (np.array([1j, 2j]), "is complex128, not an array of numbers"),
    (np.zeros((2, 4)), r"has shape \(2, 4\), not \(any, 3\)"),
    (np.zeros(3), r"has shape \(3,\), not \(any, 3\)"),
  ],
)
def test_other_values_are_named(value, match):
  with pytest.raises(InputError, match=rf"^pose of a\.pkl {match}$"):
    read_array({"pose": value}, "a.pkl", "pose", (None, 3))


def test_absent_arrays_are_named():
  with pytest.raises(InputError, match=r"^a\.pkl has no pose: "):
    read_array({}, "a.pkl", "pose", (None,))
