"""How long a program spends in each of its stages, which may lie in each other."""

import collections
import contextlib
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


class StageTimes:
  """Wall seconds by stage; time of a stage within another counts for its own alone."""

  def __init__(self) -> None:
    self.seconds: dict[str, float] = collections.defaultdict(float)
    self._inner: list[float] = []

  @contextlib.contextmanager
  def running(self, stage: str) -> Iterator[None]:
    """Counts what is done within."""
    self._inner.append(0.0)
    start = time.monotonic()
    try:
      yield
    finally:
      elapsed = time.monotonic() - start
      self.seconds[stage] += elapsed - self._inner.pop()
      if self._inner:
        self._inner[-1] += elapsed

  def over(self, stage: str, items: Iterable[Item]) -> Iterator[Item]:
    """Counts what it takes to make the items, not what is done with them."""
    iterator = iter(items)
    while True:
      with self.running(stage):
        try:
          item = next(iterator)
        except StopIteration:
          return
      yield item

  def summary(self, frames: int) -> str:
    """One line: seconds by stage in their order, and frames a second of all."""
    total = sum(self.seconds.values())
    parts = ", ".join(f"{spent:.1f} {stage}" for stage, spent in self.seconds.items())
    return f"seconds: {parts}; {total:.1f} in all, {frames / total:.1f} frames/s"
