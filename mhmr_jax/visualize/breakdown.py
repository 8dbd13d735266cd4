"""Errors by sequence, joint and frame, and what the figures are of: for the report."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from mhmr_jax.evaluation.scores import Errors
from mhmr_jax.visualize import charts

_SERIES = {"pa_mpjpe_mm": "PA-MPJPE", "mpjpe_mm": "MPJPE"}
# More sequences than this are bars without names.
_MOST_NAMED = 64
_FILTERS = {
  "camera": "where the camera is valid",
  "visible": "where more than 6 of the 14 common joints were detected",
  "camera and detections": "where the camera is valid and anything was detected",
}

Rows = list[tuple[str, str]]


class Timeline(NamedTuple):
  """Errors over the frames of one sequence."""

  caption: str
  frame_index: Int[np.ndarray, "some"]  # Of the frames that count.
  errors: Mapping[str, np.ndarray]  # By measure.


def choose_timelines(
  order: Sequence[int],
  per_sequence: Sequence[Mapping[str, Any]],
  frame_index: Sequence[Int[np.ndarray, "some"]],
  errors: Sequence[Errors],
) -> list[Timeline]:
  """Those of the worst, the median and the best sequence.

  Args:
    order: of the sequences that were scored, best first.
    per_sequence: of `metrics.json`.
    frame_index: of each sequence's frames that count.
    errors: of these frames.
  """
  if not order:
    return []
  places = {"worst": order[-1], "median": order[len(order) // 2], "best": order[0]}
  chosen: dict[int, str] = {}
  for word, index in places.items():
    chosen.setdefault(index, word)  # One sequence may be all three.
  return [
    Timeline(
      f"The {word} sequence: {per_sequence[index]['sequence']}",
      frame_index[index],
      {name: errors[index][name] for name in _SERIES},
    )
    for index, word in chosen.items()
  ]


def timeline_chart(line: Timeline) -> str:
  """Both errors over the frames."""
  series = {
    label: (line.frame_index, line.errors[name]) for name, label in _SERIES.items()
  }
  return charts.line_chart(series, "frame", "error, mm", longest_step=1)


def sequence_chart(
  rows: Sequence[Mapping[str, Any]], levels: Mapping[str, float]
) -> str:
  """PA-MPJPE of each, the best first, by name where there is room.

  Args:
    rows: of the sequences that were scored.
    levels: named figures to compare with, mm.
  """
  if len(rows) > _MOST_NAMED:
    values = [row["pa_mpjpe_mm"] for row in rows]
    return charts.sorted_bars(values, levels, "sequences, sorted", "PA-MPJPE, mm")
  rows = sorted(rows, key=lambda row: row["pa_mpjpe_mm"])
  names = [row["sequence"] for row in rows]
  series = {"PA-MPJPE": [row["pa_mpjpe_mm"] for row in rows]}
  return charts.named_bars(names, series, levels, "PA-MPJPE, mm")


def joint_chart(rows: Sequence[Mapping[str, Any]]) -> str:
  """Both errors of each joint, in the protocol's order."""
  names = [row["joint"].replace("_", " ") for row in rows]
  series = {label: [row[name] for row in rows] for name, label in _SERIES.items()}
  return charts.named_bars(names, series, {}, "error, mm")


def protocol_rows(results: Mapping[str, Any]) -> Rows:
  """What the protocol of these results says, by the columns of its table."""
  joints = [row["joint"].replace("_", " ") for row in results["per_joint"]]
  regressor = results["regressor"]
  source = f"the {regressor} regressor on the vertices" if regressor else "SMPL's own"
  return [
    ("Protocol", results["protocol"]),
    ("Joints", f"{len(joints)}, {source}: {', '.join(joints)}"),
    ("Frames that count", _FILTERS[results["frame_filter"]]),
    ("Root", results["root"]),
    ("Mean", results["mean"]),
    ("Alignment", "per frame, with scale, without mirroring"),
    ("Split", results["split"]),
  ]


def data_rows(results: Mapping[str, Any]) -> Rows:
  """Which version of which data was scored."""
  data = results["data"]
  frames = f"{data['num_frames']:,}, of which {results['num_frames']:,} were scored"
  return [
    ("Dataset", f"{data['builder']} {data['version']}"),
    ("Configuration", data["configuration"]),
    ("Clips", f"{data['num_clips']:,}"),
    ("Frames", frames),
  ]
