"""How late `predict --live_rows` gives a stream's motion, and what it costs.

  python -m tests.benchmarks.live --video=VIDEO [--detector_weights=FILE]

A server of this process sends the video at its own rate over TCP, `predict` reads it
as a program of its own, and this process gets the rows over UDP. It prints the time
from the sending of a frame to the coming of its row, which counts what `predict` itself
cannot see (the stream's own delay), and the CPU time that a frame takes while the
stream runs. The ratio is that of the median time to a frame's duration.
"""

import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import numpy as np

from mhmr_jax.files import video
from mhmr_jax.keypoints import keypoint_flags
from mhmr_jax.runtime import program
from tests.files import streams


class Row(NamedTuple):
  """When the row of a frame came."""

  seconds: float  # From the stream's first frame to this one.
  came: float  # By `time.monotonic`, s.
  spent: float  # The program's CPU time until then, s.


def receive(rows: socket.socket, process: subprocess.Popen[str]) -> list[Row]:
  """Gets rows until the program has ended."""
  found: list[Row] = []
  rows.settimeout(1.0)
  while process.poll() is None:
    try:
      content = rows.recv(1 << 16)
    except TimeoutError:
      continue
    came = time.monotonic()
    found.append(Row(json.loads(content)["seconds"], came, cpu_seconds(process)))
  return found


def cpu_seconds(process: subprocess.Popen[str]) -> float:
  """The CPU time of a running program so far, on Linux."""
  fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2]
  ticks = sum(map(int, fields.split()[11:13]))
  return ticks / os.sysconf("SC_CLK_TCK")


def delays(rows: list[Row], sent: streams.Sent) -> np.ndarray:
  """The seconds from the sending of each row's frame to the row."""
  times, moments = map(np.array, zip(*sorted(sent), strict=True))
  nearest = [np.abs(times - times[0] - row.seconds).argmin() for row in rows]
  return np.array([row.came for row in rows]) - moments[nearest]


def main(argv: list[str]) -> None:
  """Reads the flags and measures."""
  del argv
  path = program.path_of(keypoint_flags.VIDEO)
  info = video.probe(path)
  weights = keypoint_flags.weights_path()
  given = [] if weights is None else [f"--detector_weights={weights}"]
  with (
    tempfile.TemporaryDirectory() as folder,
    streams.serving(path) as (url, sent),
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rows,
  ):
    rows.bind(("127.0.0.1", 0))
    address = f"udp://127.0.0.1:{rows.getsockname()[1]}"
    process = subprocess.Popen(
      [sys.executable, "-m", "mhmr_jax.predict", f"--video={url}",
       f"--live_rows={address}", f"--out={folder}/out", *given],
      stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    found = receive(rows, process)
    output, _ = process.communicate()
  if len(found) < 2:
    sys.exit(f"mhmr_jax.predict sent {len(found)} rows")
  print(*(line for line in output.splitlines() if line.startswith("live:")))
  late = 1000 * delays(found, sent)
  spent = 1000 * (found[-1].spent - found[0].spent) / (len(found) - 1)
  print(
    f"{len(found)} rows of {info.num_frames} frames at {info.fps:.4g} fps: {spent:.0f} "
    f"CPU ms a row; from sending a frame to its row {np.median(late):.0f} ms (median), "
    f"{np.percentile(late, 95):.0f} ms (95th percentile)"
  )
  ratio = np.median(late) / 1000 * info.fps
  print(json.dumps({"row_delay_over_frame_duration": round(float(ratio), 2)}))


if __name__ == "__main__":
  program.run(main)
