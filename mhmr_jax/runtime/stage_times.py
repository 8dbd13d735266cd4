"""Measures how long a program spends in each of its stages, which may be nested."""

import collections
import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


class StageTimes:
  """The seconds of each stage by the wall clock, unless another clock is given.

  While a nested stage runs, the time counts for that stage and not for the outer one.
  Stages of several threads may run at the same time: their sum can exceed the time that
  passes.
  """

  def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
    self._clock = clock
    self._begin = clock()
    self.seconds: dict[str, float] = collections.defaultdict(float)
    self._thread = threading.local()

  @property
  def _inner(self) -> list[float]:
    """By running stage of this thread, the seconds of the stages nested in it."""
    if not hasattr(self._thread, "inner"):
      self._thread.inner = []
    inner: list[float] = self._thread.inner
    return inner

  @contextlib.contextmanager
  def running(self, stage: str) -> Iterator[None]:
    """Counts the time of the block for the stage."""
    self._inner.append(0.0)
    start = self._clock()
    try:
      yield
    finally:
      elapsed = self._clock() - start
      self.seconds[stage] += elapsed - self._inner.pop()
      if self._inner:
        self._inner[-1] += elapsed

  def over(self, stage: str, items: Iterable[Item]) -> Iterator[Item]:
    """Yields the items; counts the time that making them takes, not their use."""
    iterator = iter(items)
    while True:
      with self.running(stage):
        try:
          item = next(iterator)
        except StopIteration:
          return
      yield item

  def summary(self, frames: int) -> str:
    """One line of text: the seconds of each stage, in order, and frames per second."""
    total = self._clock() - self._begin
    parts = ", ".join(f"{spent:.1f} {stage}" for stage, spent in self.seconds.items())
    return f"seconds: {parts}; {total:.1f} in all, {frames / total:.1f} frames/s"
