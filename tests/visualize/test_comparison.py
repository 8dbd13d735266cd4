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


def test_page_escapes_names_and_carries_its_chart():
  page = comparison.render(ROWS, "threedpw test, protocol <spin>")
  assert "flow &amp; kp" in page
  assert "&lt;spin&gt;" in page
  assert page.count("<svg") == 1
  assert "http" not in page
  assert "<script" not in page


def test_chart_has_a_panel_for_each_measure_and_a_row_for_each_name():
  panels = comparison.draw(ROWS).axes
  assert [panel.get_title(loc="left") for panel in panels] == [
    "PA-MPJPE, mm", "MPJPE, mm", "PVE, mm"
  ]  # fmt: skip
  names = [label.get_text() for label in panels[0].get_yticklabels()]
  assert names == list(ROWS)
  marks = [_marks(panel) for panel in panels]
  assert marks[0] == {0: (70, 74.7, 80), 1: (90, 90, 90), 2: (150, 150, 150)}
  assert marks[1] == {0: (100, 120, 140), 1: (150, 150, 150), 2: (290, 290, 290)}
  assert marks[2] == {0: (1140, 1140, 1140)}  # Neither the file nor the baseline.


def _marks(panel):
  """The lower end, the value and the upper end of each row."""
  found = {}
  for point, _, (interval,) in panel.containers:
    (value,), (row,) = point.get_data()
    low, high = interval.get_segments()[0][:, 0]
    found[int(row)] = (low, value, high)
  return found


def test_a_single_row_without_interval_can_be_drawn():
  (panel,) = comparison.draw({"only": {"pa_mpjpe_mm": 80.0}}).axes
  assert _marks(panel) == {0: (80, 80, 80)}
  low, high = panel.get_xlim()
  assert low < 80 < high
