"""Reads TRC files, the tab-separated text in which OpenSim keeps marker trajectories.

The third line has the rate, the counts and the unit, the fourth the markers' names,
each above its columns x, y and z. A frame's row begins with its number and its time.
"""

import pathlib
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from mhmr_jax.errors import InputError
from mhmr_jax.files import untrusted

_METRES = {"m": 1.0, "mm": 1e-3}


class Markers(NamedTuple):
  """The markers' trajectories, along the file's own axes."""

  names: tuple[str, ...]
  fps: float
  positions: Float[np.ndarray, "frames markers 3"]  # Metres; NaN where a cell is empty.

  def of(self, names: tuple[str, ...]) -> Float[np.ndarray, "frames chosen 3"]:
    """The positions of some markers; InputError for one that the file lacks."""
    missing = [name for name in names if name not in self.names]
    if missing:
      raise InputError(
        f"The TRC file has no marker {', '.join(missing)}: it has "
        f"{', '.join(self.names)}."
      )
    return self.positions[:, [self.names.index(name) for name in names]]


def read(path: pathlib.Path) -> Markers:
  """Reads a TRC file; InputError where it is missing or damaged."""
  with untrusted.reading(path, "a TRC file"):
    lines = path.read_text().splitlines()
    header = dict(zip(lines[1].split("\t"), lines[2].split("\t"), strict=True))
    names = tuple(name for name in lines[3].split("\t")[2:] if name)
    if len(names) != int(header["NumMarkers"]):
      raise ValueError(f"there are {len(names)} names of markers")
    rows = [_numbers(line, len(names)) for line in lines[5:] if line.strip()]
    if len(rows) != int(header["NumFrames"]):
      raise ValueError(f"there are {len(rows)} rows of frames")
    positions = np.array(rows).reshape(len(rows), len(names), 3)
    return Markers(
      names, float(header["DataRate"]), positions * _METRES[header["Units"].strip()]
    )


def _numbers(line: str, markers: int) -> list[float]:
  """The coordinates of a row; one that ends early has empty cells there."""
  cells = line.rstrip("\r\n").split("\t")[2 : 2 + 3 * markers]
  cells += [""] * (3 * markers - len(cells))
  return [float(cell) if cell.strip() else np.nan for cell in cells]
