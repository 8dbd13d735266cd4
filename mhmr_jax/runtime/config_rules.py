"""The kinds of values that a config's keys can have."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

# What is shown of a bad value in an error.
_SHOWN = 60


@dataclasses.dataclass(frozen=True)
class Rule:
  """What the value of a key can be.

  Attributes:
    wanted: the allowed values in words, which continue "give ..."; the table of keys
      in docs has them too.
    admits: tells whether a value, of any type, is allowed.
  """

  wanted: str
  admits: Callable[[Any], bool]


def whole(low: int, high: int) -> Rule:
  """A whole number, both bounds included."""

  def admits(value: Any) -> bool:
    return _is_whole(value) and low <= value <= high

  return Rule(f"a whole number from {low:,} to {high:,}", admits)


def number(
  low: int | float, high: int | float, *, above: bool = False, below: bool = False
) -> Rule:
  """A finite number; the bounds are included unless it must be `above` or `below`."""

  def admits(value: Any) -> bool:
    # A whole number of thousands of digits is no float.
    if not (_is_whole(value) or (isinstance(value, float) and math.isfinite(value))):
      return False
    over_low = low < value if above else low <= value
    return over_low and (value < high if below else value <= high)

  lower = f"above {low:g}" if above else f"from {low:g}"
  upper = f"below {high:g}" if below else f"to {high:,.10g}"
  joined = " and " if above or below else " "
  if above and not below:
    upper = f"up to {high:,.10g}"
  return Rule(f"a number {lower}{joined}{upper}", admits)


def switch() -> Rule:
  """True or False."""
  return Rule("True or False", lambda value: isinstance(value, bool))


def path() -> Rule:
  """A path, or '' for none."""

  def admits(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 4096 and "\0" not in value

  return Rule("a path, or nothing", admits)


def choice(*options: str) -> Rule:
  """One of some words."""

  def admits(value: Any) -> bool:
    return isinstance(value, str) and value in options

  return Rule(f"one of {', '.join(options)}", admits)


def one_of(*numbers: int) -> Rule:
  """One of some whole numbers."""

  def admits(value: Any) -> bool:
    return _is_whole(value) and value in numbers

  return Rule(" or ".join(map(str, numbers)), admits)


def some(*options: str) -> Rule:
  """One or more of some words, each once."""

  def admits(value: Any) -> bool:
    return (
      _is_list(value)
      and len(value) > 0
      and all(isinstance(item, str) and item in options for item in value)
      and len(set(value)) == len(value)
    )

  return Rule(f"one or more of {', '.join(options)}, each once", admits)


def wholes(low: int, high: int, most: int) -> Rule:
  """One to `most` whole numbers, all of them within the bounds."""
  each = whole(low, high)

  def admits(value: Any) -> bool:
    return _is_list(value) and 0 < len(value) <= most and all(map(each.admits, value))

  return Rule(f"1 to {most} whole numbers from {low:,} to {high:,}", admits)


def interval(low: int | float, high: int | float) -> Rule:
  """Two numbers, the second not below the first."""
  each = number(low, high, above=True)

  def admits(value: Any) -> bool:
    return (
      _is_list(value)
      and len(value) == 2
      and all(map(each.admits, value))
      and value[0] <= value[1]
    )

  return Rule(f"two numbers above {low:g} and up to {high:g}, in order", admits)


def shares(*options: str) -> Rule:
  """Shares by name, which need not sum to 1; or nothing."""
  each = number(0, 1e6)

  def admits(value: Any) -> bool:
    return (
      isinstance(value, dict)
      and all(key in options and each.admits(item) for key, item in value.items())
      and (not value or sum(value.values()) > 0)
    )

  return Rule(f"shares from 0 of {', '.join(options)}, not all 0; or nothing", admits)


def shown(value: Any) -> str:
  """Formats a value of any type for an error message, shortened."""
  if isinstance(value, list):
    value = tuple(value)  # JSON has no tuples; configs have nothing else.
  try:
    text = " ".join(repr(value).split())
  # Python refuses to write numbers of thousands of digits, and to go too deep.
  except (ValueError, RecursionError):
    return "a value that is too long to show"
  return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _is_whole(value: Any) -> bool:
  return isinstance(value, int) and not isinstance(value, bool)


def _is_list(value: Any) -> bool:
  return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def short(text: str) -> str:
  """Formats a key with any characters for an error message."""
  printable = "".join(letter if letter.isprintable() else "?" for letter in text)
  return printable if len(printable) <= _SHOWN else printable[: _SHOWN - 3] + "..."
