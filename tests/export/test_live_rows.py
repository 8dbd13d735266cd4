"""Rows of a stream, as another program gets them."""

import json
import re
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from mhmr_jax.errors import InputError
from mhmr_jax.export import live_rows
from mhmr_jax.files.live import Timed
from mhmr_jax.inference.live_motion import LivePerson
from tests import tiny

_FRAME = np.zeros((4, 4, 3), np.uint8)


def _person(number, seconds):
  rng = np.random.default_rng(number)
  return LivePerson(
    id=number,
    seconds=seconds,
    confidence=0.75,
    pose=rng.normal(size=(24, 3)).astype(np.float32),
    betas=rng.normal(size=10).astype(np.float32),
    transl_camera=rng.normal(size=3).astype(np.float32),
    joints_camera=rng.normal(size=(24, 3)).astype(np.float32),
    gravity_camera=np.float32([0, 1, 0]),
  )


def _timed(number, seconds=0.0, late=0.0):
  return Timed(seconds, _FRAME, number, time.monotonic() - late)


def test_a_line_has_everybody_s_fields_to_a_tenth_of_a_millimetre():
  people = [_person(number, 0.4) for number in (2, 7)]
  row = json.loads(live_rows.line(0.4333333, 13, people))
  assert list(row) == ["seconds", "frame", "people"]
  assert (row["seconds"], row["frame"]) == (0.4333, 13)
  assert [person["id"] for person in row["people"]] == [2, 7]
  for written, person in zip(row["people"], people, strict=True):
    assert tuple(written) == person._fields
    for name, value in person._asdict().items():
      np.testing.assert_allclose(written[name], value, atol=6e-5)
  assert json.loads(live_rows.line(1.0, 30, []))["people"] == []


def test_a_file_has_a_line_for_each_frame_at_once(tmp_path):
  path = tmp_path / "rows.jsonl"
  with live_rows.opened(str(path)) as rows:
    for frame in range(3):
      rows.add(_timed(2 * frame), [_person(1, frame / 30)] * frame)
      lines = [json.loads(line) for line in path.read_text().splitlines()]
      assert [len(line["people"]) for line in lines] == list(range(frame + 1))


def test_standard_output(capfd):
  with live_rows.opened("-") as rows:
    rows.add(_timed(0), [])
  assert json.loads(capfd.readouterr().out)["frame"] == 0


def test_the_reader_of_the_documentation_reads_datagrams():
  text = (tiny.ROOT / "docs" / "predict.md").read_text()
  (code,) = re.findall(r"^```python\n(.*?)^```", text, re.M | re.DOTALL)
  with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
  assert "9000" in code
  reader = subprocess.Popen(
    [sys.executable, "-u", "-c", code.replace("9000", str(port))],
    stdout=subprocess.PIPE,
    text=True,
  )
  try:
    with live_rows.opened(f"udp://127.0.0.1:{port}") as rows:
      person = _person(3, 0.5)
      deadline = time.monotonic() + 60
      printed = []
      wait = lambda: printed.append(reader.stdout.readline())
      threading.Thread(target=wait, daemon=True).start()
      # Datagrams that are sent before it listens are lost.
      while not printed and time.monotonic() < deadline:
        rows.add(_timed(0, 0.5), [person])
        time.sleep(0.02)
  finally:
    reader.kill()
    reader.communicate()
  x, y, z = person.joints_camera[0]
  assert printed == [f"0.50 s: person 3 at {x:.2f} {y:.2f} {z:.2f}\n"]


@pytest.mark.parametrize(
  ("destination", "message"),
  [
    ("udp://127.0.0.1", r"udp://127\.0\.0\.1 cannot be reached \(no host, or no port"),
    ("udp://:9000", "no host, or no port"),
    ("udp://127.0.0.1:99999", "cannot be reached"),
    ("udp://no host.invalid:9000", "cannot be reached"),
    ("{tmp}/absent/rows.jsonl", r"cannot be written \(No such file or directory\)"),
    ("{tmp}", "cannot be written"),
  ],
)
def test_where_rows_cannot_go_is_one_sentence(destination, message, tmp_path):
  with (
    pytest.raises(InputError, match=f"--live_rows=.*{message}"),
    live_rows.opened(destination.format(tmp=tmp_path)),
  ):
    pass


def test_a_reader_that_leaves_is_named_once_and_ends_nothing(caplog):
  def send(row):
    raise BrokenPipeError(32, "Broken pipe")

  rows = live_rows.LiveRows(send)
  for frame in range(3):
    rows.add(_timed(frame), [])
  assert caplog.text.count("Rows do not arrive (Broken pipe)") == 1
  assert rows.summary()["frames_used"] == 3


def test_the_summary_has_the_latency_and_what_was_passed_over():
  rows = live_rows.LiveRows(lambda row: None)
  for number, late in enumerate([0.1] * 18 + [0.5, 0.5]):
    rows.add(_timed(3 * number, late=late), [])
  summary = rows.summary()
  assert summary["frames_used"] == 20
  assert summary["frames_come"] == 58
  assert 100 <= summary["latency_median_ms"] < 300
  assert summary["latency_95th_percentile_ms"] >= 500


def test_a_stream_that_ended_before_its_first_row_has_no_latency():
  summary = live_rows.LiveRows(lambda row: None).summary()
  assert summary["frames_used"] == summary["latency_median_ms"] == 0
