"""Charts for the pages: drawn by Matplotlib, written as inline SVG or as PNG.

Every function returns a figure of the same width, which the page scales to its own. In
the SVG, text stays text in the page's font, and nothing depends on the time or machine.
Matplotlib is imported only when a chart is drawn, and never pyplot, whose figures are
global.
"""

import contextlib
import io
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.etree import ElementTree

import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
  import matplotlib.axes
  import matplotlib.axis
  import matplotlib.figure

COLOURS = ("#1b4f8a", "#b3541e", "#3b7a57", "#6b4c8a", "#8a7a1b", "#555555")
# All lengths are in points, which are the units of the SVG.
_WIDTH, _HEIGHT = 400.0, 240.0
_POINTS_PER_INCH = 72
_PNG_DPI = 200
_LINE, _ROW_MARGIN, _BAR = 16.0, 8.0, 7.0  # Heights: of text, between rows, of a bar.
_LEGEND_CHARACTERS = 52  # What fits into a row of a legend.
_MOST_POINTS = 300  # Points of a line; longer series are averaged.
_INK = "#555555"
_STYLE: dict[str, Any] = {
  "axes.axisbelow": True,
  "axes.edgecolor": "#999999",
  "axes.facecolor": "none",
  "axes.labelcolor": _INK,
  "axes.spines.left": False,
  "axes.spines.right": False,
  "axes.spines.top": False,
  "axes.titlecolor": _INK,
  "axes.titlelocation": "left",
  "axes.titlesize": "medium",
  "figure.constrained_layout.use": True,
  "figure.facecolor": "white",
  # Comes with Matplotlib, so that every machine lays the chart out alike.
  "font.family": ["DejaVu Sans"],
  "font.size": 11.0,
  "grid.color": "#e4e4e4",
  "grid.linewidth": 0.8,
  "legend.borderaxespad": 0.0,
  "legend.columnspacing": 1.2,
  "legend.fontsize": "medium",
  "legend.frameon": False,
  "legend.handlelength": 1.6,
  "legend.labelcolor": _INK,
  "svg.fonttype": "none",
  "svg.hashsalt": "mhmr_jax",
  "xtick.bottom": False,
  "xtick.labelcolor": _INK,
  "ytick.labelcolor": _INK,
  "ytick.left": False,
}


_INTERVAL_STYLE: dict[str, Any] = {
  "color": COLOURS[0],
  "fmt": "o",
  "markersize": 6.0,
  "elinewidth": 1.8,
  "capsize": 3.5,
  "capthick": 1.8,
  "clip_on": False,
}


class Interval(NamedTuple):
  """A value and, where it is known, the interval around it."""

  value: float
  ends: Sequence[float] | None  # Low and high.


def line_chart(
  series: Mapping[str, tuple[np.ndarray, np.ndarray]],
  x_label: str,
  y_label: str,
  longest_step: float = math.inf,
) -> "matplotlib.figure.Figure":
  """Draws y over x, one line for each name.

  Long series are averaged in even bins. Points that are not finite are left out, and a
  line is broken where x steps further than `longest_step`.
  """
  finite = {name: _finite(x, y) for name, (x, y) in series.items()}
  finite = {name: xy for name, xy in finite.items() if len(xy[0])}
  with _axes() as axes:
    axes.set(xlabel=x_label, ylabel=y_label)
    if not finite:
      return _empty(axes)
    axes.grid(axis="y", clip_on=False)
    for index, (name, (x, y)) in enumerate(finite.items()):
      points = _broken(x, y, longest_step)
      axes.plot(*points, color=_colour(index), label=name, clip_on=False)
    all_x, all_y = map(np.concatenate, zip(*finite.values(), strict=True))
    first, last = min(float(all_x.min()), 0.0), float(all_x.max())
    axes.set_xlim(first, last if last > first else first + 1)
    axes.set_ylim(*_whole_ticks(axes.yaxis, all_y.min(), all_y.max()))
    return _with_legend(axes, finite)


def sorted_bars(
  values: Sequence[float], levels: Mapping[str, float], x_label: str, y_label: str
) -> "matplotlib.figure.Figure":
  """Draws the finite values from the lowest to the highest, and named level lines."""
  heights = np.sort(np.asarray(values, np.float64))
  heights = heights[np.isfinite(heights)]
  with _axes() as axes:
    axes.set(xlabel=x_label, ylabel=y_label, xticks=[])
    if not len(heights):
      return _empty(axes)
    axes.grid(axis="y", clip_on=False)
    places = np.arange(len(heights)) + 0.5
    axes.bar(places, heights, 0.82, color=COLOURS[0], clip_on=False)
    for index, (name, level) in enumerate(levels.items(), start=1):
      axes.axhline(level, label=name, **_level_style(index))
    axes.set_xlim(0, len(heights))
    highest = max([float(heights[-1]), *levels.values()])
    axes.set_ylim(*_whole_ticks(axes.yaxis, 0.0, highest))
    return _with_legend(axes, levels)


def named_bars(
  names: Sequence[str],
  series: Mapping[str, Sequence[float]],
  levels: Mapping[str, float],
  x_label: str,
) -> "matplotlib.figure.Figure":
  """Draws a row for each name with a bar of each series, and named level lines."""
  row = _ROW_MARGIN + _BAR * len(series)
  with _axes(row * len(names) + _LINE * (4 + len(series) + len(levels))) as axes:
    axes.set(xlabel=x_label)
    if not names:
      return _empty(axes)
    axes.grid(axis="x", clip_on=False)
    places = row * (np.arange(len(names)) + 0.5)
    for index, (name, values) in enumerate(series.items()):
      shifted = places + _BAR * (index - (len(series) - 1) / 2)
      colour = _colour(index)
      axes.barh(shifted, values, 0.9 * _BAR, color=colour, label=name, clip_on=False)
    for index, (name, level) in enumerate(levels.items(), start=len(series)):
      axes.axvline(level, label=name, **_level_style(index))
    axes.set_yticks(places, [_shortened(name) for name in names])
    axes.set_ylim(row * len(names), 0)
    highest = max([*map(max, series.values()), *levels.values()])
    axes.set_xlim(*_whole_ticks(axes.xaxis, 0.0, highest))
    return _with_legend(axes, [*series, *levels])


def histogram(
  counts: Sequence[int], edges: Sequence[float], x_label: str, y_label: str
) -> "matplotlib.figure.Figure":
  """Draws a bar between each two edges."""
  low, high = np.asarray(edges[:-1], float), np.asarray(edges[1:], float)
  with _axes() as axes:
    axes.set(xlabel=x_label, ylabel=y_label)
    axes.grid(axis="y", clip_on=False)
    width = 0.92 * (high - low)
    axes.bar((low + high) / 2, counts, width, color=COLOURS[0], clip_on=False)
    axes.set_xlim(low[0], high[-1])
    axes.set_ylim(*_whole_ticks(axes.yaxis, 0.0, float(max(counts))))
    return _with_legend(axes, ())


def interval_panels(
  names: Sequence[str], panels: Mapping[str, Sequence[Interval | None]]
) -> "matplotlib.figure.Figure":
  """Draws values with their intervals: a titled panel for each key, a row for a name.

  The panels lie under each other, each with its own scale. A row that has no value in
  a panel stays empty there.
  """
  rows = range(len(names))
  with _panels(_LINE * (len(names) + 4) * len(panels), len(panels)) as parts:
    for axes, (title, intervals) in zip(parts, panels.items(), strict=True):
      axes.set_title(title)
      axes.grid(axis="x", clip_on=False)
      for row, interval in zip(rows, intervals, strict=True):
        if interval is not None:
          low, high = interval.ends or (interval.value, interval.value)
          errors = [[interval.value - low], [high - interval.value]]
          axes.errorbar(interval.value, row, xerr=errors, **_INTERVAL_STYLE)
      axes.set_yticks(rows, [_shortened(name, 32) for name in names])
      axes.set_ylim(len(names) - 0.5, -0.5)
      axes.margins(x=0.1)
    return _with_legend(parts[0], ())


def svg(figure: "matplotlib.figure.Figure", label: str) -> str:
  """An SVG element to be put into a page, described by a label."""
  written = io.StringIO()
  # Without these there is no metadata, and so neither a date nor a version.
  nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
  with _styled():
    figure.savefig(written, format="svg", metadata=nothing)
  root = ElementTree.fromstring(written.getvalue())
  # The page has one style sheet and needs no namespaces. Only what is referred to
  # keeps its id, since ids are the whole page's.
  for parent in list(root.iter()):
    for child in list(parent):
      if child.tag.endswith("}style"):
        parent.remove(child)
  for element in root.iter():
    element.tag = _local(element.tag)
    element.attrib = {_local(name): text for name, text in element.attrib.items()}
  used = {e.get("href", "").removeprefix("#") for e in root.iter()}
  for element in root.iter():
    if element.get("id") not in used:
      element.attrib.pop("id", None)
  size = root.get("viewBox", "")
  root.attrib = {"viewBox": size, "role": "img", "aria-label": label}
  return ElementTree.tostring(root, encoding="unicode")


def png(figure: "matplotlib.figure.Figure") -> bytes:
  """The figure as a PNG file, for screens with twice the usual density."""
  written = io.BytesIO()
  with _styled():
    figure.savefig(written, format="png", dpi=_PNG_DPI, metadata={"Software": None})
  return written.getvalue()


def _local(name: str) -> str:
  """The name without its namespace."""
  return name.rpartition("}")[2]


def _styled() -> contextlib.AbstractContextManager[None]:
  import matplotlib

  style: Any = _STYLE  # The type of its keys depends on the version of Matplotlib.
  return matplotlib.rc_context(style)


@contextlib.contextmanager
def _axes(height: float = _HEIGHT) -> Iterator["matplotlib.axes.Axes"]:
  with _panels(height, 1) as (axes,):
    yield axes


@contextlib.contextmanager
def _panels(height: float, count: int) -> Iterator[list["matplotlib.axes.Axes"]]:
  """Yields the panels of a new figure, one under the other, with the style set."""
  import matplotlib.figure
  import matplotlib.ticker

  with _styled():
    size = (_WIDTH / _POINTS_PER_INCH, height / _POINTS_PER_INCH)
    figure = matplotlib.figure.Figure(size)
    panels = list(figure.subplots(count, squeeze=False)[:, 0])
    for axes in panels:
      for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(matplotlib.ticker.MaxNLocator(5, steps=[1, 2, 5, 10]))
        axis.set_major_formatter(matplotlib.ticker.StrMethodFormatter("{x:,.6g}"))
    yield panels


def _with_legend(
  axes: "matplotlib.axes.Axes", names: Collection[str]
) -> "matplotlib.figure.Figure":
  """The finished figure, with these names in a legend over the chart."""
  figure = axes.get_figure(root=True)
  assert figure is not None
  if names:
    handles, labels = axes.get_legend_handles_labels()
    drawn = dict(zip(labels, handles, strict=True))
    columns = max(1, _LEGEND_CHARACTERS // (max(map(len, names)) + 6))
    figure.legend(
      [drawn[name] for name in names], names, loc="outside upper left", ncols=columns
    )
  return figure


def _empty(axes: "matplotlib.axes.Axes") -> "matplotlib.figure.Figure":
  axes.set(xticks=[], yticks=[])
  axes.text(0.5, 0.5, "no values", transform=axes.transAxes, ha="center", color=_INK)
  return _with_legend(axes, ())


def _level_style(index: int) -> dict[str, Any]:
  dashed = (0, (4, 3))
  return {"color": _colour(index), "ls": dashed, "lw": 1.6, "clip_on": False}


def _whole_ticks(
  axis: "matplotlib.axis.Axis", low: float, high: float
) -> tuple[float, float]:
  """The limits of an axis: zero is among them, and both are whole ticks."""
  low, high = min(low, 0.0), max(high, 0.0)
  ticks = axis.get_major_locator().tick_values(low, high if high > low else low + 1)
  return float(ticks[0]), float(ticks[-1])


def _finite(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
  keep = np.isfinite(x) & np.isfinite(y)
  return x[keep], y[keep]


def _broken(
  x: Float[np.ndarray, "n"], y: Float[np.ndarray, "n"], longest_step: float
) -> tuple[Float[np.ndarray, "points"], Float[np.ndarray, "points"]]:
  """The points of a line: binned runs with NaN between them, where it is broken."""
  borders = np.flatnonzero(np.diff(x) > longest_step) + 1
  joined_x, joined_y = [], []
  for run in zip(np.split(x, borders), np.split(y, borders), strict=True):
    most = max(2, _MOST_POINTS * len(run[0]) // len(x))
    run_x, run_y = _binned(*run, most)
    joined_x += [*run_x, np.nan]
    joined_y += [*run_y, np.nan]
  return np.array(joined_x[:-1]), np.array(joined_y[:-1])


def _binned(
  x: Float[np.ndarray, "n"], y: Float[np.ndarray, "n"], most: int
) -> tuple[Float[np.ndarray, "bins"], Float[np.ndarray, "bins"]]:
  """Means in even bins, at most so many."""
  if len(x) <= most:
    return x, y
  borders = np.linspace(0, len(x), most + 1).astype(int)[:-1]
  counts = np.diff(np.append(borders, len(x)))
  return np.add.reduceat(x, borders) / counts, np.add.reduceat(y, borders) / counts


def _shortened(name: str, most: int = 24) -> str:
  """A name without its middle: numbers of people and scenes stand at the end."""
  return name if len(name) <= most else f"{name[: most - 11]}…{name[-10:]}"


def _colour(index: int) -> str:
  return COLOURS[index % len(COLOURS)]
