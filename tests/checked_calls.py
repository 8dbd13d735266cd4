"""The checker of the package's annotations, for `--jaxtyping-packages`."""

import functools
from collections.abc import Callable
from typing import Any

from beartype import beartype


def at_first_call(function: Callable[..., Any]) -> Callable[..., Any]:
  """Has beartype check every call, and make its checks only at the first.

  Making them for all functions would take a third of the time in which a process
  collects the tests, and it calls only some of the functions.
  """
  checked = functools.cache(lambda: beartype(function))

  @functools.wraps(function)
  def call(*arguments: Any, **options: Any) -> Any:
    return checked()(*arguments, **options)

  return call
