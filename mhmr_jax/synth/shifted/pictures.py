"""Generates pictures of the shifted domain: rooms, ridges and thickets; vivid cloth.

They show surfaces in perspective, fractal outlines and brush strokes, where scenes of
the usual domain show scattered shapes.
"""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from mhmr_jax.synth import textures
from mhmr_jax.synth.backgrounds import Media

Rng = np.random.Generator

_SIDE = 2.5  # Side of a scene in frame widths.
_TILE = 128  # Pixels.


class Scenes:
  """Scenes that are generated from the random stream."""

  def draw(self, rng: Rng, split: str, frames: int, size: int) -> Media:
    """Draws a still scene; the splits share none, as their streams differ."""
    del split, frames
    paint = (_room, _ridges, _thicket)[rng.integers(3)]
    return Media([paint(rng, round(_SIDE * size))])


def _colours(
  rng: Rng, count: int, saturation: tuple[float, float], value: tuple[float, float]
) -> Float[np.ndarray, "count 3"]:
  """Draws RGB colours, 0 to 1, of any hue."""
  hsv = np.stack(
    [rng.uniform(0, 360, count), rng.uniform(*saturation, count),
     rng.uniform(*value, count)], -1
  )  # fmt: skip
  return cv2.cvtColor(hsv.astype(np.float32)[None], cv2.COLOR_HSV2RGB)[0]


def _room(rng: Rng, size: int) -> UInt8[np.ndarray, "size size 3"]:
  """Draws a room: floor, ceiling and walls, with their patterns in perspective."""
  low, high = rng.uniform(0.2, 0.42, 2), rng.uniform(0.58, 0.8, 2)
  back = np.array([low, [high[0], low[1]], high, [low[0], high[1]]]) * size
  frame = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * size
  image = np.zeros((size, size, 3), np.float32)
  walls = _wallpaper(rng)
  tiles = [_wallpaper(rng), walls, _wallpaper(rng), walls, walls]
  for side, tile in enumerate(tiles):
    following = (side + 1) % 4
    corners = (
      back
      if side == 4
      else np.array([frame[side], frame[following], back[following], back[side]])
    )
    light = np.linspace(rng.uniform(0.5, 0.9), 1, len(tile), dtype=np.float32)
    lit = tile * light[:, None, None]
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32) * len(tile)
    matrix = cv2.getPerspectiveTransform(square, corners.astype(np.float32))
    region = np.zeros((size, size), np.uint8)
    cv2.fillConvexPoly(region, np.rint(corners).astype(np.int32), 1)
    warped = cv2.warpPerspective(
      lit, matrix, (size, size), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE
    )
    np.copyto(image, warped, where=region[..., None] > 0)
  return cv2.convertScaleAbs(image, alpha=255)


def _wallpaper(rng: Rng) -> Float[np.ndarray, "side side 3"]:
  """Draws boards, bricks, tiles or plaster, 0 to 1."""
  side = 3 * _TILE
  first, second = _colours(rng, 2, (0.05, 0.45), (0.35, 0.95))
  rows, columns = rng.integers(4, 14), rng.integers(3, 10)
  y, x = np.mgrid[:side, :side].astype(np.float32) / side
  row = np.floor(y * rows)
  kind = rng.integers(4)
  if kind == 1:  # Bricks: every other row is shifted by half a brick.
    x = x + (row % 2) / (2 * columns)
  column = np.floor(x * columns) if kind < 3 else np.zeros_like(x)
  shade = rng.uniform(0.75, 1.0, 997).astype(np.float32)
  each = shade[(row * 31 + column * 57).astype(int) % 997]
  if kind == 2:  # A chequered floor.
    pick = ((row + column) % 2)[..., None]
  else:
    joint = np.minimum(y * rows % 1, x * columns % 1 if kind < 3 else 1)
    pick = (joint < 0.06).astype(np.float32)[..., None]
  grain = textures.octave_noise(rng, (side, side), persistence=0.95)
  tile = first * (1 - pick) + second * pick
  return np.clip(tile * (each * (1 + 0.1 * grain))[..., None], 0, 1).astype(np.float32)


def _ridges(rng: Rng, size: int) -> UInt8[np.ndarray, "size size 3"]:
  """Draws hills behind hills, each hazier than the one in front of it."""
  sky, haze, near = _colours(rng, 3, (0.1, 0.6), (0.4, 1.0)).astype(np.float32)
  ramp = np.linspace(0, 1, size, dtype=np.float32)[:, None, None]
  image = np.broadcast_to(sky * (1 - ramp) + haze * ramp, (size, size, 3)).copy()
  count = int(rng.integers(4, 9))
  rough = textures.octave_noise(rng, (size, size), persistence=1.05)[..., None]
  y = np.arange(size)[:, None]
  for number in range(count):
    nearness = (number + 1) / count
    outline = textures.octave_noise(rng, (4, size), persistence=0.6)[1]
    height = size * (0.25 + 0.65 * nearness) + outline * size * 0.16
    colour = haze * (1 - nearness) + near * nearness * rng.uniform(0.6, 1.0)
    ground = colour * (1 + np.float32(0.3 * nearness) * np.roll(rough, 37 * number, 1))
    np.copyto(image, ground.astype(np.float32), where=(y > height)[..., None])
  return cv2.convertScaleAbs(np.maximum(image, 0), alpha=255)


def _thicket(rng: Rng, size: int) -> UInt8[np.ndarray, "size size 3"]:
  """Draws strokes upon strokes, like leaves, grass, hay or cables."""
  colours = 255 * _colours(rng, 8, (0.2, 0.7), (0.2, 0.9))
  image = np.full((size, size, 3), colours[0] * 0.4, np.uint8)
  main, spread = rng.uniform(0, np.pi), rng.uniform(0.2, 1.2)
  length, count = rng.uniform(0.03, 0.12), int(rng.integers(900, 1800))
  start = rng.uniform(-0.05, 1.05, (count, 2)) * size
  angle = rng.normal(main, spread, count)
  half = rng.exponential(length, count)[:, None] * size / 2
  reach = half * np.stack([np.cos(angle), np.sin(angle)], -1)
  ends = np.rint(np.stack([start - reach, start + reach], 1)).astype(int).tolist()
  width = rng.integers(1, max(3, size // 90), count).tolist()
  fill = colours[rng.integers(1, 8, count)] * rng.uniform(0.6, 1.1, (count, 1))
  for (a, b), thick, colour in zip(ends, width, fill.tolist(), strict=True):
    cv2.line(image, a, b, colour, thick, cv2.LINE_AA)
  return image


def cloth(rng: Rng, size: int) -> Float[np.ndarray, "size size 3"]:
  """Draws vivid cloth, RGB 0 to 1: camouflage, batik, rings or slanted bands."""
  colours = _colours(rng, 4, (0.75, 1.0), (0.55, 1.0))
  y, x = np.mgrid[:size, :size].astype(np.float32) / size
  field = textures.octave_noise(rng, (size, size), persistence=0.5)
  kind = rng.integers(4)
  if kind == 0:
    index = np.digitize(field, np.quantile(field, [0.3, 0.55, 0.8]))
  else:
    phase = rng.uniform(3, 9) * (
      (field, np.hypot(x - 0.5, y - 0.5) * 2, (x + y) * 1.0)[kind - 1]
    ) + 0.15 * field  # fmt: skip
    index = np.floor(phase).astype(int) % len(colours)
  tile = cv2.GaussianBlur(colours[index].astype(np.float32), (0, 0), 1.2)
  weave = 1 + 0.08 * np.sin(2 * np.pi * x * size / 4) * np.sin(2 * np.pi * y * size / 4)
  return np.clip(tile * weave[..., None], 0.02, 1).astype(np.float32)
