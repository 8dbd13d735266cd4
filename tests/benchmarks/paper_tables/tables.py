"""What each table compares: its rows, its tests and the paper's figures."""

from collections.abc import Mapping
from typing import Any, NamedTuple

# The tests of a table: held-out clips like those of the training, clips of another
# domain, real video without and with the fit to its keypoints, and 3DPW.
SYNTHETIC = ("full", "shifted")
REAL = ("real", "real_with_fit")
PROXIES = (*SYNTHETIC, *REAL)
TITLES = {
  "full": "`full`",
  "shifted": "`shifted`",
  "real": "real video",
  "real_with_fit": "real video, with the fit",
  "3dpw": "3DPW",
}


class Entry(NamedTuple):
  """A row of a table: one way to train.

  Attributes:
    label: of the row.
    config: a file of configs/, without its suffix.
    changes: values of its keys that differ from the file's.
    seeds: how many seeds it is trained with at least.
    paper: the paper's PA-MPJPE on 3DPW in mm, where it has this row.
  """

  label: str
  config: str
  changes: Mapping[str, Any] = {}
  seeds: int = 1
  paper: float | None = None

  @property
  def run(self) -> str:
    """The name of its runs, which is the same in all tables that have the entry."""
    parts = [self.config]
    for key, value in self.changes.items():
      if key not in _FOLLOWING:
        parts.append(f"{key.rpartition('.')[2]}_{value}")
    return "-".join(parts)


class Table(NamedTuple):
  """A table: its rows, and the comparisons that the paper draws from it.

  Attributes:
    title: one sentence.
    entries: the rows.
    tests: the columns.
    pairs: runs of which the first is to be better than the second.
    of_paper: whether that is what the paper finds; else it is what we ask.
  """

  title: str
  entries: tuple[Entry, ...]
  tests: tuple[str, ...] = PROXIES
  pairs: tuple[tuple[str, str], ...] = ()
  of_paper: bool = True


# Keys that follow from others and are not in a run's name.
_FOLLOWING = ("data.clip_frames", "data.num_clips", "train.batch_size")

_RGB = Entry("RGB", "rgb", seeds=3)
_FLOW = Entry("Flow", "flow", seeds=3, paper=100.1)
_KP = Entry("KP", "kp", seeds=3, paper=77.6)
_FLOW_KP = Entry("Flow + KP", "flow_kp", seeds=3, paper=74.7)

_INPUTS = (
  Entry("RGB, single frames (HMR)", "hmr"),
  _RGB,
  _FLOW,
  _KP,
  Entry("RGB + Flow", "rgb_flow"),
  Entry("RGB + KP", "rgb_kp", paper=82.4),
  _FLOW_KP,
  Entry("RGB + Flow + KP", "rgb_flow_kp"),
)
_DANN = Entry("RGB, DANN on `shifted` clips", "dann")
_DANN_VIDEOS = Entry(
  "RGB, DANN on real videos",
  "dann",
  {"target.dataset": "unlabelled_videos"},
  paper=103.0,
)


def _without(variant: str, label: str) -> tuple[Entry, ...]:
  """Flow, alone and with keypoints, trained on simpler clips."""
  changes = {"data.variant": variant}
  return (
    Entry(f"Flow, {label}", "flow", changes),
    Entry(f"Flow + KP, {label}", "flow_kp", changes),
  )


# The frames of an update stay the same, and clips are as long as the longest window.
_UPDATE, _LONG = 256, 64


def _context(config: str, label: str) -> tuple[Entry, ...]:
  """Windows of several lengths, and no memory, on the same long clips."""
  clips = {"data.clip_frames": _LONG, "data.num_clips": 1000}
  windows = [
    Entry(
      f"{label}, {frames} frames",
      config,
      {**clips, "data.window": frames, "train.batch_size": _UPDATE // frames},
    )
    for frames in (4, 8, 16, 32, 64)
  ]
  alone = Entry(f"{label}, no memory", config, {**clips, "model.lstm_features": 0})
  return (alone, *windows)


_PROXY_TABLES = {
  "inputs": Table(
    "The inputs compared: what the network sees of each frame.",
    _INPUTS,
    pairs=(
      ("flow_kp", "kp"),
      ("kp", "rgb_kp"),
      ("rgb_kp", "flow"),
      ("kp", "flow"),
      ("flow", "rgb"),
      ("flow_kp", "flow"),
    ),
  ),
  "dann": Table(
    "Domain-adversarial training (DANN) on unlabelled clips of another domain.",
    (_RGB, _DANN, _DANN_VIDEOS, _FLOW),
    pairs=(
      ("dann", "rgb"),
      ("dann-dataset_unlabelled_videos", "rgb"),
      ("flow", "dann"),
      ("flow", "dann-dataset_unlabelled_videos"),
    ),
  ),
  "clips": Table(
    "What the training clips contain.",
    (
      _FLOW,
      _FLOW_KP,
      *_without("static_background", "still background"),
      *_without("static_camera", "still camera"),
      *_without("no_occluders", "no occluders"),
      *_without("plain", "plain"),
    ),
    pairs=tuple(
      (config, f"{config}-variant_{variant}")
      for config in ("flow", "flow_kp")
      for variant in ("static_background", "static_camera", "no_occluders", "plain")
    ),
  ),
  "context": Table(
    "How many frames a training window has, and no memory at all.",
    (*_context("kp", "KP"), *_context("flow", "Flow")),
    pairs=tuple(
      (f"{config}-window_64", f"{config}-{other}")
      for config in ("kp", "flow")
      for other in ("lstm_features_0", "window_4", "window_16")
    ),
  ),
  "kinetics": Table(
    "Synthetic clips, Kinetics' pseudo ground truth, and both.",
    (
      _FLOW_KP,
      Entry("Flow + KP, pseudo ground truth alone", "kinetics"),
      Entry("Flow + KP, both", "flow_kp_kinetics"),
    ),
    pairs=(("flow_kp_kinetics", "flow_kp"), ("flow_kp_kinetics", "kinetics")),
  ),
  "flow": Table(
    "Where the optical flow comes from.",
    (
      _FLOW._replace(label="DIS", paper=None),
      Entry("FlowNetS", "flow", {"flow.source": "flownets"}),
      Entry("RAFT, as released", "flow", {"flow.source": "raft"}),
      Entry("exact, a bound", "flow", {"flow.source": "exact", "flow.cache": False}),
    ),
    pairs=(
      ("flow-source_flownets", "flow"),
      ("flow-source_raft", "flow"),
      ("flow-source_exact-cache_False", "flow"),
    ),
    of_paper=False,
  ),
}


def _all_rows() -> Table:
  """The rows of all other tables, each once, and what the paper finds of them."""
  entries: dict[str, Entry] = {}
  pairs: dict[tuple[str, str], None] = {}
  for table in _PROXY_TABLES.values():
    for entry in table.entries:
      entries.setdefault(entry.run, entry)
    pairs |= dict.fromkeys(table.pairs if table.of_paper else ())
  return Table(
    "The paper's own test.", tuple(entries.values()), ("3dpw",), tuple(pairs)
  )


TABLES = {**_PROXY_TABLES, "3dpw": _all_rows()}
