"""Reads picture files of folders that users name, and splits them for training."""

import pathlib
import warnings
from collections.abc import Sequence
from typing import TypeVar

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from mhmr_jax.files import png_chunks, untrusted

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
_TEST_SHARE = 0.2
_MAX_BYTES = 1 << 28
_MAX_PIXELS = 1 << 26  # More than those of the largest phones.

File = TypeVar("File")


def split(files: Sequence[File]) -> dict[str, tuple[File, ...]]:
  """Splits two files or more into "test" and "train".

  Args:
    files: in an order that depends on their names alone, such as that of a hash.
  """
  held_out = max(1, round(_TEST_SHARE * len(files)))
  return {"test": tuple(files[:held_out]), "train": tuple(files[held_out:])}


def read(path: pathlib.Path, side: float) -> UInt8[np.ndarray, "height width 3"] | None:
  """Reads a picture in BGR; None where it cannot be read.

  A picture is decoded at half its size where its shorter side still has `side` pixels:
  large photographs would take longer than the rest of the clip.
  """
  try:
    _check(path)
    data = path.read_bytes()
    if data.startswith(png_chunks.SIGNATURE) and not png_chunks.are_within(data):
      return None
    array = np.frombuffer(data, np.uint8)
    picture = cv2.imdecode(array, cv2.IMREAD_REDUCED_COLOR_2)
    if picture is None or min(picture.shape[:2]) < side:
      picture = cv2.imdecode(array, cv2.IMREAD_COLOR)
  # Pillow and OpenCV raise errors of many kinds for damage.
  except Exception:
    return None
  return None if picture is None else np.asarray(picture, np.uint8)


def _check(path: pathlib.Path) -> None:
  """Raises an error unless the path is a picture's, of a size that memory has."""
  untrusted.check_file(path, _MAX_BYTES)
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Pillow's, of large pictures: they are refused.
    with Image.open(path) as picture:
      width, height = picture.size
  if width * height > _MAX_PIXELS:
    raise untrusted.RefusedError(f"{width} x {height} pixels")
