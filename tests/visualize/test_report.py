import base64
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from mhmr_jax.errors import InputError
from mhmr_jax.visualize import breakdown, report


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
    "fit": False,
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
  assert page.count("<svg") == 4
  assert "http" not in page
  assert "url(" not in page
  assert "@import" not in page
  assert "<script" not in page


def test_pictures_decode_in_their_colours():
  page = report.render(_results(), [], _pictures())
  data = base64.b64decode(re.search(r"base64,([^\"]+)", page).group(1))
  image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
  np.testing.assert_allclose(image[20, 30], (250, 30, 20), atol=6)


def test_names_and_captions_are_escaped():
  hostile = '<script>alert("x")</script>'
  page = report.render(_results(hostile), _history(), _pictures(hostile))
  assert "<script" not in page
  # The table, the captions, and the name in the chart.
  assert "".join(_Page(page).text).count(hostile) == 5


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


@pytest.mark.parametrize("line", [b"\xff", b"[" * 9999, b'{"step": ' + b"9" * 5000])
def test_history_with_a_hostile_line_names_it(tmp_path, line):
  path = tmp_path / "metrics.jsonl"
  path.write_bytes(line + b'\n{"step": 2}\n')
  with pytest.raises(InputError, match=r"Line 1 of .* is not JSON"):
    report.read_history(path)


def test_history_with_a_damaged_line_names_it(tmp_path):
  path = tmp_path / "metrics.jsonl"
  path.write_text('{"step": 1}\nnot json\n{"step": 2}\n')
  with pytest.raises(InputError, match=r"Line 2 of .*metrics\.jsonl"):
    report.read_history(path)


def test_page_says_what_the_figures_are_of():
  text = "".join(_Page(report.render(_results(), [], _pictures())).text)
  for fact in ("camera is valid and anything", "SMPL pelvis", "over all frames"):
    assert fact in text
  for fact in ("synthetic_clips 1.0.0", "n6_s64", "1,300, of which 1,200", "left knee"):
    assert fact in text


def test_timelines_are_drawn_with_their_captions():
  errors = {name: np.arange(6.0) for name in ("pa_mpjpe_mm", "mpjpe_mm")}
  timeline = breakdown.Timeline("The worst sequence: s3", np.arange(6), errors)
  page = report.render(_results(), [], _pictures(), [timeline])
  assert "The worst sequence: s3" in "".join(_Page(page).text)
  assert 'aria-label="The worst sequence: s3"' in page
