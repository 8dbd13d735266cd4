"""Recording a stream while its people are detected."""

import contextlib
import functools
import http.server
import threading
import types

import numpy as np
import pytest

from mhmr_jax.errors import InputError
from mhmr_jax.files import live, video, video_writer
from mhmr_jax.keypoints import detectors, recording
from mhmr_jax.keypoints.source import KeypointSource

_TIMES = np.array([0, 0.04, 0.1, 0.12, 0.2])


@pytest.fixture
def stream(tmp_path):
  """The URL of a video whose pictures come at uneven times, brighter and brighter."""
  with video_writer.writing(tmp_path / "served.mp4", 25.0, _TIMES) as writer:
    for number in range(len(_TIMES)):
      writer.write(np.full((48, 64, 3), 40 * number, np.uint8))

  class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
      pass

  server = http.server.ThreadingHTTPServer(
    ("127.0.0.1", 0), functools.partial(Handler, directory=tmp_path)
  )
  threading.Thread(target=server.serve_forever, daemon=True).start()
  yield f"http://127.0.0.1:{server.server_port}/served.mp4"
  server.shutdown()
  server.server_close()


def test_a_recording_has_the_pictures_that_were_detected(stream, tmp_path, monkeypatch):
  seen = []

  @contextlib.contextmanager
  def open_detector(weights, people):
    def detect(frame, seconds):
      seen.append((round(seconds, 3), frame.mean()))
      return np.full((len(seen), 17, 3), len(seen), np.float32)

    yield detect

  fake = types.SimpleNamespace(open_detector=open_detector)
  monkeypatch.setattr(detectors, "adapter", lambda name: fake)
  path, used = tmp_path / "recording.mp4", []
  detections = recording.record(
    stream, path, KeypointSource(), lambda timed, found: used.append((timed, found))
  )
  assert [len(people) for people in detections] == [1, 2, 3, 4, 5]
  assert [seconds for seconds, _ in seen] == _TIMES.tolist()
  assert [timed.number for timed, _ in used] == list(range(5))
  for (_, found), detected in zip(used, detections, strict=True):
    assert found is detected
  info = video.probe(path)
  np.testing.assert_allclose(info.times, _TIMES, atol=1e-3)
  brightness = [frame.mean() for frame in video.read_frames(path)]
  np.testing.assert_allclose(brightness, [mean for _, mean in seen], atol=3)


def test_keypoints_from_a_file_are_refused(tmp_path):
  with pytest.raises(InputError, match=r"--keypoints=run\.npz is for a video that is"):
    recording.record("0", tmp_path / "a.mp4", KeypointSource("run.npz", "npz"))


def test_a_recording_that_is_ended_at_once(tmp_path, monkeypatch):
  opened = contextlib.nullcontext(None)
  fake = types.SimpleNamespace(open_detector=lambda weights, people: opened)
  monkeypatch.setattr(detectors, "adapter", lambda name: fake)
  monkeypatch.setattr(live, "read_frames", lambda source: iter(()))
  with pytest.raises(InputError, match="was ended before its first picture"):
    recording.record("0", tmp_path / "a.mp4", KeypointSource())
  assert list(tmp_path.iterdir()) == []
