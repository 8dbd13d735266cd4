"""Arrays that are written in blocks are read back whole."""

import numpy as np
import pytest

from mhmr_jax.files import npz, npz_writer


def test_what_is_written_in_blocks_is_read_back(tmp_path):
  rows = np.arange(42.0).reshape(7, 6)
  path = tmp_path / "file.npz"
  with npz_writer.writing(path) as file:
    file.add_rows("rows", (rows[start : start + 3] for start in (0, 3, 6)), (7, 6))
    file.add("name", np.array("free"))
    file.add("turned", rows.astype(np.float32).T)
    assert not path.exists()
  for read in (dict(np.load(path)), npz.read_npz(path)):
    assert list(read) == ["rows", "name", "turned"]
    np.testing.assert_array_equal(read["rows"], rows)
    np.testing.assert_array_equal(read["turned"], rows.T.astype(np.float32))
    assert read["rows"].dtype == np.float64
    assert read["turned"].dtype == np.float32
    assert read["name"] == "free"


def test_blocks_of_other_types_leave_no_file(tmp_path):
  blocks = [np.zeros((1, 2)), np.zeros((1, 2), np.float32)]
  with (
    pytest.raises(ValueError, match="float32"),
    npz_writer.writing(tmp_path / "file.npz") as file,
  ):
    file.add_rows("rows", blocks, (2, 2))
  assert not list(tmp_path.iterdir())
