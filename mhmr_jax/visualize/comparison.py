"""Compares several models in one table and one chart, with intervals."""

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mhmr_jax.evaluation.means import Measure
from mhmr_jax.visualize import charts, report

if TYPE_CHECKING:
  import matplotlib.figure

LABELS: dict[Measure, str] = {
  **report.MEASURES,
  "pck_150mm_percent": "PCK at 150 mm, %",
  "auc_150mm_percent": "AUC, %",
}
_DRAWN: tuple[Measure, ...] = ("pa_mpjpe_mm", "mpjpe_mm", "pve_mm")

# By name: `results.Results` of models, `means.Means` of baselines.
Rows = Mapping[str, Mapping[str, Any]]


def table_rows(rows: Rows) -> list[tuple[str, list[str]]]:
  """The cells of the table by name: each measure with its interval, then the frames."""
  return [
    (name, [*(_cell(row, measure) for measure in LABELS), _frames(row)])
    for name, row in rows.items()
  ]


def header() -> list[str]:
  """The titles over the cells of `table_rows`."""
  return [*LABELS.values(), "Frames"]


def render(rows: Rows, facts: str) -> str:
  """Lays out the page.

  Args:
    rows: results by name.
    facts: a line with the dataset, the split and the protocol.
  """
  chart = charts.svg(draw(rows), "Errors with their intervals")
  return (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    f"<title>Comparison</title><style>{report.STYLE}</style></head><body><main>"
    f"<h1>Comparison</h1><p>{html.escape(facts)}</p>"
    f"{report.table(['', *header()], table_rows(rows))}"
    '<p class="note">In brackets: 95 % bootstrap intervals over sequences. Errors: '
    "lower is better; PCK and its area (AUC, thresholds 0 to 150 mm, root-aligned): "
    "higher is better.</p>"
    f"<figure>{chart}</figure></main></body></html>\n"
  )


def draw(rows: Rows) -> "matplotlib.figure.Figure":
  """Draws a panel for each measure that any row has."""
  panels = {
    LABELS[measure]: [_interval(row, measure) for row in rows.values()]
    for measure in _DRAWN
    if any(row.get(measure) is not None for row in rows.values())
  }
  return charts.interval_panels(list(rows), panels)


def _interval(row: Mapping[str, Any], measure: Measure) -> charts.Interval | None:
  if row.get(measure) is None:
    return None
  return charts.Interval(row[measure], _ends(row, measure))


def _ends(row: Mapping[str, Any], measure: Measure) -> Sequence[float] | None:
  ends: Sequence[float] | None = row.get("intervals", {}).get(measure)
  return ends


def _cell(row: Mapping[str, Any], measure: Measure) -> str:
  value, ends = report.number(row.get(measure)), _ends(row, measure)
  if row.get(measure) is None or not ends:
    return value
  return f"{value} [{', '.join(map(report.number, ends))}]"


def _frames(row: Mapping[str, Any]) -> str:
  if "num_frames" not in row:
    return "-"
  missing = row["num_missing_frames"]
  return f"{row['num_frames']:,}" + (f" (lacks {missing:,})" if missing else "")
