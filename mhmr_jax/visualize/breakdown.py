"""Parts of the report: errors by sequence, joint and frame, and what was scored."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Int

from mhmr_jax.evaluation.frame_errors import Errors
from mhmr_jax.evaluation.means import ClipMeans, JointMeans
from mhmr_jax.evaluation.results import Results
from mhmr_jax.visualize import charts

if TYPE_CHECKING:
  import matplotlib.figure

_MOST_NAMED = 64  # More sequences than this are drawn as bars without names.
_FILTERS = {
  "camera": "where the camera is valid",
  "visible": "where more than 6 of the 14 common joints were detected",
  "camera and detections": "where the camera is valid and anything was detected",
}

Rows = list[tuple[str, str]]


class Timeline(NamedTuple):
  """Errors over the frames of one sequence."""

  caption: str
  frame_index: Int[np.ndarray, "some"]  # The frames that count.
  errors: Errors  # In these frames, by measure.


def choose_timelines(
  order: Sequence[int],
  per_sequence: Sequence[ClipMeans],
  frame_index: Sequence[Int[np.ndarray, "some"]],
  errors: Sequence[Errors],
) -> list[Timeline]:
  """Chooses the worst, the median and the best sequence.

  Args:
    order: the indices of the scored sequences, best first.
    per_sequence: the entry `per_sequence` of `metrics.json`.
    frame_index: the frames that count, for each sequence.
    errors: in these frames, for each sequence.
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
      errors[index],
    )
    for index, word in chosen.items()
  ]


def timeline_chart(timeline: Timeline) -> "matplotlib.figure.Figure":
  """Draws PA-MPJPE and MPJPE over the frames."""
  frames, errors = timeline.frame_index, timeline.errors
  series = {
    "PA-MPJPE": (frames, errors["pa_mpjpe_mm"]),
    "MPJPE": (frames, errors["mpjpe_mm"]),
  }
  return charts.line_chart(series, "frame", "error, mm", longest_step=1.0)


def sequence_chart(
  rows: Sequence[ClipMeans], levels: Mapping[str, float]
) -> "matplotlib.figure.Figure":
  """Draws each sequence's PA-MPJPE, the best first; names the sequences if few.

  Args:
    rows: the sequences that were scored.
    levels: named figures to compare with, mm.
  """
  scored = [
    (row["sequence"], row["pa_mpjpe_mm"])
    for row in rows
    if row["pa_mpjpe_mm"] is not None
  ]
  scored.sort(key=lambda pair: pair[1])
  values = [value for _, value in scored]
  if len(scored) > _MOST_NAMED:
    return charts.sorted_bars(values, levels, "sequences, sorted", "PA-MPJPE, mm")
  names = [name for name, _ in scored]
  return charts.named_bars(names, {"PA-MPJPE": values}, levels, "PA-MPJPE, mm")


def joint_chart(rows: Sequence[JointMeans]) -> "matplotlib.figure.Figure":
  """Draws PA-MPJPE and MPJPE of each joint, in the protocol's order."""
  names = [row["joint"].replace("_", " ") for row in rows]
  series = {
    "PA-MPJPE": [row["pa_mpjpe_mm"] for row in rows],
    "MPJPE": [row["mpjpe_mm"] for row in rows],
  }
  return charts.named_bars(names, series, {}, "error, mm")


def protocol_rows(results: Results) -> Rows:
  """Describes the protocol in the terms of its definition."""
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


def data_rows(results: Results) -> Rows:
  """Names the version of the data that was scored."""
  data = results["data"]
  frames = f"{data['num_frames']:,}, of which {results['num_frames']:,} were scored"
  return [
    ("Dataset", f"{data['builder']} {data['version']}"),
    ("Configuration", data["configuration"]),
    ("Clips", f"{data['num_clips']:,}"),
    ("Frames", frames),
  ]
