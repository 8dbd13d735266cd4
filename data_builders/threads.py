"""Runs a function over many items in threads."""

import collections
import concurrent.futures
import os
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
  function: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[Result]:
  """Yields the function's results in the order of the items.

  A few items are computed ahead. Threads help where the function spends its time in
  OpenCV, which releases the interpreter's lock.
  """
  workers = os.cpu_count() or 1
  pending: collections.deque[concurrent.futures.Future[Result]] = collections.deque()
  with concurrent.futures.ThreadPoolExecutor(workers) as pool:
    try:
      for item in items:
        pending.append(pool.submit(function, item))
        if len(pending) > 2 * workers:
          yield pending.popleft().result()
      while pending:
        yield pending.popleft().result()
    finally:
      for future in pending:
        future.cancel()
