"""The report page: one HTML file that contains its pictures and charts."""

import base64
import html
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from etils import epath

from mhmr_jax.errors import InputError
from mhmr_jax.evaluation.means import ClipMeans, Measure
from mhmr_jax.evaluation.results import Results
from mhmr_jax.visualize import breakdown, charts, panels
from mhmr_jax.visualize.panels import Image

if TYPE_CHECKING:
  import matplotlib.figure

MEASURES: Final[dict[Measure, str]] = {
  "pa_mpjpe_mm": "PA-MPJPE, mm",
  "mpjpe_mm": "MPJPE, mm",
  "pve_mm": "PVE, mm",
  "accel_mm_s2": "Acceleration error, mm/s²",
}
BASELINES = {
  "mean_pose": "Mean pose of the training split",
  "best_constant_pose": "Best constant joints (oracle)",
}

_COLUMNS = (
  "Each row is a frame. From left to right: the network's input window with the "
  "keypoints; the true body (sand) and the predicted one (blue) over it, the latter "
  "by its own weak-perspective camera; both bodies from the side."
)


class Picture(NamedTuple):
  """An image and the line under it."""

  image: Image
  caption: str


class Pictures(NamedTuple):
  """The pictures of the page, by section."""

  inputs: Sequence[Picture]
  examples: Sequence[Picture]
  median: Sequence[Picture]
  worst: Sequence[Picture]


def read_history(path: Path | epath.Path) -> list[dict[str, Any]]:
  """Reads the JSON lines that training wrote; without a file the history is empty."""
  if not path.exists():
    return []
  history = []
  # Bytes that are no UTF-8 are no JSON either, and are named by their line.
  lines = path.read_bytes().decode("utf-8", "replace").splitlines()
  for number, line in enumerate(lines, start=1):
    try:
      record = json.loads(line)
    except (ValueError, RecursionError):
      if number == len(lines):  # Training was killed while it wrote this line.
        break
      raise InputError(
        f"Line {number} of {path} is not JSON: restore or delete that file."
      ) from None
    if isinstance(record, dict) and "step" in record:
      history.append(record)
  return history


def render(
  results: Results,
  history: Sequence[Mapping[str, Any]],
  pictures: Pictures,
  timelines: Sequence[breakdown.Timeline] = (),
  loss_terms: Sequence[str] = (),
) -> str:
  """Lays out the page.

  Args:
    results: the contents of `metrics.json`.
    history: one record for each logged training step.
    pictures: the pictures of chosen sequences.
    timelines: the errors over time of chosen sequences.
    loss_terms: the terms of the training loss whose weight is not zero.
  """
  title = f"Motion HMR on {results['dataset']}"
  sections = [
    f"<h1>{html.escape(title)}</h1>",
    _summary(results),
    _section("Scores", _score_table(results) + _score_notes(results)),
    _section("Protocol and data", _provenance(results)),
    _section("Training", _training_charts(history, loss_terms)),
    _section("Sequences", _sequence_chart(results) + _sequence_table(results)),
    _section("Joints", _joint_chart(results)),
    _timeline_section(timelines),
    _picture_section("What the network sees", pictures.inputs),
    _picture_section("Examples, from good to bad", pictures.examples, _COLUMNS),
    _picture_section("The median sequence", pictures.median, _COLUMNS),
    _picture_section("Worst sequences", pictures.worst, _COLUMNS),
  ]
  return (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    f"<title>{html.escape(title)}</title><style>{STYLE}</style></head>"
    f"<body><main>{''.join(sections)}</main></body></html>\n"
  )


def score_rows(results: Results) -> list[tuple[str, list[str]]]:
  """The table of scores: a name and its formatted measures, the model first."""
  rows = [("Model", [number(results[key]) for key in MEASURES])]
  for name, means in results["baselines"].items():
    rows.append((BASELINES[name], [number(means[key]) for key in MEASURES]))
  return rows


def _summary(results: Results) -> str:
  facts = (
    f"{results['num_frames']:,} frames of {len(results['per_sequence'])} clips, "
    f"split <b>{html.escape(results['split'])}</b>, "
    f"protocol <b>{html.escape(results['protocol'])}</b>, "
    f"body <b>{html.escape(results['body'])}</b>, "
    f"checkpoint of step {results['step']:,}"
    + (", bodies fitted to the keypoints." if results["fit"] else ".")
  )
  ratio = results["ratio_to_mean_pose"]
  compared = "" if ratio is None else f", {ratio:.2f} of the mean pose's"
  headline = f"PA-MPJPE <b>{number(results['pa_mpjpe_mm'])} mm</b>{compared}."
  return f'<p class="lead">{headline}</p><p>{facts}</p>'


def _score_table(results: Results) -> str:
  return table(["", *MEASURES.values()], score_rows(results))


def _score_notes(results: Results) -> str:
  root = html.escape(results["root"])
  return (
    '<p class="note">Every row is scored on the same frames; lower is better. '
    "PA-MPJPE is measured after the similarity transform that best aligns each frame, "
    f"MPJPE and PVE with both bodies' {root} moved to the origin. "
    "The acceleration error compares second differences of the root-relative joints "
    f"within a sequence. All are means {html.escape(results['mean'])}. "
    "The mean pose is the chordal mean of the training split's rotations with its "
    "mean betas. The oracle knows the truth: for each measure it is the constant "
    "set of joints that minimises the error on these very frames. It has no surface, "
    "and so no PVE.</p>"
  )


def _provenance(results: Results) -> str:
  tables = (breakdown.protocol_rows(results), breakdown.data_rows(results))
  return "".join(
    '<table class="facts"><tbody>'
    + "".join(
      f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
      for name, value in rows
    )
    + "</tbody></table>"
    for rows in tables
  )


def _training_charts(
  history: Sequence[Mapping[str, Any]], loss_terms: Sequence[str]
) -> str:
  if not history:
    return "<p>The workdir holds no training history.</p>"
  step = np.array([record["step"] for record in history], np.float64)

  def curve(name: str) -> tuple[np.ndarray, np.ndarray]:
    return step, np.array([record.get(name, np.nan) for record in history], np.float64)

  losses = charts.line_chart(
    {name: curve(name) for name in ("loss", *loss_terms)}, "step", "loss"
  )
  errors = charts.line_chart(
    {"training batches": curve("pa_mpjpe_mm")}, "step", MEASURES["pa_mpjpe_mm"]
  )
  figures = (
    _chart(losses, "The loss and its unweighted terms, on training batches."),
    _chart(
      errors, "PA-MPJPE during training: augmented clips, dropout, batch statistics."
    ),
  )
  return f'<div class="pair">{"".join(figures)}</div>'


def _sequence_chart(results: Results) -> str:
  figures = {"the table's figure": results["pa_mpjpe_mm"]}
  for name, row in results["baselines"].items():
    figures[BASELINES[name].lower()] = row["pa_mpjpe_mm"]
  levels = {name: value for name, value in figures.items() if value is not None}
  chart = breakdown.sequence_chart(_scored(results), levels)
  return _chart(chart, "PA-MPJPE of each sequence, from the best to the worst.")


def _joint_chart(results: Results) -> str:
  chart = breakdown.joint_chart(results["per_joint"])
  return _chart(
    chart,
    "The error of each joint, averaged as the protocol does: after alignment "
    "(PA-MPJPE), and with the roots at the origin (MPJPE).",
  )


def _timeline_section(timelines: Sequence[breakdown.Timeline]) -> str:
  if not timelines:
    return ""
  figures = "".join(
    _chart(breakdown.timeline_chart(timeline), timeline.caption)
    for timeline in timelines
  )
  note = "Lines are broken where frames do not count or are missing."
  return _section(
    "Error over time", f'<p class="note">{note}</p><div class="pair">{figures}</div>'
  )


def _sequence_table(results: Results) -> str:
  rows = sorted(_scored(results), key=lambda row: -(row["pa_mpjpe_mm"] or 0))
  cells = [
    (
      row["sequence"],
      [str(row["num_frames"]), *(number(row[key]) for key in MEASURES)],
    )
    for row in rows
  ]
  rows_table = table(["Sequence", "Frames", *MEASURES.values()], cells)
  return f"<details><summary>All {len(rows)} sequences</summary>{rows_table}</details>"


def _scored(results: Results) -> list[ClipMeans]:
  return [row for row in results["per_sequence"] if row["num_frames"]]


def table(header: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]]) -> str:
  """A table of text in which each row is a name and its cells."""
  head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
  body = "".join(
    f"<tr><th>{html.escape(name)}</th>"
    + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
    + "</tr>"
    for name, cells in rows
  )
  return (
    f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
    f"<tbody>{body}</tbody></table></div>"
  )


def _picture_section(title: str, pictures: Sequence[Picture], note: str = "") -> str:
  if not pictures:
    return ""
  figures = "".join(
    _figure(_image(picture.image, picture.caption), picture.caption)
    for picture in pictures
  )
  return _section(title, f'<p class="note">{html.escape(note)}</p>{figures}')


def _image(image: Image, alt: str) -> str:
  text = base64.b64encode(panels.encode_jpeg(image, quality=82)).decode("ascii")
  return (
    f'<div class="scroll"><img alt="{html.escape(alt)}" width="{image.shape[1]}" '
    f'height="{image.shape[0]}" src="data:image/jpeg;base64,{text}"></div>'
  )


def _section(title: str, content: str) -> str:
  return f"<section><h2>{html.escape(title)}</h2>{content}</section>"


def _chart(chart: "matplotlib.figure.Figure", caption: str) -> str:
  return _figure(charts.svg(chart, caption), caption)


def _figure(content: str, caption: str) -> str:
  text = html.escape(caption)
  return f"<figure>{content}<figcaption>{text}</figcaption></figure>"


def number(value: float | None) -> str:
  """A figure for people to read; a dash if there is none."""
  if value is None:
    return "-"
  return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}"


STYLE = """
body{margin:0;background:#fff;color:#1d1d1f;font:16px/1.55 system-ui,-apple-system,
"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:61rem;margin:0 auto;padding:2.5rem 1.25rem 4rem}
h1{font-size:1.75rem;line-height:1.2;letter-spacing:-.01em;margin:0 0 .75rem}
h2{font-size:1.2rem;margin:3rem 0 .9rem;padding-top:.9rem;border-top:1px solid #ddd}
p{margin:.6rem 0;max-width:44rem}
.lead{font-size:1.2rem}
.note,figcaption{font-size:.86rem;color:#555}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.92rem;
width:100%}
th,td{padding:.4rem .75rem;text-align:right;border-bottom:1px solid #e4e4e4}
td{white-space:nowrap}
th:first-child{text-align:left;padding-left:0;min-width:8.5rem}
thead th{font-weight:600;color:#555;border-bottom:1px solid #999;vertical-align:bottom}
tbody th{font-weight:400}
.facts{margin:0 0 1.5rem}
.facts td{text-align:left;white-space:normal;overflow-wrap:anywhere}
.facts th:first-child{width:11rem;vertical-align:top;color:#555}
section>.scroll tbody tr:first-child>*{font-weight:650}
figure{margin:1.25rem 0}
figcaption{margin-top:.35rem;max-width:44rem}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr));
gap:0 2rem}
svg{display:block;width:100%;max-width:31rem;height:auto;stroke-linejoin:round}
svg text{font-family:inherit!important}
img{display:block;max-width:100%;height:auto;min-width:36rem}
summary{cursor:pointer;color:#1b4f8a}
details .scroll{max-height:28rem;overflow:auto}
"""
