"""Starts programs of the package without the seconds that their imports take.

  python -m tests.forked SOCKET

is a process that imports what the programs do, and forks for each that a test asks
for. One serves all processes of a test run. The fork ends as a process does that was
started alone. It has no JAX backend before, and takes XLA_FLAGS and other variables
from the test; those named JAX_* are read by the imports, and are the same for all. The
order of sets is the same for all, too: processes whose orders must not matter to each
other start alone.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import pathlib
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping

_NUMBER = struct.Struct("i")  # A process's number, and then its status.
_PRINTED = ("output", "errors")  # Files.
# A tenth of the time would go into looking for garbage.
GARBAGE_THRESHOLDS = (50_000, 20, 50)
# What programs import, some of it late; no programs, which define their flags anew.
_IMPORTED = (
  "configs.flow_kp",
  "data_builders.synthetic_clips.synthetic_clips_dataset_builder",
  "matplotlib.backends.backend_svg",
  "matplotlib.projections",
  "mhmr_jax.body.smpl",
  "mhmr_jax.data.config_paths",
  "mhmr_jax.data.device_examples",
  "mhmr_jax.data.device_flow",
  "mhmr_jax.data.pipeline",
  "mhmr_jax.data.records",
  "mhmr_jax.data.sources",
  "mhmr_jax.evaluation.results",
  "mhmr_jax.export.gltf",
  "mhmr_jax.inference.fitted_sequences",
  "mhmr_jax.inference.packed",
  "mhmr_jax.inference.trained",
  "mhmr_jax.inference.video_motion",
  "mhmr_jax.runtime.process_flags",
  "mhmr_jax.training.flow_step",
  "mhmr_jax.training.loop",
  "mhmr_jax.training.starting_point",
  "mhmr_jax.visualize.comparison",
  "mhmr_jax.visualize.datasheet_page",
  "mhmr_jax.visualize.gallery",
  "mhmr_jax.visualize.prediction_folder",
  "mhmr_jax.visualize.report",
  "scipy.signal",
)


class Program:
  """`python -m MODULE` with what the tests use of `subprocess.Popen`.

  What it prints goes to files, so that it never waits for a reader.
  """

  def __init__(
    self,
    module: str,
    arguments: tuple[str, ...],
    folder: pathlib.Path,
    variables: Mapping[str, str],
  ):
    self.returncode: int | None = None
    run = os.environ["MHMR_JAX_TEST_RUN"]
    self._printed = tempfile.mkdtemp(prefix="printed_", dir=run)
    self._status, theirs = socket.socketpair()
    request = [module, arguments, str(folder), dict(variables), self._printed]
    with theirs:
      line = json.dumps(request).encode() + b"\n"
      socket.send_fds(_server(), [line[:1]], [theirs.fileno()])
      _server().sendall(line[1:])
    self.pid = self._receive()

  def _receive(self) -> int:
    data = self._status.recv(_NUMBER.size)
    assert data, "The process that starts programs has ended."
    return _NUMBER.unpack(data)[0]

  def poll(self) -> int | None:
    if self.returncode is None and select.select([self._status], [], [], 0)[0]:
      with self._status:
        self.returncode = self._receive()
    return self.returncode

  def communicate(self, timeout: float) -> tuple[str, str]:
    """Returns what it printed to standard output and error, once it has ended."""
    if self.returncode is None:
      select.select([self._status], [], [], timeout)
    if self.poll() is None:
      raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
    folder = pathlib.Path(self._printed)
    output, errors = ((folder / name).read_text() for name in _PRINTED)
    return output, errors

  def send_signal(self, number: int) -> None:
    if self.poll() is None:
      os.kill(self.pid, number)

  def kill(self) -> None:
    self.send_signal(signal.SIGKILL)


@functools.cache
def _server() -> socket.socket:
  """A connection to the run's server, which ends with the last of them."""
  from mhmr_jax.files import locks

  run = pathlib.Path(os.environ["MHMR_JAX_TEST_RUN"])
  connection = socket.socket(socket.AF_UNIX)
  with locks.exclusive(run / "programs"):
    path = str(run / "programs" / "socket")
    try:
      connection.connect(path)
    except (FileNotFoundError, ConnectionRefusedError):
      _start_server(path)
      connection.connect(path)
  atexit.register(connection.close)
  return connection


def _start_server(path: str) -> None:
  from tests import tiny

  pathlib.Path(path).unlink(missing_ok=True)  # One that has been killed left it.
  with socket.socket(socket.AF_UNIX) as listener:
    listener.bind(path)
    listener.listen()
    process = subprocess.Popen(
      [sys.executable, "-m", __name__, str(listener.fileno())],
      cwd=tiny.ROOT,
      env=os.environ | tiny.environment(),
      pass_fds=[listener.fileno()],
    )
  atexit.register(process.wait)  # It is called after the connection has been closed.


def _serve(listener: socket.socket) -> list:
  """Returns what a test asks for, in the fork that is to run it.

  Its parent is a fork too, which waits for it and tells the test how it ended.
  """
  signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # The system forgets ended forks.
  connections = [listener.accept()[0]]
  while connections:
    for ready in select.select([listener, *connections], [], [])[0]:
      if ready is listener:
        connections.append(listener.accept()[0])
        continue
      line, files, _, _ = socket.recv_fds(ready, 1, 1)
      if not line:
        connections.remove(ready)
        ready.close()
        continue
      (status,) = files
      while not line.endswith(b"\n"):
        line += ready.recv(1 << 16)
      if os.fork() == 0:
        for one in (listener, *connections):
          one.close()
        return _watched(json.loads(line), status)
      os.close(status)
    if not connections:
      os.unlink(listener.getsockname())
      if select.select([listener], [], [], 0)[0]:  # It came at the last moment.
        connections.append(listener.accept()[0])
  sys.exit()


def _watched(request: list, status: int) -> list:
  """Returns the request in a fork whose end is written to `status`."""
  signal.signal(signal.SIGCHLD, signal.SIG_DFL)
  if pid := os.fork():
    os.write(status, _NUMBER.pack(pid))
    ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.write(status, _NUMBER.pack(ended))
    os._exit(0)
  os.close(status)
  return request


def _main(listener: socket.socket) -> None:
  for name in _IMPORTED:
    importlib.import_module(name)
  with contextlib.suppress(ModuleNotFoundError):  # It is of an extra.
    importlib.import_module("tensorboardX")
  gc.freeze()
  gc.set_threshold(*GARBAGE_THRESHOLDS)
  module, arguments, folder, variables, printed = _serve(listener)
  for number, name in enumerate(_PRINTED, 1):
    file = os.open(os.path.join(printed, name), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, number)
    os.close(file)
  os.environ.clear()
  os.environ.update(variables)
  os.chdir(folder)
  sys.argv[1:] = arguments
  runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
  _main(socket.socket(fileno=int(sys.argv[1])))
