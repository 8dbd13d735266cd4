import cv2
import numpy as np
import pytest

from mhmr_jax.errors import InputError
from mhmr_jax.synth.wardrobe import Wardrobe


def _pictures(folder, count: int) -> None:
  """Writes pictures with different red levels, and a gradient in blue."""
  for number in range(count):
    image = np.zeros((90, 150, 3), np.uint8)
    image[..., 2] = 20 * number
    image[..., 0] = np.arange(150)
    cv2.imwrite(str(folder / f"{number}.png"), image)


def _reds(wardrobe: Wardrobe, split: str, draws: int = 60) -> set[int]:
  rng = np.random.default_rng(0)
  tiles = [wardrobe.tile(rng, 32, split, []) for _ in range(draws)]
  return {round(float(tile[..., 0].mean()) * 255 / 20) for tile in tiles}


def test_every_picture_is_worn_in_one_split_only(tmp_path):
  _pictures(tmp_path, 10)
  wardrobe = Wardrobe(str(tmp_path))
  train, test = _reds(wardrobe, "train"), _reds(wardrobe, "test")
  assert len(train) == 8
  assert len(test) == 2
  assert not train & test


def test_tiles_repeat_without_a_seam(tmp_path):
  _pictures(tmp_path, 2)
  tile = Wardrobe(str(tmp_path)).tile(np.random.default_rng(0), 32, "train", [])
  assert tile.shape == (32, 32, 3)
  assert tile.dtype == np.float32
  assert 0 <= tile.min() <= tile.max() <= 1
  steps = np.abs(np.diff(np.concatenate([tile, tile], 1), axis=1)).max((0, 2))
  assert steps.max() < 0.05
  assert np.ptp(tile[..., 2]) > 0.1


def test_torn_pictures_are_named_and_passed_over(tmp_path):
  _pictures(tmp_path, 6)
  for number in range(6):
    (tmp_path / f"torn{number}.jpg").write_bytes(b"no picture")
  wardrobe, skipped = Wardrobe(str(tmp_path)), []
  for seed in range(30):
    wardrobe.tile(np.random.default_rng(seed), 32, "train", skipped)
  assert skipped
  assert all(name.startswith("torn") for name in skipped)


def test_folders_that_cannot_be_used(tmp_path):
  with pytest.raises(InputError, match="nowhere does not exist"):
    Wardrobe(str(tmp_path / "nowhere"))
  with pytest.raises(InputError, match="holds 0 pictures"):
    Wardrobe(str(tmp_path))
  for number in range(3):
    (tmp_path / f"torn{number}.jpg").write_bytes(b"no picture")
  with pytest.raises(InputError, match="can be read"):
    Wardrobe(str(tmp_path)).tile(np.random.default_rng(0), 32, "train", [])
