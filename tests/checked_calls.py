"""The checker of the package's annotations, for `--jaxtyping-packages`.

Once this is imported, jaxtyping has beartype check a function itself. By default it
would make two more functions of the same signature for each, one for the parameters and
one for these and the result, and check both at every call: that tells more exactly what
is wrong, and takes twice as long.
"""

import dataclasses
import functools
import inspect
import types
import typing
from collections.abc import Callable
from typing import Any

import jaxtyping
from beartype import beartype

_decorate = jaxtyping.jaxtyped


def at_first_call(function: Callable[..., Any]) -> Callable[..., Any]:
  """Has beartype check every call, and make its checks only at the first.

  Making them for all functions would take a third of the time in which a process
  collects the tests, and it calls only some of the functions.
  """
  checked = functools.cache(lambda: _checked(function))

  @functools.wraps(function)
  def call(*arguments: Any, **options: Any) -> Any:
    with _decorate("context"):  # A named axis has one size in it.
      return checked()(*arguments, **options)

  return call


def _checked(function: Callable[..., Any]) -> Callable[..., Any]:
  by_value = "{" in str(inspect.signature(function))
  if by_value or inspect.isgeneratorfunction(function):
    # jaxtyping's own way knows the arguments that axes are as large as, and checks a
    # generator's when it is called, and not when it begins.
    return _decorate(function, typechecker=beartype)
  for name, annotation in function.__annotations__.items():
    function.__annotations__[name] = _evaluated(annotation, function.__globals__)
  return beartype(function)


def _evaluated(annotation: Any, names: dict[str, Any]) -> Any:
  """The annotation without strings; any value for names of type checkers alone."""
  holder = types.SimpleNamespace(__annotations__={"value": annotation})
  try:
    return typing.get_type_hints(holder, names, include_extras=True)["value"]
  except (NameError, AttributeError):
    return Any


def _jaxtyped(*arguments: Any, typechecker: Any = None) -> Any:
  """What jaxtyping decorates functions and classes with, but faster."""
  if typechecker is None:  # The package calls it to check a value.
    return _decorate(*arguments)

  def decorate(decorated: Any) -> Any:
    if inspect.isfunction(decorated):
      return typechecker(decorated)
    if dataclasses.is_dataclass(decorated) and "__init__" in vars(decorated):
      decorated.__init__ = typechecker(decorated.__init__)
    return decorated

  return decorate


jaxtyping.jaxtyped = _jaxtyped
