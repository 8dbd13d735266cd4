"""Cloth from a folder's pictures."""

import hashlib
import pathlib

import cv2
import numpy as np
from jaxtyping import Float

from mhmr_jax.errors import InputError

Rng = np.random.Generator

_PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
_TEST_SHARE = 0.2


class Wardrobe:
  """Pictures below a folder, split by a hash of their names.

  Raises:
    InputError: when there is no such folder, or too little in it for two splits.
  """

  def __init__(self, path: str):
    self.path = pathlib.Path(path).expanduser()
    if not self.path.is_dir():
      raise InputError(
        f"The folder of textures {path} does not exist: name a folder of pictures of "
        "cloth, or leave it empty to generate them."
      )
    found = [p for p in self.path.rglob("*") if p.suffix.lower() in _PICTURES]
    found.sort(key=lambda p: hashlib.sha256(self._name(p).encode()).digest())
    if len(found) < 2:
      raise InputError(
        f"The folder of textures {path} holds {len(found)} pictures: the train and "
        "test splits need at least one each."
      )
    held_out = max(1, round(_TEST_SHARE * len(found)))
    self._files = {"test": found[:held_out], "train": found[held_out:]}

  def _name(self, file: pathlib.Path) -> str:
    return file.relative_to(self.path).as_posix()

  def tile(
    self, rng: Rng, size: int, split: str, skipped: list[str]
  ) -> Float[np.ndarray, "size size 3"]:
    """A part of a random picture, mirrored so that it repeats without seams.

    Args:
      rng: the stream that it comes from.
      size: pixels of the tile's side.
      split: "train" or "test".
      skipped: names of pictures that cannot be read are added to it.

    Raises:
      InputError: when none of the split's pictures can be read.
    """
    files = self._files[split]
    for index in rng.permutation(len(files)):
      picture = _read(files[index], size // 2)
      if picture is None:
        skipped.append(self._name(files[index]))
        continue
      spare = np.array(picture.shape[:2]) - size // 2
      y, x = rng.integers(0, spare + 1)
      part = picture[y : y + size // 2, x : x + size // 2]
      half = np.concatenate([part, part[:, ::-1]], 1)
      return np.concatenate([half, half[::-1]])[..., ::-1].astype(np.float32) / 255
    raise InputError(
      f"None of the {len(files)} pictures of {self.path} that fall to the {split} "
      "split can be read: give a folder of readable ones."
    )


def _read(path: pathlib.Path, side: int) -> np.ndarray | None:
  """A picture with a shorter side of about twice `side`, so that it has details."""
  try:
    picture = cv2.imread(str(path), cv2.IMREAD_REDUCED_COLOR_2)
    if picture is None or min(picture.shape[:2]) < 2 * side:
      picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
  except cv2.error:  # Absurd sizes, for one; most damage returns nothing.
    return None
  if picture is None:
    return None
  scale = 2 * side / min(picture.shape[:2])
  shape = [max(side, round(n * scale)) for n in picture.shape[1::-1]]
  return cv2.resize(picture, shape, interpolation=cv2.INTER_AREA)
