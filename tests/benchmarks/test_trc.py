"""TRC files, written by hand."""

import numpy as np
import pytest

from mhmr_jax.errors import InputError
from tests.benchmarks import trc

_HEAD = (
  "PathFileType\t4\t(X/Y/Z)\ta.trc\n"
  "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\n"
  "60\t60\t2\t2\tmm\t60\n"
  "Frame#\tTime\tLHip\t\t\tRHip\t\t\n"
  "\t\tX1\tY1\tZ1\tX2\tY2\tZ2\n"
)
_ROWS = "1\t0.0\t1000\t2\t3\t4\t5\t6\n2\t0.016\t7\t8\t9\t\t\t\n\n"


@pytest.fixture
def write(tmp_path):
  def write(text):
    path = tmp_path / "a.trc"
    path.write_text(text)
    return path

  return write


@pytest.mark.parametrize("blank_line", ["", "\n"])
def test_reads_millimetres_as_metres_and_empty_cells_as_missing(write, blank_line):
  markers = trc.read(write(_HEAD + blank_line + _ROWS))
  assert (markers.names, markers.fps) == (("LHip", "RHip"), 60.0)
  np.testing.assert_allclose(
    markers.of(("RHip", "LHip")),
    [
      [[0.004, 0.005, 0.006], [1, 0.002, 0.003]],
      [[np.nan] * 3, [0.007, 0.008, 0.009]],
    ],
  )


def test_a_row_may_leave_out_the_empty_cells_at_its_end(write):
  markers = trc.read(write(_HEAD + _ROWS.replace("9\t\t\t\n", "9\n")))
  assert np.isnan(markers.positions[1, 1]).all()


@pytest.mark.parametrize(
  "text",
  [
    "",
    _HEAD + _ROWS.replace("1000", "x"),
    _HEAD + _ROWS.splitlines()[0],
    (_HEAD + _ROWS).replace("RHip", ""),
    (_HEAD + _ROWS).replace("\tmm\t", "\tfeet\t"),
  ],
)
def test_damaged_files_are_refused_by_name(write, text):
  with pytest.raises(InputError, match=r"a\.trc"):
    trc.read(write(text))


def test_a_marker_that_the_file_lacks(write):
  markers = trc.read(write(_HEAD + _ROWS))
  with pytest.raises(InputError, match="LKnee"):
    markers.of(("LHip", "LKnee"))
