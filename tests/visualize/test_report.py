import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from mhmr_jax.errors import InputError
from mhmr_jax.visualize import breakdown, charts, report


def _scores(pa_mpjpe, pve=90.0):
  return {
    "pa_mpjpe_mm": pa_mpjpe,
    "mpjpe_mm": pa_mpjpe * 1.5,
    "pve_mm": pve,
    "accel_mm_s2": 12345.6,
  }


def _results(sequence="walk_01"):
  return {
    **_scores(60.0),
    "num_frames": 1200,
    "protocol": "smpl24",
    "root": "SMPL pelvis",
    "regressor": None,
    "frame_filter": "camera and detections",
    "data": {
      "builder": "synthetic_clips",
      "configuration": "n6_s64",
      "version": "1.0.0",
      "num_clips": 2,
      "num_frames": 1300,
    },
    "per_joint": [
      {"joint": "left_knee", "pa_mpjpe_mm": 30.0, "mpjpe_mm": 60.0},
      {"joint": "neck", "pa_mpjpe_mm": 45.0, "mpjpe_mm": 15.0},
    ],
    "dataset": "synthetic_clips",
    "split": "test",
    "step": 4000,
    "body": "free",
    "ratio_to_mean_pose": 0.5,
    "mean": "over all frames",
    "baselines": {
      "mean_pose": _scores(120.0),
      "best_constant_pose": _scores(115.0, pve=None),
    },
    "per_sequence": [
      {"sequence": sequence, "num_frames": 600, **_scores(50.0)},
      {"sequence": "run_02", "num_frames": 600, **_scores(70.0)},
    ],
  }


def _pictures(caption="a walk"):
  image = np.full((40, 60, 3), (250, 30, 20), np.uint8)
  picture = report.Picture(image, caption)
  return report.Pictures(*[[picture]] * 4)


def _history(steps=1000):
  return [
    {"step": s, "loss": 2.0 / (1 + s), "pa_mpjpe_mm": 150 - s / 20}
    for s in range(steps)
  ]


class _Page(HTMLParser):
  """Collects what the page would load, and whether its tags close."""

  def __init__(self, page):
    super().__init__()
    self.sources, self.open, self.text = [], [], []
    self.feed(page)

  def handle_starttag(self, tag, attrs):
    self.sources += [v for k, v in attrs if k in ("src", "href", "srcset", "data")]
    if tag not in ("meta", "img"):
      self.open.append(tag)

  def handle_startendtag(self, tag, attrs):
    pass

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    self.text.append(data)


def test_page_carries_everything_in_itself():
  page = report.render(_results(), _history(), _pictures())
  parsed = _Page(page)
  assert parsed.open == []
  assert len(parsed.sources) == 4
  assert all(s.startswith("data:image/jpeg;base64,") for s in parsed.sources)
  assert "http" not in page
  assert "url(" not in page
  assert "@import" not in page
  assert "<script" not in page


def test_pictures_decode_in_their_colours():
  import base64

  page = report.render(_results(), [], _pictures())
  data = base64.b64decode(re.search(r"base64,([^\"]+)", page).group(1))
  image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
  np.testing.assert_allclose(image[20, 30], (250, 30, 20), atol=6)


def test_names_and_captions_are_escaped():
  hostile = '<script>alert("x")</script>'
  page = report.render(_results(hostile), _history(), _pictures(hostile))
  assert "<script" not in page
  assert "".join(_Page(page).text).count(hostile) == 5  # Table and captions.


def test_table_shows_model_then_baselines():
  rows = report.score_rows(_results())
  assert [name for name, _ in rows] == ["Model", *report.BASELINES.values()]
  assert rows[0][1] == ["60.0", "90.0", "90.0", "12,346"]
  assert rows[2][1][2] == "-"
  page = report.render(_results(), _history(), _pictures())
  assert "0.50 of the mean pose" in page


def test_no_history_and_no_pictures_still_make_a_page():
  page = report.render(_results(), [], report.Pictures([], [], [], []))
  assert "no training history" in page
  assert _Page(page).sources == []


def test_history_survives_a_half_written_last_line(tmp_path):
  path = tmp_path / "metrics.jsonl"
  path.write_text('{"step": 1, "loss": 2.0}\n{"time": 3}\n{"step": 2, "lo')
  assert report.read_history(path) == [{"step": 1, "loss": 2.0}]
  assert report.read_history(tmp_path / "none.jsonl") == []


def test_history_with_a_damaged_line_names_it(tmp_path):
  path = tmp_path / "metrics.jsonl"
  path.write_text('{"step": 1}\nnot json\n{"step": 2}\n')
  with pytest.raises(InputError, match=r"Line 2 of .*metrics\.jsonl"):
    report.read_history(path)


def _polyline(svg):
  points = re.search(r'<polyline points="([^"]+)"', svg).group(1)
  return np.array([list(map(float, p.split(","))) for p in points.split()])


def test_line_chart_draws_to_scale():
  x = np.array([0.0, 5.0, 10.0])
  points = _polyline(charts.line_chart({"a": (x, np.array([0, 10, 5]))}, "x", "y"))
  spans = np.diff(points, axis=0)
  np.testing.assert_allclose(spans[0, 0], spans[1, 0], atol=0.11)
  np.testing.assert_allclose(spans[0, 1], -2 * spans[1, 1], atol=0.21)
  assert spans[0, 1] < 0  # SVG's y points down.


def test_line_chart_averages_long_series_and_skips_gaps():
  x = np.arange(5000.0)
  y = np.where(x % 2 == 0, 1.0, 3.0)
  y[100:200] = np.nan
  points = _polyline(charts.line_chart({"a": (x, y)}, "x", "y"))
  assert 200 < len(points) <= 300
  assert np.isfinite(points).all()
  assert np.ptp(points[:, 1]) < 20  # Averaged: about level at 2.


@pytest.mark.parametrize("y", [[], [np.nan, np.inf], [3.0, 3.0], [-1.0, -2.0]])
def test_line_chart_takes_anything(y):
  chart = charts.line_chart({"a": (np.arange(len(y)), np.array(y))}, "x", "y")
  assert "nan" not in chart
  assert "inf" not in chart


def test_bars_are_sorted_and_as_high_as_their_values():
  svg = charts.sorted_bars([3.0, 1.0, 2.0], {"level": 2.0}, "x", "y")
  heights = [float(h) for h in re.findall(r'<rect[^>]* height="([\d.]+)"', svg)]
  np.testing.assert_allclose(np.array(heights) / heights[0], [1, 2, 3], rtol=0.01)
  tops = [float(y) for y in re.findall(r'<rect[^>]* y="([\d.]+)"', svg)]
  level = re.search(r'y1="([\d.]+)" y2="[\d.]+" style', svg).group(1)
  assert float(level) == tops[1]


def test_page_says_what_the_figures_are_of():
  text = "".join(_Page(report.render(_results(), [], _pictures())).text)
  for fact in ("camera is valid and anything", "SMPL pelvis", "over all frames"):
    assert fact in text
  for fact in ("synthetic_clips 1.0.0", "n6_s64", "1,300, of which 1,200", "left knee"):
    assert fact in text


def test_named_bars_are_as_long_as_their_values():
  rows = _results()["per_joint"]
  svg = breakdown.joint_chart(rows)
  widths = [float(w) for w in re.findall(r'<rect[^>]* width="([\d.]+)"', svg)]
  np.testing.assert_allclose(np.array(widths) / widths[0], [1, 2, 1.5, 0.5], rtol=0.01)
  assert svg.index("left knee") < svg.index("neck")


def test_many_sequences_lose_their_names_and_few_keep_them():
  rows = [{"sequence": f"s{i:03d}", "pa_mpjpe_mm": 50.0 - i / 10} for i in range(100)]
  few = breakdown.sequence_chart(rows[:3], {"mean": 40.0})
  assert few.index("s002") < few.index("s001") < few.index("s000")  # The best first.
  many = breakdown.sequence_chart(rows, {"mean": 40.0})
  assert "s002" not in many
  assert many.count("<rect") == 100


def test_timelines_are_of_worst_median_and_best_and_break_at_gaps():
  rows = [{"sequence": f"s{i}"} for i in range(4)]
  frames = [np.array([0, 1, 2, 6, 7, 8])] * 4
  errors = [
    {"pa_mpjpe_mm": np.full(6, 10.0 * i), "mpjpe_mm": np.full(6, 20.0 * i)}
    for i in range(4)
  ]
  # Sequence 1 was not scored.
  lines = breakdown.choose_timelines([2, 0, 3], rows, frames, errors)
  assert [line.caption.split(": ") for line in lines] == [
    ["The worst sequence", "s3"],
    ["The median sequence", "s0"],
    ["The best sequence", "s2"],
  ]
  assert lines[0].errors["mpjpe_mm"][0] == 60
  assert breakdown.timeline_chart(lines[0]).count("<polyline") == 4
  assert len(breakdown.choose_timelines([2], rows, frames, errors)) == 1
  page = report.render(_results(), [], _pictures(), lines)
  assert "The worst sequence: s3" in page
