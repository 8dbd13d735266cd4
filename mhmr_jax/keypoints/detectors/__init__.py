"""Adapters to pose detectors of other projects, imported only when they are chosen.

The pixels of all keypoints in this package are those of an image whose corners are at
(0, 0) and (width, height): the centre of the first pixel is at (0.5, 0.5).
"""

import contextlib
import importlib
import pathlib
from collections.abc import Callable
from typing import Protocol, cast, runtime_checkable

from jaxtyping import Float, UInt8
from numpy import ndarray

from mhmr_jax.errors import InputError

# Maps an RGB frame and its time in the video, s, to everybody in it: COCO-17's x, y px
# and score, three zeros for a missing point. Frames must be given in order.
Detect = Callable[[UInt8[ndarray, "height width 3"], float], Float[ndarray, "_ 17 3"]]

_MODULES = {"mediapipe": "mediapipe_pose", "rtmpose": "rtmpose"}
NAMES = tuple(_MODULES)


@runtime_checkable
class Adapter(Protocol):
  """The interface of each detector's module."""

  # Names the weights that are used by default.
  DEFAULT_WEIGHTS: str

  def weight_files(self, weights: pathlib.Path) -> list[pathlib.Path]:
    """The files that `weights` consists of; InputError where one is missing."""

  def open_detector(
    self, weights: pathlib.Path | None, people: int | None = None
  ) -> contextlib.AbstractContextManager[Detect]:
    """Loads the weights; InputError where they or the library are not available.

    Args:
      weights: a file or folder as in `weight_files`; None: they are downloaded.
      people: how many people are looked for; None: as many as the detector can.
    """


def adapter(name: str) -> Adapter:
  """The module of a detector; InputError for a name that is none of NAMES."""
  if name not in _MODULES:
    raise InputError(f"--detector={name} is unknown: use one of {', '.join(NAMES)}.")
  return cast(Adapter, importlib.import_module(f"{__name__}.{_MODULES[name]}"))


def not_installed(library: str, error: ImportError) -> InputError:
  """The error for a detector whose library, or one that it needs, is missing."""
  return InputError(
    f"{library} is not installed ({error}): run `pip install 'mhmr_jax[detect]'`, or "
    "make keypoints elsewhere and give them by --keypoints and --keypoint_format."
  )
