"""Generates pictures: scenes with natural image statistics, and tiles of cloth.

Natural images have sharp edges between regions of one material, objects of all sizes
whose number falls as size^-3 (the "dead leaves" model), and power that falls as f^-2,
or as f^-3 to f^-4 in compressed video. Optical flow behaves on these pictures as on
real video only if they share these statistics.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

Rng = np.random.Generator

_SQUARE = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
_ROUND = 24  # Corners of a polygon that looks round.
_FRACTION_BITS = 3  # Fractional bits of OpenCV's coordinates.
_FRACTIONS = 1 << _FRACTION_BITS
# Browns, greens, blues and all hues, on OpenCV's scale of 180.
_HUES = ((8, 28), (35, 75), (98, 122), (0, 180))


def octave_noise(
  rng: Rng, shape: tuple[int, int], *, persistence: float, octaves: int = 12
) -> Float[np.ndarray, "height width"]:
  """A random field, summed over octaves from smooth to rough; about -1 to 1.

  Args:
    rng: the random stream to draw from.
    shape: height and width in pixels.
    persistence: amplitude of each octave over that of the next coarser one; 0.5
      is smooth as clouds, 1 as rough as gravel.
    octaves: the most octaves to add; the pixels limit them too.
  """
  height, width = shape
  total = np.zeros((2, 2), np.float32)
  cells, amplitude, power, mean = 4, 1.0, 0.0, 0.0
  while cells < max(shape) and octaves:
    rows = max(2, round(cells * height / max(shape)))
    columns = max(2, round(cells * width / max(shape)))
    # The sum so far is enlarged by one octave at a time: enlarging each octave to the
    # full size would take five times as long.
    total = _enlarged(total, rows, columns)
    # Sums of random bytes are nearly normal, and much faster to draw.
    grid = np.frombuffer(rng.bytes(rows * columns), np.uint8).reshape(rows, columns)
    total += grid * np.float32(amplitude)
    power += amplitude**2
    mean += amplitude
    cells, amplitude, octaves = cells * 2, amplitude * persistence, octaves - 1
  while 2 * len(total) < height:  # Only the last step may be linear, to be cheap.
    total = _enlarged(total, 2 * len(total), 2 * total.shape[1])
  whole = np.asarray(cv2.resize(total, (width, height)), np.float32)
  whole -= np.float32(127.5 * mean)
  # The standard deviation of a byte is 73.9.
  whole *= np.float32(0.6 / (73.9 * np.sqrt(power)))
  return whole


def _enlarged(
  field: Float[np.ndarray, "_ _"], rows: int, columns: int
) -> Float[np.ndarray, "rows columns"]:
  return np.asarray(
    cv2.resize(field, (columns, rows), interpolation=cv2.INTER_CUBIC), np.float32
  )


def palette(
  rng: Rng, count: int, saturation: float = 0.5
) -> UInt8[np.ndarray, "count 3"]:
  """Draws RGB colours near two hues, of all brightnesses, mostly dull."""
  ranges = [_HUES[i] for i in rng.choice(4, 2, p=[0.4, 0.25, 0.2, 0.15])]
  centres = np.array([rng.uniform(*r) for r in ranges])
  hues = centres[rng.integers(0, 2, count)] + rng.normal(0, 6, count)
  vivid = saturation * rng.beta(1.2, 2.0, count) + 0.4 * (rng.random(count) < 0.08)
  value = rng.beta(1.9, 1.4, count)
  hsv = np.stack([hues % 180, 255 * vivid, 255 * value], -1)
  return cv2.cvtColor(hsv.astype(np.uint8)[None], cv2.COLOR_HSV2RGB)[0]


def scene(rng: Rng, size: int) -> UInt8[np.ndarray, "size size 3"]:
  """Draws a background picture, RGB."""
  colours = palette(rng, 12)
  # The fourth channel is the roughness: how much noise a place carries.
  top, bottom = colours[:2].astype(np.float32)
  ramp = np.linspace(0, 1, size, dtype=np.float32)[:, None]
  canvas = np.empty((size, size, 4), np.uint8)
  _fill_rows(canvas, top * (1 - ramp) + bottom * ramp, int(rng.integers(20, 150)))
  if rng.random() < 0.5:
    _draw_ground(rng, canvas, colours[2])
  clutter = rng.choice([0.1, 0.4, 0.8])
  smallest = rng.uniform(0.008, 0.03)
  # The inverse of the power law's distribution function, in parts of the picture.
  radii = smallest / np.sqrt(rng.uniform(0.0016, 1, round(160 * clutter)))
  # Large ones lie mostly behind small ones.
  order = np.argsort(-radii * rng.uniform(0.4, 1, len(radii)))
  _draw_objects(rng, canvas, colours, radii[order] * size)
  image = _roughen(rng, canvas)
  if rng.random() < 0.4:  # Out of focus.
    image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 1.5))
  return image


def _roughen(rng: Rng, canvas: np.ndarray) -> np.ndarray:
  """Adds as much noise as the fourth channel asks for, and uneven light."""
  shape = canvas.shape[:2]
  rough = octave_noise(rng, shape, persistence=rng.uniform(0.75, 1.1))
  light = octave_noise(rng, shape, persistence=0.3, octaves=3)
  light *= np.float32(0.25)
  light += 1
  *colours, roughness = cv2.split(canvas)
  noise = roughness * rough
  # OpenCV clamps the sums to 0 to 255.
  return cv2.merge(
    [
      cv2.addWeighted(colour * light, 1, noise, share / 4, 0, dtype=cv2.CV_8U)
      for colour, share in zip(colours, rng.normal(1, 0.15, 3), strict=True)
    ]
  )


def _draw_ground(rng: Rng, canvas: np.ndarray, colour: np.ndarray) -> None:
  """Draws the ground below a horizon, sometimes with bands that recede towards it."""
  size = len(canvas)
  horizon = round(size * rng.uniform(0.4, 0.7))
  nearness = np.arange(1, size - horizon + 1) / (size - horizon)
  bands = np.ones_like(nearness)
  if rng.random() < 0.5:
    bands[np.sin(rng.uniform(2, 15) / (nearness + 0.05)) > 0.2] = rng.uniform(0.7, 1)
  _fill_rows(canvas[horizon:], colour * bands[:, None], int(rng.integers(50, 255)))


def _fill_rows(
  canvas: UInt8[np.ndarray, "height width 4"],
  colours: Float[np.ndarray, "height 3"],
  roughness: int,
) -> None:
  """Gives each row one colour and the canvas one roughness."""
  column = np.empty((len(colours), 4), np.uint8)
  column[:, :3], column[:, 3] = colours, roughness
  # All channels of a pixel are copied as one number: five times as fast.
  canvas.view(np.uint32)[..., 0] = column.view(np.uint32)


def _draw_objects(
  rng: Rng, canvas: np.ndarray, colours: np.ndarray, radii: Float[np.ndarray, "n"]
) -> None:
  """Draws ellipses, polygons, and boxes, some of them with windows."""
  count = len(radii)
  colour = colours[rng.integers(0, len(colours), count)] + rng.normal(0, 12, (count, 3))
  rough = rng.choice([5.0, 75.0, 200.0], count)
  fills = np.column_stack([np.clip(colour, 0, 255), rough]).tolist()
  centres = rng.uniform(-0.05, 1.05, (count, 2)) * len(canvas)
  kinds = rng.random(count)
  # Most man-made edges are upright.
  angle = np.where(rng.random(count) < 0.6, 0.0, rng.uniform(0, np.pi, count))
  axes = np.stack([np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle)], -1)
  axes = axes.reshape(-1, 2, 2)
  half = radii[:, None] * np.exp(rng.normal(0, 0.5, (count, 2)))
  outlines, corners = _round_outlines(rng, kinds < 0.2)
  boxes = kinds >= 0.5
  outlines[boxes, :4], corners[boxes] = _SQUARE, 4
  placed = centres[:, None] + (outlines * half[:, None]) @ axes
  points = np.rint(placed * _FRACTIONS).astype(np.int32)
  for number, fill in enumerate(fills):
    _fill(canvas, points[number, : corners[number]], fill)
    if kinds[number] > 0.75 and radii[number] > 6:
      windows = _windows(rng, half[number])
      cells = np.rint((centres[number] + windows @ axes[number]) * _FRACTIONS)
      fill = [*colours[rng.integers(len(colours))].tolist(), 50.0]
      for cell in cells.astype(np.int32):
        _fill(canvas, cell, fill)


def _round_outlines(
  rng: Rng, angular: Bool[np.ndarray, "n"]
) -> tuple[Float[np.ndarray, "n 24 2"], Int[np.ndarray, "n"]]:
  """Corners on unit circles, few where `angular`; and how many each outline has."""
  count = len(angular)
  corners = np.where(angular, rng.integers(3, 8, count), _ROUND)
  places = np.arange(_ROUND) * 2 * np.pi + rng.uniform(0, 1.2, (count, _ROUND))
  turns = places / corners[:, None]
  return np.stack([np.cos(turns), np.sin(turns)], -1), corners


def _windows(rng: Rng, half: Float[np.ndarray, "2"]) -> Float[np.ndarray, "n 4 2"]:
  """Corners of a box's windows, relative to its middle; `half` is half its size."""
  rows, columns = rng.integers(1, 6, 2)
  cell = half / [columns, rows] * rng.uniform(0.4, 0.8)
  row, column = np.divmod(np.arange(rows * columns), columns)
  place = np.stack([(2 * column + 1) / columns - 1, (2 * row + 1) / rows - 1], -1)
  return (place * half)[:, None] + _SQUARE * cell


def _fill(
  canvas: np.ndarray, points: Int[np.ndarray, "corners 2"], fill: Sequence[float | int]
) -> None:
  """Fills a convex outline, anti-aliased, which OpenCV does in 8-bit images only."""
  cv2.fillConvexPoly(canvas, points, fill, cv2.LINE_AA, _FRACTION_BITS)


def cloth(rng: Rng, size: int) -> Float[np.ndarray, "size size 3"]:
  """Draws a tile of plain or patterned cloth: RGB reflectance, 0 to 1."""
  first, second = palette(rng, 2, saturation=0.8).astype(np.float32) / 255
  weight = _pattern(rng, size)
  dirt = octave_noise(rng, (size, size), persistence=0.8)
  dirt *= np.float32(rng.uniform(0.05, 0.35))
  dirt += 1
  tile = cv2.merge(
    [dirt * (a + (b - a) * weight) for a, b in zip(first, second, strict=True)]
  )
  return np.clip(cv2.GaussianBlur(tile, (3, 3), 0), 0.02, 1)


def _pattern(rng: Rng, size: int) -> Float[np.ndarray, "size size"]:
  """Draws the share of the second colour at every pixel, 0 to 1."""
  kind = rng.choice(["plain", "print", "stripes", "checks", "blotches", "dots"])
  count = int(rng.integers(4, 22))
  width = rng.uniform(0.25, 0.7)
  phase = np.arange(size) / size * count % 1
  bars = (phase < width).astype(np.float32)
  if kind == "plain":
    return np.zeros((size, size), np.float32)
  if kind == "print":
    return _print(rng, size)
  if kind == "stripes":
    across = np.broadcast_to(bars, (size, size))
    return across.T if rng.random() < 0.6 else across
  if kind == "checks":
    return (bars[:, None] + bars) / 2
  if kind == "dots":
    distance = (phase - 0.5) ** 2
    return (distance[:, None] + distance < (width / 2) ** 2).astype(np.float32)
  field = octave_noise(rng, (size, size), persistence=0.6)
  return np.clip(field * np.float32(rng.uniform(3, 12)) + 0.5, 0, 1)


def _print(rng: Rng, size: int) -> Float[np.ndarray, "size size"]:
  """Draws a few large marks, as on a printed shirt."""
  marks = np.zeros((size, size), np.float32)
  for _ in range(rng.integers(2, 9)):
    centre = rng.integers(0, size, 2).tolist()
    axes = rng.integers(size // 20, size // 5, 2).tolist()
    cv2.ellipse(marks, centre, axes, rng.uniform(0, 180), 0, 360, rng.random(), -1)
  return marks
