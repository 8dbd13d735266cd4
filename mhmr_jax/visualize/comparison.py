"""Several models beside each other: one table and one plot, with intervals."""

import base64
import html
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from mhmr_jax.visualize import report

LABELS = {
  **report.MEASURES,
  "pck_150mm_percent": "PCK at 150 mm, %",
  "auc_150mm_percent": "AUC, %",
}
_PLOTTED = ("pa_mpjpe_mm", "mpjpe_mm", "pve_mm")

# The plot is drawn at twice the size that the page shows it in.
_ROW, _LEFT, _PANEL, _GAP, _TOP, _BOTTOM = 60, 500, 520, 60, 80, 70
_INK, _GRID, _MARK = (60, 60, 60), (228, 228, 228), (27, 79, 138)
_FONT, _SIZE = cv2.FONT_HERSHEY_SIMPLEX, 0.75

Rows = Mapping[str, Mapping[str, Any]]


def table_rows(rows: Rows) -> list[tuple[str, list[str]]]:
  """A name, and each measure with its interval; frames last."""
  return [
    (name, [*(_cell(row, key) for key in LABELS), _frames(row)])
    for name, row in rows.items()
  ]


def render(rows: Rows, facts: str) -> str:
  """The page.

  Args:
    rows: results by name.
    facts: dataset, split and protocol.
  """
  cells = "".join(
    f"<tr><th>{html.escape(name)}</th>"
    + "".join(f"<td>{html.escape(value)}</td>" for value in values)
    + "</tr>"
    for name, values in table_rows(rows)
  )
  head = "".join(f"<th>{html.escape(label)}</th>" for label in (*LABELS.values(),))
  encoded, data = cv2.imencode(".png", cv2.cvtColor(draw(rows), cv2.COLOR_RGB2BGR))
  if not encoded:
    raise ValueError("OpenCV cannot encode the plot")
  picture = base64.b64encode(data.tobytes()).decode("ascii")
  return (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
    f"<title>Comparison</title><style>{report.STYLE}</style></head><body><main>"
    f"<h1>Comparison</h1><p>{html.escape(facts)}</p>"
    f'<div class="scroll"><table><thead><tr><th></th>{head}<th>Frames</th></tr></thead>'
    f"<tbody>{cells}</tbody></table></div>"
    '<p class="note">In brackets: 95 % bootstrap intervals over sequences. Errors: '
    "lower is better; PCK and its area (AUC, thresholds 0 to 150 mm, root-aligned): "
    "higher is better.</p>"
    f'<figure><img alt="Errors with their intervals" src="data:image/png;base64,'
    f'{picture}"></figure></main></body></html>\n'
  )


def draw(rows: Rows) -> UInt8[np.ndarray, "height width 3"]:
  """A panel a measure: a dot for the figure, a bar for its interval."""
  measures = [
    m for m in _PLOTTED if any(row.get(m) is not None for row in rows.values())
  ]
  height = _TOP + _ROW * len(rows) + _BOTTOM
  width = _LEFT + len(measures) * (_PANEL + _GAP)
  image = np.full((height, width, 3), 255, np.uint8)
  for index, name in enumerate(rows):
    _text(image, _clipped(name), _LEFT - 30, _TOP + _ROW * index + _ROW // 2, 1.0)
  for column, measure in enumerate(measures):
    _draw_panel(image, rows, measure, _LEFT + column * (_PANEL + _GAP))
  return image


def _draw_panel(image: np.ndarray, rows: Rows, measure: str, left: int) -> None:
  bottom = image.shape[0] - _BOTTOM
  ends = [
    value
    for row in rows.values()
    if row.get(measure) is not None
    for value in (row[measure], *(_interval(row, measure) or ()))
  ]
  low, high = min(ends), max(ends)
  margin = 0.1 * (high - low) or 1.0
  low, high = low - margin, high + margin

  def place(value: float) -> int:
    return left + round((value - low) / (high - low) * _PANEL)

  _text(image, LABELS[measure], left + _PANEL // 2, _TOP // 2, 0.5)
  for tick in _ticks(low, high):
    cv2.line(image, (place(tick), _TOP), (place(tick), bottom), _GRID, 2)
    _text(image, f"{tick:g}", place(tick), bottom + 30, 0.5)
  for index, row in enumerate(rows.values()):
    y = _TOP + _ROW * index + _ROW // 2
    if row.get(measure) is None:
      continue
    if interval := _interval(row, measure):
      start, stop = (place(value) for value in interval)
      cv2.line(image, (start, y), (stop, y), _MARK, 4, cv2.LINE_AA)
      for end in (start, stop):
        cv2.line(image, (end, y - 8), (end, y + 8), _MARK, 4, cv2.LINE_AA)
    cv2.circle(image, (place(row[measure]), y), 10, _MARK, -1, cv2.LINE_AA)


def _ticks(low: float, high: float) -> list[float]:
  rough = (high - low) / 4
  power = 10.0 ** np.floor(np.log10(rough))
  step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
  first = int(np.ceil(low / step))
  return [step * i for i in range(first, int(np.floor(high / step)) + 1)]


def _text(image: np.ndarray, text: str, x: int, y: int, anchor: float) -> None:
  """Centred on y; of its width `anchor` lies left of x. OpenCV draws ASCII alone."""
  text = text.encode("ascii", "replace").decode()
  (width, height), _ = cv2.getTextSize(text, _FONT, _SIZE, 1)
  place = (round(x - anchor * width), y + height // 2)
  cv2.putText(image, text, place, _FONT, _SIZE, _INK, 1, cv2.LINE_AA)


def _clipped(name: str, most: int = 32) -> str:
  return name if len(name) <= most else "..." + name[3 - most :]


def _interval(row: Mapping[str, Any], measure: str) -> Sequence[float] | None:
  found: Sequence[float] | None = row.get("intervals", {}).get(measure)
  return found


def _cell(row: Mapping[str, Any], measure: str) -> str:
  value = report.number(row.get(measure))
  interval = _interval(row, measure)
  if row.get(measure) is None or not interval:
    return value
  return f"{value} [{', '.join(report.number(end) for end in interval)}]"


def _frames(row: Mapping[str, Any]) -> str:
  if "num_frames" not in row:
    return "-"
  missing = row["num_missing_frames"]
  return f"{row['num_frames']:,}" + (f" (lacks {missing:,})" if missing else "")
