"""Videos as streams of this machine, which come at the rate of their times."""

import contextlib
import pathlib
import socket
import threading
import time
from collections.abc import Iterator

import av


class Sent(list[tuple[float, float]]):
  """By packet: seconds from the first picture, and when it was sent (`monotonic`)."""


@contextlib.contextmanager
def serving(path: pathlib.Path) -> Iterator[tuple[str, Sent]]:
  """Serves a video over TCP, as MPEG-TS, to the first who reads it.

  Yields:
    The URL, and what has been sent, which grows.
  """
  sent = Sent()
  with socket.create_server(("127.0.0.1", 0)) as server:
    thread = threading.Thread(target=_serve, args=(server, path, sent), daemon=True)
    thread.start()
    yield f"tcp://127.0.0.1:{server.getsockname()[1]}", sent
  thread.join(1)


def _serve(server: socket.socket, path: pathlib.Path, sent: Sent) -> None:
  with contextlib.suppress(OSError, av.FFmpegError):  # The reader has left.
    connection, _ = server.accept()
    with connection, connection.makefile("wb", 0) as pipe, av.open(str(path)) as video:
      output = av.open(pipe, "w", format="mpegts", options={"flush_packets": "1"})
      with output:
        pictures = video.streams.video[0]
        stream = output.add_stream_from_template(pictures)
        begun = time.monotonic()
        for packet in video.demux(pictures):
          if packet.dts is None:
            continue
          seconds = float(packet.pts * packet.time_base)
          time.sleep(max(0.0, begun + seconds - time.monotonic()))
          packet.stream = stream
          output.mux(packet)
          sent.append((seconds, time.monotonic()))
