"""Reads a folder of images as the frames of a video."""

import pathlib
import re
from collections.abc import Iterator

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image, ImageOps

from mhmr_jax.errors import InputError
from mhmr_jax.files import untrusted

_SUFFIXES = (".jpeg", ".jpg", ".png")
_EXIF_ORIENTATION = 0x0112


def images(folder: pathlib.Path) -> list[pathlib.Path]:
  """The folder's images, sorted by name, with numbers in names as numbers.

  Raises:
    InputError: there is none.
  """
  # macOS leaves files such as `._0001.jpg`, which are no images.
  found = [
    path
    for path in folder.iterdir()
    if path.suffix.lower() in _SUFFIXES and not path.name.startswith(".")
  ]
  if not found:
    raise InputError(
      f"{folder} has no images: --video names a video, or a folder of .jpg or .png "
      "files."
    )
  return sorted(found, key=lambda path: _natural(path.name))


def size(path: pathlib.Path) -> tuple[int, int]:
  """Width and height of an image as it is shown, px, from its header alone.

  Raises:
    InputError: the file is no image.
  """
  with (
    untrusted.reading(path, "an image"),
    Image.open(path, formats=("JPEG", "PNG")) as image,
  ):
    width, height = image.size
    turned = image.getexif().get(_EXIF_ORIENTATION, 1) >= 5
  return (height, width) if turned else (width, height)


def exif(folder: pathlib.Path) -> dict[str, str]:
  """The EXIF tags of the folder's first image, by name.

  Raises:
    InputError: the file is no image.
  """
  path = images(folder)[0]
  with (
    untrusted.reading(path, "an image"),
    Image.open(path, formats=("JPEG", "PNG")) as image,
  ):
    tags = image.getexif()
    every = {**tags, **tags.get_ifd(ExifTags.IFD.Exif)}
    return {ExifTags.TAGS.get(tag, ""): str(value) for tag, value in every.items()}


def read(folder: pathlib.Path) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
  """Yields the images as upright RGB.

  Raises:
    InputError: a file is no image, or its size is not the first one's.
  """
  paths = images(folder)
  expected = size(paths[0])
  for path in paths:
    found = size(path)
    if found != expected:
      raise InputError(
        f"{path} has {found[0]}x{found[1]} pixels, but {paths[0].name} has "
        f"{expected[0]}x{expected[1]}: all images of a video have one size."
      )
    with (
      untrusted.reading(path, "an image"),
      Image.open(path, formats=("JPEG", "PNG")) as image,
    ):
      rgb = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    yield rgb


def _natural(name: str) -> list[tuple[int, str]]:
  """A key by which `2.jpg` comes before `10.jpg`."""
  parts = re.split(r"(\d+)", name)
  return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
