"""Computes results and items in a thread before they are used."""

import contextlib
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, cast

Item = TypeVar("Item")
_END = object()
# By default a thread that comes back from a library's code waits for up to 5 ms, each
# time, for another one that runs Python.
_SWITCH_SECONDS = 2e-4
# How many functions of `computed_ahead` run now.
_running = 0
_counting = threading.Lock()


@contextlib.contextmanager
def quick_switches() -> Iterator[None]:
  """Shortens the interval at which Python switches threads while the block runs."""
  interval = sys.getswitchinterval()
  sys.setswitchinterval(_SWITCH_SECONDS)
  try:
    yield
  finally:
    sys.setswitchinterval(interval)


@contextlib.contextmanager
def computed_ahead(function: Callable[[], Item]) -> Iterator[Callable[[], Item]]:
  """Runs a function in a thread; yields a function that waits for its result.

  That function raises the error if the first one failed. The block ends only after the
  first one has ended.
  """
  _count(1)

  def counted() -> Item:
    try:
      return function()
    finally:
      _count(-1)

  with quick_switches(), ThreadPoolExecutor(1) as pool:
    yield pool.submit(counted).result


def _count(change: int) -> None:
  global _running
  with _counting:
    _running += change


def free_cores() -> int:
  """How many cores no function of `computed_ahead` needs now; one at least."""
  return max((os.cpu_count() or 1) - _running, 1)


def made_ahead(items: Iterable[Item], count: int = 4) -> Iterator[Item]:
  """Yields the items; up to `count` of them are made before they are asked for.

  An error in making them is raised where the item would be yielded. If the iterator is
  closed early, the thread ends after the item that it is making.
  """
  made: queue.Queue[tuple[object, BaseException | None]] = queue.Queue(count)
  stopped = threading.Event()

  def put(item: object, error: BaseException | None = None) -> bool:
    while not stopped.is_set():
      try:
        made.put((item, error), timeout=0.1)
      except queue.Full:
        continue
      return True
    return False

  def make() -> None:
    try:
      for item in items:
        if not put(item):
          return
      put(_END)
    except BaseException as error:  # It is raised in the other thread.
      put(_END, error)

  thread = threading.Thread(target=make, daemon=True)
  thread.start()
  try:
    while True:
      item, error = made.get()
      if error is not None:
        raise error
      if item is _END:
        return
      yield cast(Item, item)
  finally:
    stopped.set()
    thread.join()
