"""Gives people's motion to another program while a stream runs, as lines of JSON.

A line is one frame: `seconds`, `frame` (its number in the recording) and `people`, of
whom each has the fields of `inference.live_motion.LivePerson`.
"""

import contextlib
import json
import os
import socket
import time
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, cast

import numpy as np
from absl import logging

from mhmr_jax.errors import InputError
from mhmr_jax.files.live import Timed
from mhmr_jax.inference.live_motion import LivePerson

_DECIMALS = 4  # A tenth of a millimetre, or of a milliradian.
STANDARD_OUTPUT = "-"


def line(seconds: float, frame: int, people: Sequence[LivePerson]) -> str:
  """One line of JSON, without its end.

  Args:
    seconds: from the first frame to this one.
    frame: its number in the recording.
    people: the people who are seen in it.
  """
  row = {
    "seconds": _plain(seconds),
    "frame": frame,
    "people": [
      {name: _plain(value) for name, value in person._asdict().items()}
      for person in people
    ],
  }
  return json.dumps(row, separators=(",", ":"))


def _plain(value: Any) -> Any:
  """Rounded numbers and lists of them."""
  if isinstance(value, int):
    return value
  rounded = np.round(np.asarray(value, np.float64), _DECIMALS)
  return rounded.tolist()


class LiveRows:
  """Sends lines, and measures how late they are.

  Args:
    send: sends a line, given with its end.
  """

  def __init__(self, send: Callable[[bytes], object]):
    self._send = send
    self._failed = False
    self._count = 0
    self._pictures = 0
    self._latencies: list[float] = []

  def add(self, timed: Timed, people: Sequence[LivePerson]) -> None:
    """Sends the line of a frame; if that fails, a warning says so once."""
    row = line(timed.seconds, self._count, people)
    self._count += 1
    self._pictures = timed.number + 1
    try:
      self._send(f"{row}\n".encode())
    except OSError as error:
      if not self._failed:
        self._failed = True
        logging.warning(
          "Rows do not arrive (%s): is their reader running? The recording goes on.",
          error.strerror or error,
        )
    self._latencies.append(time.monotonic() - timed.arrived)

  def summary(self) -> dict[str, int | float]:
    """How many frames came and were used, and how late their rows were, ms."""
    latencies = np.array(self._latencies or [0.0]) * 1000
    return {
      "frames_come": self._pictures,
      "frames_used": self._count,
      "latency_median_ms": round(float(np.median(latencies)), 1),
      "latency_95th_percentile_ms": round(float(np.percentile(latencies, 95)), 1),
    }


@contextlib.contextmanager
def opened(destination: str) -> Iterator[LiveRows]:
  """Yields the `LiveRows` that send rows to a destination.

  Args:
    destination: `-` for standard output, `udp://HOST:PORT` for one datagram a row, or
      the file to write.

  Raises:
    InputError: there is no such host or port, or the file cannot be written.
  """
  if urllib.parse.urlsplit(destination).scheme == "udp":
    with _socket(destination) as sender:
      yield LiveRows(sender.send)
    return
  file = _file(destination)
  try:
    yield LiveRows(file.write)
  finally:
    file.close()


def _file(destination: str) -> BinaryIO:
  """Opens a file without a buffer, which a reader that has left would leave full."""
  try:
    if destination == STANDARD_OUTPUT:
      return cast(BinaryIO, open(os.dup(1), "wb", buffering=0))
    return cast(BinaryIO, open(destination, "wb", buffering=0))
  except OSError as error:
    raise InputError(
      f"--live_rows={destination} cannot be written ({error.strerror}): name a file in "
      "a folder that exists, udp://HOST:PORT, or - for standard output."
    ) from error


def _socket(destination: str) -> socket.socket:
  """Opens a socket to the host and the port of an address."""
  try:
    address = urllib.parse.urlsplit(destination)
    if address.hostname is None or not address.port:
      raise ValueError("no host, or no port")
    found = socket.getaddrinfo(address.hostname, address.port, type=socket.SOCK_DGRAM)
    family, kind, protocol, _, place = found[0]
    sender = socket.socket(family, kind, protocol)
    sender.connect(place)
  except (OSError, ValueError) as error:
    raise InputError(
      f"--live_rows={destination} cannot be reached ({error}): give an address such as "
      "udp://127.0.0.1:9000."
    ) from error
  return sender
