import numpy as np

from mhmr_jax.visualize import comparison

ROWS = {
  "flow & kp": {
    "pa_mpjpe_mm": 74.7, "mpjpe_mm": 120.0, "pve_mm": 1140.0, "accel_mm_s2": 9000.0,
    "pck_150mm_percent": 80.0, "auc_150mm_percent": 45.0,
    "intervals": {"pa_mpjpe_mm": [70.0, 80.0], "mpjpe_mm": [100.0, 140.0]},
    "num_frames": 35515, "num_missing_frames": 0,
  },
  "file": {
    "pa_mpjpe_mm": 90.0, "mpjpe_mm": 150.0, "pve_mm": None, "accel_mm_s2": None,
    "pck_150mm_percent": 70.0, "auc_150mm_percent": 40.0,
    "intervals": {"pa_mpjpe_mm": None}, "num_frames": 100, "num_missing_frames": 7,
  },
  "baseline": {"pa_mpjpe_mm": 150.0, "mpjpe_mm": 290.0},
}  # fmt: skip


def test_table_has_intervals_and_says_what_is_missing():
  (_, first), (_, second), (_, third) = comparison.table_rows(ROWS)
  assert first[0] == "74.7 [70.0, 80.0]"
  assert first[2] == "1,140"
  assert first[-1] == "35,515"
  assert second[0] == "90.0"
  assert second[2] == "-"
  assert second[-1] == "100 (lacks 7)"
  assert third[-1] == "-"


def test_page_escapes_names_and_carries_its_plot():
  page = comparison.render(ROWS, "threedpw test, protocol <spin>")
  assert "flow &amp; kp" in page
  assert "&lt;spin&gt;" in page
  assert "data:image/png;base64," in page
  assert "<script" not in page


def test_plot_has_a_mark_where_the_figure_is():
  image = comparison.draw(ROWS)
  marks = (image == np.array(comparison._MARK)).all(-1)
  row = slice(comparison._TOP, comparison._TOP + comparison._ROW)
  panel = slice(comparison._LEFT, comparison._LEFT + comparison._PANEL)
  columns = np.flatnonzero(marks[row, panel].any(0))
  # 70 to 150 with a tenth of that on either side: 74.7 +- 5 of it.
  place = lambda value: (value - 62) / 96 * comparison._PANEL
  assert abs(columns.min() - place(70)) < 4
  assert abs(columns.max() - place(80)) < 4
  # The file has no surface: two panels of it are marked, the last is not.
  third = comparison._LEFT + 2 * (comparison._PANEL + comparison._GAP)
  second_row = slice(row.stop, row.stop + comparison._ROW)
  assert not marks[second_row, third:].any()


def test_a_single_row_without_interval_can_be_drawn():
  image = comparison.draw({"only": {"pa_mpjpe_mm": 80.0}})
  assert (image == np.array(comparison._MARK)).all(-1).any()
