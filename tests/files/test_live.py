"""Streams from a server in this process, and cameras that stand in for real ones."""

import http.server
import itertools
import signal
import threading
import time

import av
import cv2
import numpy as np
import pytest

from mhmr_jax.errors import InputError
from mhmr_jax.files import live
from tests.files import streams, videos

_RATE = 50


def _level(frame):
  return frame[-8:, -8:].mean()


@pytest.fixture
def serve():
  """Starts a server whose answer is made of byte strings, as an iterable gives them."""
  servers = []

  def start(kind, pieces, **headers):
    class Handler(http.server.BaseHTTPRequestHandler):
      def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        for name, value in headers.items():
          self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        try:
          for piece in pieces():
            self.wfile.write(piece)
            self.wfile.flush()
        except OSError:
          pass  # The reader has left.

      def log_message(self, *arguments):
        pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    servers.append(server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/stream"

  yield start
  for server in servers:
    server.shutdown()
    server.server_close()


def _grey(number):
  return 20 + 3 * number % 210


def _motion_jpegs(frames):
  """Pictures as a network camera sends them, in real time."""
  for number in range(frames):
    picture = np.full((48, 64, 3), _grey(number), np.uint8)
    _, encoded = cv2.imencode(".jpg", picture)
    content = encoded.tobytes()
    yield (
      b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: "
      + str(len(content)).encode()
      + b"\r\n\r\n"
      + content
      + b"\r\n"
    )
    time.sleep(1 / _RATE)


_MJPEG = "multipart/x-mixed-replace; boundary=frame"


def test_a_busy_reader_of_a_live_source_is_given_the_newest_picture(serve):
  url = serve(_MJPEG, lambda: _motion_jpegs(60))
  seconds, numbers, counted = [], [], []
  for moment, frame, number, arrived in live.read_frames(url):
    assert 0 <= time.monotonic() - arrived < 0.4
    seconds.append(moment)
    numbers.append(round((_level(frame) - 20) / 3))
    counted.append(number)
    if len(seconds) == 2:
      time.sleep(0.5)
  assert counted == numbers
  assert seconds[0] >= 0
  assert (np.diff(seconds) > 0).all()
  assert (np.diff(numbers) > 0).all()
  # Some 25 pictures came while the reader was busy.
  assert numbers[2] - numbers[1] > 5
  assert seconds[2] - seconds[1] > 0.1
  assert numbers[-1] == 59


def test_all_frames_of_a_file_behind_a_url_come_with_its_times(serve, tmp_path):
  path = videos.write(
    tmp_path / "video.mp4", rate=25, container_options={"movflags": "+faststart"}
  )
  content = path.read_bytes()
  url = serve("video/mp4", lambda: [content], Content_Length=str(len(content)))
  found = []
  for number, (seconds, frame, *_) in enumerate(live.read_frames(url)):
    if number == 2:
      time.sleep(0.2)
    found.append(seconds)
    np.testing.assert_allclose(_level(frame), videos.level(number), atol=8)
  np.testing.assert_allclose(found, np.arange(20) / 25, atol=1e-6)


@pytest.fixture
def heeded_interrupts():
  """Both interrupt, as Ctrl-C in a terminal; programs in the background ignore it."""
  numbers = (signal.SIGINT, signal.SIGTERM)
  before = [signal.signal(one, signal.default_int_handler) for one in numbers]
  yield
  for one, handler in zip(numbers, before, strict=True):
    signal.signal(one, handler)


@pytest.mark.usefixtures("heeded_interrupts")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_interrupt_ends_the_pictures_and_the_next_the_program(serve, number):
  url = serve(_MJPEG, lambda: _motion_jpegs(500))
  before = signal.getsignal(number)
  written = []
  for seconds, *_ in live.read_frames(url):
    written.append(seconds)
    if len(written) == 3:
      signal.raise_signal(number)
  assert len(written) == 3
  assert signal.getsignal(number) is before
  with pytest.raises(KeyboardInterrupt):
    signal.raise_signal(number)


def test_a_stream_over_tcp(tmp_path):
  path = videos.write(tmp_path / "video.mp4", rate=25, options={"bf": "0"})
  with streams.serving(path) as (url, sent):
    found = list(live.read_frames(url))
  assert len(sent) == 20
  assert 0 < len(found) <= 20
  for seconds, frame, number, _ in found:
    assert seconds == pytest.approx(number / 25, abs=1e-4)
    np.testing.assert_allclose(_level(frame), videos.level(number), atol=8)


def test_a_reader_that_leaves_early_restores_interrupts(serve):
  url = serve(_MJPEG, lambda: _motion_jpegs(500))
  before = signal.getsignal(signal.SIGINT)
  frames = live.read_frames(url)
  assert len(list(itertools.islice(frames, 2))) == 2
  frames.close()
  assert signal.getsignal(signal.SIGINT) is before


def test_what_cannot_be_opened_is_one_sentence_without_the_password(serve):
  with pytest.raises(InputError, match="cannot be opened") as raised:
    next(live.read_frames("http://me:secret@127.0.0.1:9/stream"))
  assert "secret" not in str(raised.value)
  url = serve("video/mp4", lambda: [b"no video" * 500])
  with pytest.raises(InputError, match="cannot be opened"):
    next(live.read_frames(url))


def test_a_stream_of_sound_alone(serve, tmp_path):
  path = tmp_path / "song.ts"
  with av.open(str(path), "w") as container:
    videos._write_tone(container, container.add_stream("aac", rate=48_000), 0.5)
  url = serve("video/mp2t", lambda: [path.read_bytes()])
  with pytest.raises(InputError, match="has no pictures"):
    next(live.read_frames(url))


def test_a_playlist_names_no_file_of_this_machine(serve, tmp_path):
  secret = videos.write(tmp_path / "secret.ts")
  playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{secret}\n"
  playlist += "#EXT-X-ENDLIST\n"
  url = serve("application/vnd.apple.mpegurl", lambda: [playlist.encode()])
  with pytest.raises(InputError):
    next(live.read_frames(url))


class _Camera:
  """Stands in for cv2.VideoCapture: three pictures, if there is a camera."""

  def __init__(self, number):
    self._left = [videos.picture(n, 64, 48)[..., ::-1] for n in range(3)]
    if number:
      self._left = []

  def read(self):
    time.sleep(0.05)
    return (True, self._left.pop(0)) if self._left else (False, None)

  def release(self):
    pass


def test_a_camera(monkeypatch):
  monkeypatch.setattr(live.cv2, "VideoCapture", _Camera)
  found = list(live.read_frames("0"))
  assert len(found) == 3
  assert [seconds > 0.04 for seconds, *_ in found] == [False, True, True]
  np.testing.assert_array_equal(found[2].frame, videos.picture(2, 64, 48))
  with pytest.raises(InputError, match="Camera 1 gives no pictures"):
    next(live.read_frames("1"))


@pytest.mark.parametrize(
  ("source", "expected"),
  [
    ("0", True), ("12", True), ("rtsp://h/s", True), ("https://h/v.mp4", True),
    ("run.mp4", False), ("/a/b.mp4", False), ("C:\\video.mp4", False), ("1/a", False),
    ("tcp://h:1", True), ("file:///etc/passwd", False), ("concat:a|b", False),
  ],
)  # fmt: skip
def test_what_is_live(source, expected):
  assert live.is_live(source) == expected


def test_a_clock_goes_on_where_the_source_s_own_does_not():
  clock = live._Clock()
  convert = lambda: videos.picture(0, 64, 48)
  assert [clock.timed(convert, *t).seconds for t in ((7.0, 1.0), (7.5, 1.0))] == [
    0,
    0.5,
  ]
  # Set back, missing, set far ahead.
  for number, (stamp, now) in enumerate([(3.0, 1.1), (None, 1.3), (1e9, 1.4)]):
    timed = clock.timed(convert, stamp, now)
    assert timed.seconds == pytest.approx(now - 0.5)
    assert timed.number == number + 2
