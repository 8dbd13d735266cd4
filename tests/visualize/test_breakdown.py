import numpy as np

from mhmr_jax.visualize import breakdown


def _names(figure):
  return [label.get_text() for label in figure.axes[0].get_yticklabels()]


def test_joints_have_two_bars_each_in_the_protocols_order():
  rows = [
    {"joint": "left_knee", "pa_mpjpe_mm": 30.0, "mpjpe_mm": 60.0},
    {"joint": "neck", "pa_mpjpe_mm": 45.0, "mpjpe_mm": 15.0},
  ]
  figure = breakdown.joint_chart(rows)
  assert [bar.get_width() for bar in figure.axes[0].patches] == [30, 45, 60, 15]
  assert _names(figure) == ["left knee", "neck"]
  assert figure.axes[0].get_xlabel() == "error, mm"


def test_many_sequences_lose_their_names_and_few_keep_them():
  rows = [{"sequence": f"s{i:03d}", "pa_mpjpe_mm": 50.0 - i / 10} for i in range(100)]
  few = breakdown.sequence_chart(rows[:3], {"mean": 40.0})
  assert _names(few) == ["s002", "s001", "s000"]  # The best first.
  many = breakdown.sequence_chart(rows, {"mean": 40.0})
  assert _names(many)[:1] != ["s099"]
  assert len(many.axes[0].patches) == 100


def test_timelines_are_of_worst_median_and_best_and_break_at_gaps():
  rows = [{"sequence": f"s{i}"} for i in range(4)]
  frames = [np.array([0, 1, 2, 6, 7, 8])] * 4
  errors = [
    {"pa_mpjpe_mm": np.full(6, 10.0 * i), "mpjpe_mm": np.full(6, 20.0 * i)}
    for i in range(4)
  ]
  # Sequence 1 was not scored.
  timelines = breakdown.choose_timelines([2, 0, 3], rows, frames, errors)
  assert [timeline.caption.split(": ") for timeline in timelines] == [
    ["The worst sequence", "s3"],
    ["The median sequence", "s0"],
    ["The best sequence", "s2"],
  ]
  assert timelines[0].errors["mpjpe_mm"][0] == 60
  lines = breakdown.timeline_chart(timelines[0]).axes[0].lines
  assert [line.get_label() for line in lines] == ["PA-MPJPE", "MPJPE"]
  for line, error in zip(lines, (30, 60), strict=True):
    np.testing.assert_array_equal(line.get_xdata(), [0, 1, 2, np.nan, 6, 7, 8])
    assert np.nanmax(line.get_ydata()) == error
  assert len(breakdown.choose_timelines([2], rows, frames, errors)) == 1
