"""Metrics of a run: JSON lines always, TensorBoard where installed, a progress bar."""

import contextlib
import io
import json
import sys
from collections.abc import Iterator, Mapping
from typing import IO, Any

import tqdm
from etils import epath

from mhmr_jax.files import atomic

_ADVICE = (
  "make room or mend the folder and run again, which goes on from the latest checkpoint"
)
_PLAIN = "step {n_fmt}/{total_fmt}{postfix}, {remaining} left"
_BAR = "{percentage:3.0f}%|{bar}| " + _PLAIN


class MetricWriter:
  """Writes one JSON line per step to `metrics.jsonl`.

  Nothing can be appended to an object in a bucket, so there the file is written anew
  with each `keep`.
  """

  def __init__(self, workdir: epath.Path, first_step: int):
    """Opens the file, without the lines of steps after `first_step`.

    Raises:
      InputError: the file cannot be written.
    """
    self._path = workdir / "metrics.jsonl"
    self._file: IO[str]
    with self._reported():
      self._truncate(first_step)
      if _is_bucket(workdir):
        self._file = io.StringIO()
        self._file.write(self._path.read_text() if self._path.exists() else "")
      else:
        self._file = self._path.open("a")
    self._board = _tensorboard(workdir)

  @contextlib.contextmanager
  def _reported(self) -> Iterator[None]:
    """Turns errors of writing into an `InputError`."""
    try:
      yield
    except OSError as error:
      raise atomic.not_writable(self._path, error, _ADVICE) from error

  def _truncate(self, first_step: int) -> None:
    """Drops the lines of steps that a resumed run repeats."""
    if not self._path.exists():
      return
    kept = []
    for line in self._path.read_text().splitlines():
      try:
        record = json.loads(line)
      except ValueError:  # A killed run may leave half a line.
        continue
      step = record.get("step") if isinstance(record, dict) else None
      if isinstance(step, int) and step <= first_step:
        kept.append(line + "\n")
    atomic.write(self._path, "".join(kept), _ADVICE)

  def write(self, step: int, scalars: Mapping[str, float]) -> None:
    """Appends one step's scalars, rounded to six significant digits."""
    rounded = {name: float(f"{value:.6g}") for name, value in scalars.items()}
    with self._reported():
      self._file.write(json.dumps({"step": step, **rounded}) + "\n")
      self._file.flush()
    # The same figures once more, which a run does not need.
    with contextlib.suppress(OSError):
      for name, value in scalars.items() if self._board is not None else ():
        self._board.add_scalar(name, value, step)

  def keep(self) -> None:
    """Makes the lines written so far outlive this process."""
    if isinstance(self._file, io.StringIO):
      with self._reported():
        self._path.write_text(self._file.getvalue())

  def close(self) -> None:
    """Keeps the lines and closes the files."""
    self.keep()
    # What could not be written before is tried once more.
    with self._reported():
      self._file.close()
    with contextlib.suppress(OSError):
      if self._board is not None:
        self._board.close()


def _is_bucket(workdir: epath.Path) -> bool:
  return "://" in str(workdir)


def _tensorboard(workdir: epath.Path) -> Any:
  """TensorBoard's writer; None where it is not installed or cannot write."""
  if _is_bucket(workdir):  # tensorboardX writes to local folders only.
    return None
  try:
    import tensorboardX
  except ImportError:
    return None
  try:
    return tensorboardX.SummaryWriter(str(workdir / "tensorboard"))
  except OSError:
    return None


class Progress:
  """Shows finished steps on standard error: loss, measure, frames/s, time left.

  On a terminal this is one tqdm bar. Elsewhere, as in CI, it is one plain line every
  `print_every` steps and at the last one.
  """

  def __init__(self, steps: int, frames: int, print_every: int, measure: str):
    """Shows nothing yet.

    Args:
      steps: the number of the run's last step.
      frames: frames per step.
      print_every: steps from one plain line to the next.
      measure: a format string of the scalar that is shown beside the loss.
    """
    self._steps = steps
    self._frames = frames
    self._print_every = print_every
    self._measure = measure
    self._on_terminal = sys.stderr.isatty()
    self._bar: tqdm.tqdm | None = None

  def update(self, step: int, scalars: Mapping[str, float]) -> None:
    """Shows a finished step."""
    if self._bar is None:
      # The first step of a process compiles, so the clock starts after it.
      self._bar = self._open(step)
    bar = self._bar
    elapsed = bar.format_dict["elapsed"]
    speed = (step - bar.initial) * self._frames / elapsed if elapsed else 0.0
    bar.set_postfix_str(
      f"loss {scalars['loss']:.4f}, {self._measure.format(**scalars)}, "
      f"{speed:,.0f} frames/s",
      refresh=False,
    )
    bar.update(step - bar.n)
    due = step == self._steps or step % self._print_every == 0
    if due and not self._on_terminal:
      print(bar, file=sys.stderr, flush=True)

  def _open(self, first_step: int) -> tqdm.tqdm:
    return tqdm.tqdm(
      total=self._steps,
      initial=first_step,
      bar_format=_BAR if self._on_terminal else _PLAIN,
      smoothing=0,  # The time left follows from the mean speed.
      dynamic_ncols=True,
      miniters=1,
      # Off a terminal tqdm only formats the lines, and never prints by itself.
      delay=0 if self._on_terminal else float("inf"),
    )

  def close(self) -> None:
    """Leaves the bar in its last state."""
    if self._bar is not None:
      self._bar.close()
