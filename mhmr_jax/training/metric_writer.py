"""Metrics of a run: JSON lines always, TensorBoard where installed, a progress line."""

import io
import json
import sys
import time
from collections.abc import Mapping
from typing import IO, Any

from etils import epath

_BAR = 24


class MetricWriter:
  """Writes one JSON line a step to `metrics.jsonl`; into a bucket with each `keep`.

  A resumed run drops the lines of steps that it makes again.
  """

  def __init__(self, workdir: epath.Path, first_step: int):
    self._path = workdir / "metrics.jsonl"
    self._truncate(first_step)
    # Nothing can be added to a bucket's objects: `keep` writes them anew.
    self._file: IO[str]
    if "://" in str(workdir):
      self._file = io.StringIO()
      self._file.write(self._path.read_text() if self._path.exists() else "")
    else:
      self._file = self._path.open("a")
    self._board = _tensorboard(workdir)

  def _truncate(self, first_step: int) -> None:
    if not self._path.exists():
      return
    kept = []
    for line in self._path.read_text().splitlines():
      try:
        record = json.loads(line)
      except ValueError:  # The last line of a run that was killed.
        continue
      if record["step"] <= first_step:
        kept.append(line + "\n")
    partial = self._path.with_suffix(".partial")
    partial.write_text("".join(kept))
    partial.replace(self._path)

  def write(self, step: int, scalars: Mapping[str, float]) -> None:
    """Appends one step's scalars."""
    rounded = {name: float(f"{value:.6g}") for name, value in scalars.items()}
    self._file.write(json.dumps({"step": step, **rounded}) + "\n")
    self._file.flush()
    if self._board is not None:
      for name, value in scalars.items():
        self._board.add_scalar(name, value, step)

  def keep(self) -> None:
    """Puts what was written where the next run finds it."""
    if isinstance(self._file, io.StringIO):
      self._path.write_text(self._file.getvalue())

  def close(self) -> None:
    """Closes the files."""
    self.keep()
    self._file.close()
    if self._board is not None:
      self._board.close()


def _tensorboard(workdir: epath.Path) -> Any:
  if "://" in str(workdir):  # It writes to local folders alone.
    return None
  try:
    import tensorboardX
  except ImportError:
    return None
  return tensorboardX.SummaryWriter(str(workdir / "tensorboard"))


class Progress:
  """A line with a bar, frames/s and the time left; off terminals, one now and then."""

  def __init__(
    self, first_step: int, steps: int, frames: int, print_every: int, measure: str
  ):
    """`frames` are a step's; `measure` formats scalars to show beside the loss."""
    self._first = first_step
    self._steps = steps
    self._frames = frames
    self._print_every = print_every
    self._measure = measure
    self._begin: float | None = None
    self._terminal = sys.stderr.isatty()

  def update(self, step: int, scalars: Mapping[str, float]) -> None:
    """Shows a finished step."""
    now = time.monotonic()
    if self._begin is None:
      # The first step compiles: its time says nothing of the others'.
      self._begin, self._first = now, step
    last = step == self._steps
    if not (last or step % self._print_every == 0):
      return
    done = step - self._first
    rate = done / (now - self._begin) if done else 0.0
    left = (self._steps - step) / rate if rate else 0.0
    bar = ("#" * (_BAR * step // self._steps)).ljust(_BAR, ".")
    line = (
      f"[{bar}] step {step}/{self._steps}  loss {scalars['loss']:.4f}  "
      f"{self._measure.format(**scalars)}  {rate * self._frames:.0f} frames/s  "
      f"{_clock(left)} left"
    )
    end = "\n" if last or not self._terminal else "\r"
    print(line, end=end, file=sys.stderr, flush=True)


def _clock(seconds: float) -> str:
  minutes, seconds = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
