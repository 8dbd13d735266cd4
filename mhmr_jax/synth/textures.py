"""Generated pictures: scenes with natural statistics, and tiles of cloth.

Natural images have sharp edges between regions of one material, objects of all sizes
with their number falling as size^-3 (the "dead leaves" model), and power that falls
as f^-2; in compressed video, as f^-3 to f^-4. Optical flow needs these to behave as on
real video.
"""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

Rng = np.random.Generator

_SQUARE = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
# Browns, greens, blues (of OpenCV's 180 degrees) and anything.
_HUES = ((8, 28), (35, 75), (98, 122), (0, 180))


def octave_noise(
  rng: Rng, shape: tuple[int, int], *, persistence: float, octaves: int = 12
) -> Float[np.ndarray, "height width"]:
  """A random field added over octaves from smooth to rough; about -1 to 1.

  Args:
    rng: the stream that it comes from.
    shape: height, width.
    persistence: amplitude of each octave over that of the next coarser one; 0.5
      is smooth as clouds, 1 as rough as gravel.
    octaves: at most so many; as many as there are pixels for.
  """
  height, width = shape
  total = np.zeros((2, 2), np.float32)
  cells, amplitude, power = 4, 1.0, 0.0
  while cells < max(shape) and octaves:
    rows = max(2, round(cells * height / max(shape)))
    columns = max(2, round(cells * width / max(shape)))
    # The coarser ones together, an octave at a time: each on its own to the full
    # size would take five times as long.
    total = np.asarray(
      cv2.resize(total, (columns, rows), interpolation=cv2.INTER_CUBIC), np.float32
    )
    grid = rng.standard_normal((rows, columns), np.float32)
    total += grid * np.float32(amplitude)
    power += amplitude**2
    cells, amplitude, octaves = cells * 2, amplitude * persistence, octaves - 1
  whole = cv2.resize(total, (width, height), interpolation=cv2.INTER_CUBIC)
  return np.asarray(whole, np.float32) * np.float32(0.6 / np.sqrt(power))


def palette(
  rng: Rng, count: int, saturation: float = 0.5
) -> UInt8[np.ndarray, "count 3"]:
  """RGB colours that go together: near two hues, of all values, more dull than not."""
  ranges = [_HUES[i] for i in rng.choice(4, 2, p=[0.4, 0.25, 0.2, 0.15])]
  centres = np.array([rng.uniform(*r) for r in ranges])
  hues = centres[rng.integers(0, 2, count)] + rng.normal(0, 6, count)
  vivid = saturation * rng.beta(1.2, 2.0, count) + 0.4 * (rng.random(count) < 0.08)
  value = rng.beta(1.9, 1.4, count)
  hsv = np.stack([hues % 180, 255 * vivid, 255 * value], -1)
  return cv2.cvtColor(hsv.astype(np.uint8)[None], cv2.COLOR_HSV2RGB)[0]


def scene(rng: Rng, size: int) -> UInt8[np.ndarray, "size size 3"]:
  """A picture to stand behind people: RGB, another for every state of `rng`."""
  colours = palette(rng, 12)
  # The fourth plane is the roughness of what is drawn: how much noise it carries.
  canvas = np.empty((size, size, 4), np.uint8)
  top, bottom = colours[:2].astype(np.float32)
  ramp = np.linspace(0, 1, size, dtype=np.float32)[:, None, None]
  canvas[..., :3] = top * (1 - ramp) + bottom * ramp
  canvas[..., 3] = rng.integers(20, 150)
  if rng.random() < 0.5:
    _draw_ground(rng, canvas, colours[2])
  clutter = rng.choice([0.1, 0.4, 0.8])
  smallest = rng.uniform(0.008, 0.03)
  # Inverse of the power law's distribution function, in parts of the picture.
  radii = smallest / np.sqrt(rng.uniform(0.0016, 1, round(160 * clutter)))
  # Large ones lie mostly behind small ones.
  order = np.argsort(-radii * rng.uniform(0.4, 1, len(radii)))
  for radius in radii[order] * size:
    _draw_object(rng, canvas, colours, radius)
  image = _roughen(rng, canvas)
  if rng.random() < 0.4:  # Out of focus.
    image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 1.5))
  return image


def _roughen(rng: Rng, canvas: np.ndarray) -> np.ndarray:
  """Adds the noise that the fourth plane asks for, and uneven light."""
  shape = canvas.shape[:2]
  rough = octave_noise(rng, shape, persistence=rng.uniform(0.75, 1.1))
  light = octave_noise(rng, shape, persistence=0.3, octaves=3)
  amount = canvas[..., 3].astype(np.float32) * np.float32(0.25)
  tint = rng.normal(1, 0.15, 3)
  planes = [
    canvas[..., c] * (1 + 0.25 * light) + np.float32(tint[c]) * amount * rough
    for c in range(3)
  ]
  # cv2's conversion saturates, where NumPy's would wrap.
  return cv2.convertScaleAbs(np.maximum(cv2.merge(planes), 0))


def _draw_ground(rng: Rng, canvas: np.ndarray, colour: np.ndarray) -> None:
  """A plane from the horizon down; some with bands that crowd towards it."""
  size = len(canvas)
  horizon = round(size * rng.uniform(0.4, 0.7))
  nearness = np.arange(1, size - horizon + 1) / (size - horizon)
  bands = np.ones_like(nearness)
  if rng.random() < 0.5:
    bands[np.sin(rng.uniform(2, 15) / (nearness + 0.05)) > 0.2] = rng.uniform(0.7, 1)
  canvas[horizon:, :, :3] = (colour * bands[:, None])[:, None]
  canvas[horizon:, :, 3] = rng.integers(50, 255)


def _draw_object(
  rng: Rng, canvas: np.ndarray, colours: np.ndarray, radius: float
) -> None:
  """An ellipse, a polygon, or a box that may be striped or have windows."""
  colour = np.clip(colours[rng.integers(len(colours))] + rng.normal(0, 12, 3), 0, 255)
  fill = (*colour.tolist(), float(rng.choice([5, 75, 200])))
  centre = rng.uniform(-0.05, 1.05, 2) * len(canvas)
  kind = rng.random()
  # Man-made edges are mostly upright.
  angle = rng.choice([0.0, rng.uniform(0, np.pi)], p=[0.6, 0.4])
  axes = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
  half = radius * np.exp(rng.normal(0, 0.5, 2))
  if kind < 0.5:
    corners = rng.integers(3, 8) if kind < 0.2 else 24
    turns = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    turns += rng.uniform(0, 1.2 / corners, corners)
    outline = np.stack([np.cos(turns), np.sin(turns)], -1)
    _fill(canvas, centre + outline * half @ axes, fill)
    return
  _fill(canvas, centre + _SQUARE * half @ axes, fill)
  if kind > 0.75 and radius > 6:
    fill = (*colours[rng.integers(len(colours))].astype(float).tolist(), 50.0)
    rows, columns = rng.integers(1, 6, 2)
    cell = half / [columns, rows] * rng.uniform(0.4, 0.8)
    for row, column in np.ndindex(rows, columns):
      place = half * [(2 * column + 1) / columns - 1, (2 * row + 1) / rows - 1]
      _fill(canvas, centre + (place + _SQUARE * cell) @ axes, fill)


def _fill(canvas: np.ndarray, corners: np.ndarray, fill: tuple[float, ...]) -> None:
  # Three fractional bits, and anti-aliasing, which OpenCV does on 8 bits only.
  points = np.rint(corners * 8).astype(np.int32)
  cv2.fillConvexPoly(canvas, points, fill, cv2.LINE_AA, 3)


def cloth(rng: Rng, size: int) -> Float[np.ndarray, "size size 3"]:
  """A tile of material, RGB reflectance 0..1: plain, printed, striped or else."""
  first, second = palette(rng, 2, saturation=0.8).astype(np.float32) / 255
  weight = _pattern(rng, size)[..., None]
  tile = first * (1 - weight) + second * weight
  dirt = octave_noise(rng, (size, size), persistence=0.8)[..., None]
  tile = tile * (1 + np.float32(rng.uniform(0.05, 0.35)) * dirt)
  return np.clip(cv2.GaussianBlur(tile, (3, 3), 0), 0.02, 1)


def _pattern(rng: Rng, size: int) -> Float[np.ndarray, "size size"]:
  """How much of the second colour there is, 0..1."""
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
  """A few large marks, as on a printed shirt."""
  marks = np.zeros((size, size), np.float32)
  for _ in range(rng.integers(2, 9)):
    centre = rng.integers(0, size, 2).tolist()
    axes = rng.integers(size // 20, size // 5, 2).tolist()
    cv2.ellipse(marks, centre, axes, rng.uniform(0, 180), 0, 360, rng.random(), -1)
  return marks
