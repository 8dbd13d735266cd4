"""Cloth that is cut from the pictures of a folder."""

import hashlib
import pathlib

import cv2
import numpy as np
from jaxtyping import Float

from mhmr_jax.errors import InputError
from mhmr_jax.synth import picture_files

Rng = np.random.Generator


class Wardrobe:
  """The pictures below a folder, split by a hash of their names.

  Raises:
    InputError: there is no such folder, or it holds too few pictures for two splits.
  """

  def __init__(self, path: str):
    self.path = pathlib.Path(path).expanduser()
    if not self.path.is_dir():
      raise InputError(
        f"The folder of textures {path} does not exist: name a folder of pictures of "
        "cloth, or leave it empty to generate them."
      )
    suffixes = picture_files.SUFFIXES
    files = [p for p in self.path.rglob("*") if p.suffix.lower() in suffixes]
    files.sort(key=lambda p: hashlib.sha256(self._name(p).encode()).digest())
    if len(files) < 2:
      raise InputError(
        f"The folder of textures {path} holds {len(files)} pictures: the train and "
        "test splits need at least one each."
      )
    self._files = picture_files.split(files)

  def _name(self, file: pathlib.Path) -> str:
    return file.relative_to(self.path).as_posix()

  def tile(
    self, rng: Rng, size: int, split: str, skipped: list[str]
  ) -> Float[np.ndarray, "size size 3"]:
    """Cuts a tile from a random picture, mirrored so that it repeats without seams.

    Args:
      rng: the random stream to draw from.
      size: pixels of the tile's side.
      split: "train" or "test".
      skipped: the names of pictures that cannot be read are appended to it.

    Returns:
      The tile: RGB, 0 to 1.

    Raises:
      InputError: none of the split's pictures can be read.
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
  """Reads a picture so that its shorter side is about twice `side` pixels, BGR."""
  picture = picture_files.read(path, 2.0 * side)
  if picture is None:
    return None
  scale = 2 * side / min(picture.shape[:2])
  shape = [max(side, round(n * scale)) for n in picture.shape[1::-1]]
  return cv2.resize(picture, shape, interpolation=cv2.INTER_AREA)
