"""Reports what a build leaves out: counted in the log, and listed beside the data."""

import pathlib
from collections.abc import Collection, Mapping

from absl import logging

from data_builders import sharded

_SHOWN = 10  # What a message names of many.


class LeftOut:
  """What one build leaves out so far, with the reasons."""

  def __init__(self, kind: str, folder: pathlib.Path):
    """Nothing is written yet.

    Args:
      kind: what is left out, in the plural.
      folder: the folder of the data, which gets `left_out.txt`.
    """
    self._kind = kind
    self._path = folder / "left_out.txt"
    self._reasons: dict[str, str] = {}

  def add(self, reasons: Mapping[str, str], count: int) -> None:
    """Reports the reasons by name; `count` is how many there were to use."""
    if not reasons:
      return
    some = few([f"{name} ({reason})" for name, reason in reasons.items()])
    logging.warning(
      "%d of %d %s are left out: %s", len(reasons), count, self._kind, some
    )
    self._reasons |= reasons
    lines = (f"{name}\t{reason}\n" for name, reason in self._reasons.items())
    with sharded.writing(self._path):
      self._path.write_text("".join(lines))


def few(texts: Collection[str]) -> str:
  """The first ten texts, in one line."""
  more = ["..."] if len(texts) > _SHOWN else []
  return "; ".join([*list(texts)[:_SHOWN], *more])
