"""The datasheet page of a dataset."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

from mhmr_jax.visualize import charts, datasheet, report

_TITLES = {
  "person_height": "Size of the person",
  "joint_speed": "Speed of the joints",
  "pelvis_speed": "Speed of the pelvis",
  "keypoint_speed": "Speed in the image",
  "facing": "Direction that people face",
  "mask_share": "Share of the mask",
}
_SHARES = {
  "visibility": "How often each joint is visible",
  "inside_frame": "How often each joint is inside the frame",
  "keypoint_found": "How often each keypoint is visible or was detected",
}
_BY_JOINT = {
  "joint_speed_by_joint": "Speed of each joint, m/s relative to the pelvis",
  "joint_angle_by_joint": "Rotation of each joint, degrees",
}
_FACTS = (
  *("clips", "clips_read", "sequences", "frames", "seconds"),
  *("frame_size", "fps", "gender", "keypoints_detected"),
)
_STYLE = """
.bar{display:inline-block;height:.7em;background:#1b4f8a}
td.wide{width:60%;text-align:left}
"""


def render(facts: Mapping[str, Any]) -> str:
  """Lays out the contents of `datasheet.json`, beside `sheet.jpg` and `clips.mp4`."""
  title = f"{facts['dataset']}, split {facts['split']}"
  histograms = [_chart(name, facts[name]) for name in _TITLES if name in facts]
  sections = [
    _section("Clips", _facts(facts)),
    '<section><div class="scroll"><img src="sheet.jpg" alt="Clips"></div>'
    '<p><a href="clips.mp4">The same clips as a video</a></p></section>',
    _section("Distributions", f'<div class="pair">{"".join(histograms)}</div>'),
    *(_bars(title, facts[name]) for name, title in _SHARES.items() if name in facts),
    *(
      _section(
        title, report.table(("Joint", "Median", "95 %"), _quantiles(facts[name]))
      )
      for name, title in _BY_JOINT.items()
      if name in facts
    ),
  ]
  if "betas" in facts:
    sections.append(_section("Shapes (betas)", _betas(facts["betas"])))
  return (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
    f"<title>{html.escape(title)}</title><style>{report.STYLE}{_STYLE}</style></head>"
    f"<body><main><h1>{html.escape(title)}</h1>{''.join(sections)}</main></body>"
    "</html>\n"
  )


def _facts(facts: Mapping[str, Any]) -> str:
  rows = []
  for name in (name for name in _FACTS if name in facts):
    value = facts[name]
    if isinstance(value, Mapping):
      text = ", ".join(f"{key}: {count:,}" for key, count in value.items())
    else:
      text = f"{value:,}"
    rows.append((name.replace("_", " "), [text]))
  length = facts["frames_per_clip"]
  span = f"{length['min']:g} to {length['max']:g}, median {length['median']:g}"
  rows.append(("frames per clip", [span]))
  return report.table(("", ""), rows)


def _chart(name: str, values: Mapping[str, Any]) -> str:
  chart = charts.histogram(
    values["histogram"]["counts"],
    values["histogram"]["edges"],
    datasheet.UNITS[name],
    "count",
  )
  note = (
    f"Median {values['median']:g}; 5 % below {values['p5']:g}, 5 % above "
    f"{values['p95']:g}; largest {values['max']:g}. The outer bars also count the "
    "values beyond them."
  )
  return (
    f"<figure><h3>{_TITLES[name]}</h3>{charts.svg(chart, _TITLES[name])}"
    f"<figcaption>{note}</figcaption></figure>"
  )


def _bars(title: str, shares: Mapping[str, float]) -> str:
  rows = "".join(
    f"<tr><th>{html.escape(name)}</th><td>{share:.1%}</td>"
    f'<td class="wide"><i class="bar" style="width:{100 * share:.1f}%"></i></td></tr>'
    for name, share in shares.items()
  )
  return _section(title, f'<div class="scroll"><table>{rows}</table></div>')


def _quantiles(values: Mapping[str, Mapping[str, float]]) -> list[tuple[str, list]]:
  return [
    (name, [f"{row['median']:g}", f"{row['p95']:g}"]) for name, row in values.items()
  ]


def _betas(values: Sequence[Mapping[str, float]]) -> str:
  columns = ("mean", "std", "min", "max")
  rows = [
    (str(index), [f"{row[name]:g}" for name in columns])
    for index, row in enumerate(values)
  ]
  return report.table(("Component", *columns), rows)


def _section(title: str, content: str) -> str:
  return f"<section><h2>{html.escape(title)}</h2>{content}</section>"
