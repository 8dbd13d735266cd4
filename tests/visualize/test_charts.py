"""Charts: what their axes show, and the SVG that goes into a page."""

import re

import cv2
import numpy as np
import pytest

from mhmr_jax.visualize import charts


def _line(figure):
  """The points of the only line."""
  (line,) = figure.axes[0].lines
  return np.asarray(line.get_xdata()), np.asarray(line.get_ydata())


def _legend(figure):
  return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_line_chart_draws_the_points_and_names_axes_and_lines():
  series = {"a": ([0, 5, 10], [0.5, 10, 5]), "b": ([0, 10], [1, 2])}
  figure = charts.line_chart(
    {name: tuple(map(np.array, xy)) for name, xy in series.items()}, "step", "loss"
  )
  (axes,) = figure.axes
  for line, (x, y) in zip(axes.lines, series.values(), strict=True):
    np.testing.assert_array_equal(line.get_xdata(), x)
    np.testing.assert_array_equal(line.get_ydata(), y)
  assert len({line.get_color() for line in axes.lines}) == 2
  assert axes.get_xlim() == (0, 10)
  assert axes.get_ylim() == (0, 10)  # Whole ticks, with zero.
  assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", "loss")
  assert _legend(figure) == ["a", "b"]


def test_line_chart_averages_long_series_and_skips_what_is_not_finite():
  x = np.arange(5000.0)
  y = np.where(x % 2 == 0, 1.0, 3.0)
  y[100:200] = np.nan
  drawn_x, drawn_y = _line(charts.line_chart({"a": (x, y)}, "x", "y"))
  assert 200 < len(drawn_x) <= 300
  assert np.isfinite(drawn_y).all()
  assert np.ptp(drawn_y) < 0.2  # Averaged: about level at 2.
  assert drawn_x[0] < 20
  assert drawn_x[-1] > 4980


def test_line_chart_is_broken_at_gaps():
  x = np.array([0.0, 1, 2, 6, 7, 8])
  drawn_x, drawn_y = _line(charts.line_chart({"a": (x, x)}, "x", "y", longest_step=1.0))
  np.testing.assert_array_equal(drawn_x, [0, 1, 2, np.nan, 6, 7, 8])
  np.testing.assert_array_equal(drawn_y, drawn_x)
  drawn_x, _ = _line(charts.line_chart({"a": (x, x)}, "x", "y"))
  np.testing.assert_array_equal(drawn_x, x)


def test_each_run_of_a_broken_line_is_averaged_by_itself():
  x = np.concatenate([np.arange(1000.0), 5000 + np.arange(500.0)])
  drawn, _ = _line(charts.line_chart({"a": (x, x)}, "x", "y", longest_step=1.0))
  (gap,) = np.flatnonzero(np.isnan(drawn))
  assert gap == 200
  assert len(drawn) == 301
  assert drawn[gap - 1] < 1000
  assert drawn[gap + 1] >= 5000


@pytest.mark.parametrize("y", [[], [np.nan, np.inf], [3.0, 3.0], [-1.0, -2.0], [0, 0]])
def test_line_chart_takes_anything(y):
  figure = charts.line_chart({"a": (np.arange(len(y)), np.array(y))}, "x", "y")
  for low, high in (figure.axes[0].get_xlim(), figure.axes[0].get_ylim()):
    assert low < high
  drawn = charts.svg(figure, "a line")
  assert ("no values" in drawn) == (not np.isfinite(y).any())
  assert not re.search(r"[\s\"]-?(nan|inf)[\s\"]", drawn)


def test_sorted_bars_are_as_high_as_their_values_and_levels_are_named():
  figure = charts.sorted_bars([3.0, np.nan, 1.0, 2.0], {"level": 2.5}, "x", "y")
  (axes,) = figure.axes
  assert [bar.get_height() for bar in axes.patches] == [1, 2, 3]
  places = [bar.get_x() for bar in axes.patches]
  assert places == sorted(places)
  (level,) = axes.lines
  assert set(level.get_ydata()) == {2.5}
  assert _legend(figure) == ["level"]
  assert axes.get_ylim() == (0, 3)
  assert "no values" in charts.svg(charts.sorted_bars([], {}, "x", "y"), "nothing")


def test_a_level_above_all_bars_is_inside_the_chart():
  figure = charts.sorted_bars([1.0], {"level": 7.0}, "x", "y")
  assert figure.axes[0].get_ylim()[1] >= 7
  figure = charts.named_bars(["a"], {"s": [1.0]}, {"level": 7.0}, "x")
  assert figure.axes[0].get_xlim()[1] >= 7


def test_named_bars_stand_beside_their_names_from_the_top():
  series = {"one": [1.0, 2.0, 4.0], "two": [3.0, 1.0, 2.0]}
  figure = charts.named_bars(["a", "b", "c"], series, {"level": 2.0}, "mm")
  (axes,) = figure.axes
  assert [bar.get_width() for bar in axes.patches] == [1, 2, 4, 3, 1, 2]
  ticks = axes.get_yticks()
  assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]
  bottom, top = axes.get_ylim()
  assert top < ticks[0] < ticks[1] < ticks[2] < bottom
  half_row = (ticks[1] - ticks[0]) / 2
  for number, bar in enumerate(axes.patches):
    centre = bar.get_y() + bar.get_height() / 2
    assert abs(centre - ticks[number % 3]) < half_row
  first, second = (axes.patches[number] for number in (0, 3))
  assert first.get_y() + first.get_height() <= second.get_y()
  assert _legend(figure) == ["one", "two", "level"]


def test_long_names_keep_both_ends():
  figure = charts.named_bars(["a" * 20 + "b" * 20], {"s": [1.0]}, {}, "mm")
  (label,) = figure.axes[0].get_yticklabels()
  assert re.fullmatch("a+…b+", label.get_text())
  assert len(label.get_text()) == 24


def test_a_histogram_has_a_bar_between_each_two_edges():
  axes = charts.histogram([3, 0, 8], [0.0, 0.5, 1.0, 2.0], "m", "count").axes[0]
  assert [bar.get_height() for bar in axes.patches] == [3, 0, 8]
  for bar, low, high in zip(axes.patches, (0, 0.5, 1), (0.5, 1, 2), strict=True):
    assert low < bar.get_x()
    assert bar.get_x() + bar.get_width() < high
  assert axes.get_xlim() == (0, 2)
  assert axes.get_ylim()[0] == 0


def test_intervals_are_drawn_where_they_are_known():
  intervals = [charts.Interval(74.0, (70.0, 80.0)), None, charts.Interval(90.0, None)]
  figure = charts.interval_panels(
    ["a", "b", "c"], {"left": intervals, "right": [None] * 3}
  )
  left, right = figure.axes
  assert (left.get_title(loc="left"), right.get_title(loc="left")) == ("left", "right")
  bars = [tuple(bar.get_segments()[0][:, 0]) for _, _, (bar,) in left.containers]
  assert bars == [(70, 80), (90, 90)]
  points = [tuple(np.ravel(c.lines[0].get_data())) for c in left.containers]
  assert points == [(74, 0), (90, 2)]
  assert not right.containers


def test_svg_keeps_text_escapes_it_and_refers_to_nothing_outside():
  hostile = '<script>alert("x")</script>'

  def draw():
    figure = charts.named_bars([hostile[:20]], {hostile: [1.0]}, {}, "mm & more")
    return charts.svg(figure, hostile)

  drawn = draw()
  assert drawn.startswith("<svg viewBox=")
  assert "<script" not in drawn
  assert "mm &amp; more</text>" in drawn
  for part in ("http", "url(", "xmlns", "<style", "<metadata"):
    assert part not in drawn
  assert draw() == drawn  # No date, no random names.


def test_ids_are_kept_only_where_they_are_used():
  figure = charts.interval_panels(["a"], {"m": [charts.Interval(1.0, (0.0, 2.0))]})
  drawn = charts.svg(figure, "an interval")
  names = re.findall(r' id="([^"]+)"', drawn)
  assert len(names) == len(set(names))
  assert set(names) == set(re.findall(r' href="#([^"]+)"', drawn))
  assert names


def test_png_is_a_picture_of_the_figure():
  figure = charts.interval_panels(["a"], {"m": [charts.Interval(1.0, (0.0, 2.0))]})
  image = cv2.imdecode(np.frombuffer(charts.png(figure), np.uint8), cv2.IMREAD_COLOR)
  red, green, blue = (int(charts.COLOURS[0][i : i + 2], 16) for i in (1, 3, 5))
  marks = (image == [blue, green, red]).all(-1)
  rows, columns = np.nonzero(marks)
  assert np.ptp(columns) > 5 * np.ptp(rows)
  assert (image[0, 0] == 255).all()
