"""Line and bar charts as inline SVG: nothing to load, sharp at any size."""

import html
import math
from collections.abc import Mapping, Sequence

import numpy as np

COLOURS = ("#1b4f8a", "#b3541e", "#3b7a57", "#6b4c8a", "#8a7a1b", "#555555")
_WIDTH, _HEIGHT = 480.0, 260.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 56.0, 12.0, 10.0, 40.0
_MOST_POINTS = 300


def line_chart(
  series: Mapping[str, tuple[np.ndarray, np.ndarray]],
  x_label: str,
  y_label: str,
  longest_step: float = math.inf,
) -> str:
  """Draws y over x, one line a name; long series are averaged in even bins.

  Points that are not finite are left out; a line is broken where x steps further than
  `longest_step`.
  """
  finite = {name: _finite(x, y) for name, (x, y) in series.items()}
  finite = {name: xy for name, xy in finite.items() if len(xy[0])}
  if not finite:
    return '<p class="empty">Nothing was logged.</p>'
  first, last = _range([x for x, _ in finite.values()])
  x_axis = _Axis(min(first, 0.0), last, _LEFT, _WIDTH - _RIGHT)
  lowest, highest = _range([y for _, y in finite.values()])
  y_axis = _Axis(min(lowest, 0.0), highest, _HEIGHT - _BOTTOM, _TOP).rounded()
  parts = _frame(x_axis, y_axis, x_label, y_label, x_axis.ticks())
  for index, (x, y) in enumerate(finite.values()):
    borders = np.flatnonzero(np.diff(x) > longest_step) + 1
    for run in zip(np.split(x, borders), np.split(y, borders), strict=True):
      most = max(2, _MOST_POINTS * len(run[0]) // len(x))
      pairs = zip(*_binned(*run, most), strict=True)
      points = " ".join(f"{x_axis(a):.1f},{y_axis(b):.1f}" for a, b in pairs)
      parts.append(f'<polyline points="{points}" stroke="{_colour(index)}"/>')
  return _legend(list(finite)) + _svg(parts, f"{y_label} over {x_label}")


def sorted_bars(
  values: Sequence[float], levels: Mapping[str, float], x_label: str, y_label: str
) -> str:
  """Draws the values from the lowest to the highest, and named level lines."""
  ordered = np.sort(np.asarray(values, np.float64))
  ordered = ordered[np.isfinite(ordered)]
  if not len(ordered):
    return '<p class="empty">No sequence was scored.</p>'
  x_axis = _Axis(0.0, float(len(ordered)), _LEFT, _WIDTH - _RIGHT)
  highest = max(ordered[-1], *levels.values()) if levels else ordered[-1]
  y_axis = _Axis(0.0, float(highest), _HEIGHT - _BOTTOM, _TOP).rounded()
  parts = _frame(x_axis, y_axis, x_label, y_label, [])
  width = x_axis(1.0) - x_axis(0.0)
  for index, value in enumerate(ordered.tolist()):
    top = y_axis(value)
    parts.append(
      f'<rect x="{x_axis(float(index)):.2f}" y="{top:.1f}" '
      f'width="{max(width * 0.82, 0.5):.2f}" height="{y_axis(0.0) - top:.1f}" '
      f'fill="{COLOURS[0]}"/>'
    )
  for index, level in enumerate(levels.values(), start=1):
    y = y_axis(level)
    parts.append(
      f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
      f'style="stroke:{_colour(index)}" stroke-width="2" stroke-dasharray="6 4"/>'
    )
  return _legend([y_label, *levels]) + _svg(parts, f"{y_label}, {x_label}")


def named_bars(
  names: Sequence[str],
  series: Mapping[str, Sequence[float]],
  levels: Mapping[str, float],
  x_label: str,
) -> str:
  """Draws a row a name with a bar of each series, and named vertical lines."""
  if not names:
    return '<p class="empty">Nothing was scored.</p>'
  highest = max(*(max(values) for values in series.values()), *levels.values(), 0.0)
  left, row = 150.0, 8.0 + 7.0 * len(series)
  bottom = _TOP + row * len(names)
  axis = _Axis(0.0, float(highest), left, _WIDTH - _RIGHT).rounded()
  parts = []
  for tick in axis.ticks():
    x = axis(tick)
    parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{bottom}"/>')
    parts.append(
      f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{tick:,.6g}</text>'
    )
  for number, name in enumerate(names):
    top = _TOP + row * number
    parts.append(
      f'<text x="{left - 6}" y="{top + row / 2 + 4:.1f}" text-anchor="end">'
      f"{html.escape(_shortened(name))}</text>"
    )
    for index, values in enumerate(series.values()):
      parts.append(
        f'<rect x="{left}" y="{top + 4 + 7 * index:.1f}" height="6" '
        f'width="{max(axis(values[number]) - left, 0):.1f}" fill="{_colour(index)}"/>'
      )
  for index, level in enumerate(levels.values(), start=len(series)):
    parts.append(
      f'<line x1="{axis(level):.1f}" x2="{axis(level):.1f}" y1="{_TOP}" y2="{bottom}" '
      f'style="stroke:{_colour(index)}" stroke-width="2" stroke-dasharray="6 4"/>'
    )
  parts.append(
    f'<text x="{(left + _WIDTH - _RIGHT) / 2}" y="{bottom + 34}" '
    f'text-anchor="middle">{html.escape(x_label)}</text>'
  )
  return _legend([*series, *levels]) + _svg(parts, x_label, bottom + 40)


def _shortened(name: str, most: int = 24) -> str:
  """Its ends: numbers of people and scenes stand last."""
  return name if len(name) <= most else f"{name[: most - 11]}…{name[-10:]}"


def histogram(
  counts: Sequence[int], edges: Sequence[float], x_label: str, y_label: str
) -> str:
  """Draws a bar between each two edges."""
  x_axis = _Axis(float(edges[0]), float(edges[-1]), _LEFT, _WIDTH - _RIGHT)
  y_axis = _Axis(0.0, float(max(counts)), _HEIGHT - _BOTTOM, _TOP).rounded()
  parts = _frame(x_axis, y_axis, x_label, y_label, x_axis.ticks())
  for count, low, high in zip(counts, edges[:-1], edges[1:], strict=True):
    top, left = y_axis(float(count)), x_axis(low)
    parts.append(
      f'<rect x="{left:.2f}" y="{top:.1f}" '
      f'width="{max(x_axis(high) - left - 1, 0.5):.2f}" '
      f'height="{y_axis(0.0) - top:.1f}" fill="{COLOURS[0]}"/>'
    )
  return _svg(parts, f"{y_label} over {x_label}")


class _Axis:
  """Maps values to SVG units."""

  def __init__(
    self,
    low: float,
    high: float,
    start: float,
    end: float,
    step: float | None = None,
  ):
    self.step = step or _tick_step(high - low)
    self.low = low
    self.high = max(high, low + self.step)
    self.start, self.end = start, end

  def __call__(self, value: float) -> float:
    share = (value - self.low) / (self.high - self.low)
    return self.start + share * (self.end - self.start)

  def rounded(self) -> "_Axis":
    """The axis with its ends moved out to whole ticks."""
    low = math.floor(self.low / self.step + 1e-9) * self.step
    high = math.ceil(self.high / self.step - 1e-9) * self.step
    return _Axis(low, high, self.start, self.end, self.step)

  def ticks(self) -> list[float]:
    first = math.ceil(self.low / self.step - 1e-9)
    last = math.floor(self.high / self.step + 1e-9)
    return [index * self.step for index in range(first, last + 1)]


def _tick_step(extent: float) -> float:
  """Returns the 1, 2 or 5 times a power of ten that gives about five ticks."""
  if extent <= 0:
    return 1.0
  rough = extent / 5
  power = 10.0 ** math.floor(math.log10(rough))
  return power * next(m for m in (1, 2, 5, 10) if m * power >= rough * 0.999)


def _finite(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
  keep = np.isfinite(x) & np.isfinite(y)
  return x[keep], y[keep]


def _range(arrays: Sequence[np.ndarray]) -> tuple[float, float]:
  joined = np.concatenate(arrays)
  return float(joined.min()), float(joined.max())


def _binned(x: np.ndarray, y: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
  if len(x) <= most:
    return x, y
  borders = np.linspace(0, len(x), most + 1).astype(int)[:-1]
  counts = np.diff(np.append(borders, len(x)))
  return np.add.reduceat(x, borders) / counts, np.add.reduceat(y, borders) / counts


def _frame(
  x_axis: _Axis, y_axis: _Axis, x_label: str, y_label: str, x_ticks: Sequence[float]
) -> list[str]:
  right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
  parts = []
  for tick in y_axis.ticks():
    y = y_axis(tick)
    parts.append(f'<line x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
    parts.append(
      f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:,.6g}</text>'
    )
  for tick in x_ticks:
    parts.append(
      f'<text x="{x_axis(tick):.1f}" y="{bottom + 16}" '
      f'text-anchor="middle">{tick:,.6g}</text>'
    )
  middle = (_TOP + bottom) / 2
  parts.append(
    f'<text x="{(_LEFT + right) / 2}" y="{_HEIGHT - 6}" text-anchor="middle">'
    f"{html.escape(x_label)}</text>"
  )
  parts.append(
    f'<text x="14" y="{middle}" text-anchor="middle" '
    f'transform="rotate(-90 14 {middle})">{html.escape(y_label)}</text>'
  )
  return parts


def _legend(names: Sequence[str]) -> str:
  items = "".join(
    f'<span><i style="background:{_colour(index)}"></i>{html.escape(name)}</span>'
    for index, name in enumerate(names)
  )
  return f'<p class="legend">{items}</p>'


def _svg(parts: Sequence[str], label: str, height: float = _HEIGHT) -> str:
  return (
    f'<svg viewBox="0 0 {_WIDTH:g} {height:g}" role="img" '
    f'aria-label="{html.escape(label)}">{"".join(parts)}</svg>'
  )


def _colour(index: int) -> str:
  return COLOURS[index % len(COLOURS)]
