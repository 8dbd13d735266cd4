"""Writes `summary.json`: who was seen in a video, and when."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from mhmr_jax.files import atomic
from mhmr_jax.schema import Motion


def write(
  path: pathlib.Path,
  motions: Sequence[Motion],
  video_name: str,
  followed: Sequence[dict[str, Any]] = (),
  live: Mapping[str, int | float] | None = None,
) -> None:
  """Writes a JSON file.

  Its keys: `video`, the video's name; `camera_motion`; `people`, one entry a person
  that has files, what is known of them from `followed` and `describe`; `left_out`, the
  entries of `followed` of people who have no files; and `live`, where it is given.

  Args:
    path: the path of the file.
    motions: the motions of at least one person.
    video_name: the video's name.
    followed: what is known of everybody who was followed; the key `person` has their
      number.
    live: what `live_rows.LiveRows.summary` returns, for a stream.

  Raises:
    InputError: the file cannot be written.
  """
  known = {person["person"]: person for person in followed}
  summary: dict[str, Any] = {
    "video": video_name,
    "camera_motion": motions[0].camera_motion,
    "people": [known.pop(one.person, {}) | describe(one) for one in motions],
    "left_out": list(known.values()),
  }
  if live is not None:
    summary["live"] = dict(live)
  atomic.write(path, json.dumps(summary, indent=2) + "\n")


def describe(motion: Motion) -> dict[str, Any]:
  """Describes when a person is seen: frames, seconds, gaps, and the confidence.

  `frames_swapped` counts the frames in which a swap of the keypoints' left and right
  was undone.
  """
  frames = motion.frame_index
  rows = range(1, len(frames))
  return {
    "person": motion.person,
    "first_frame": int(frames[0]),
    "last_frame": int(frames[-1]),
    "first_second": round(float(motion.times[0]), 3),
    "last_second": round(float(motion.times[-1]), 3),
    "frames": len(frames),
    "frames_detected": int(motion.detected.sum()),
    "frames_swapped": int(motion.swapped.any(axis=1).sum()),
    "gaps": [
      [int(frames[row - 1]) + 1, int(frames[row]) - 1]
      for row in rows
      if frames[row] > frames[row - 1] + 1
    ],
    "confidence": round(float(motion.confidence.mean()), 3),
  }
