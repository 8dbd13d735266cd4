"""Calibrations of Qualisys'."""

import numpy as np
import pytest

from mhmr_jax.errors import InputError
from tests.benchmarks import qualisys


def write(path, *matrices):
  cameras = ""
  for matrix in matrices:
    values = " ".join(
      f'r{i + 1}{j + 1}="{matrix[i][j]}"' for i in range(3) for j in range(3)
    )
    cameras += f'<camera active="1"><transform {values} x="1" y="2" z="3"/></camera>'
  path.write_text(f"<calibration><cameras>{cameras}</cameras></calibration>")
  return path


def test_a_camera_that_looks_straight_down(tmp_path):
  # Its axes are the world's: it looks along the world's -z.
  (turn,) = qualisys.read(write(tmp_path / "calibration", np.eye(3)))
  np.testing.assert_array_equal(turn @ [0, 0, -1], [0, 0, 1])
  np.testing.assert_array_equal(turn @ [0, 1, 0], [0, -1, 0])


def test_a_level_camera(tmp_path):
  # It looks along the world's y, and z is up.
  axes = [[1, 0, 0], [0, 0, 1], [0, -1, 0]]
  turns = qualisys.read(write(tmp_path / "calibration", np.eye(3), axes))
  np.testing.assert_array_equal(turns[1] @ [0, 1, 0], [0, 0, 1])
  np.testing.assert_array_equal(turns[1] @ [0, 0, 1], [0, -1, 0])


@pytest.mark.parametrize("text", ["", "<calibration/>", "<calibration"])
def test_damaged_files(tmp_path, text):
  (tmp_path / "calibration").write_text(text)
  with pytest.raises(InputError, match="calibration of Qualisys"):
    qualisys.read(tmp_path / "calibration")
