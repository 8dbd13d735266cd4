"""What `summary.json` says of a person."""

import json

import numpy as np

from mhmr_jax.body import smpl
from mhmr_jax.export import summary
from tests import motions


def test_frames_are_counted_and_gaps_named():
  motion = motions.walking(smpl.load(), frames=40)
  swapped = np.zeros((40, 2), bool)
  swapped[3:6, 0] = swapped[5:9, 1] = True
  there = np.r_[:20, 24:40]
  frame_index = np.arange(40)[there] + 3
  motion = motion._replace(
    frame_index=frame_index,
    times=frame_index / 30,
    detected=motion.detected[there],
    swapped=swapped[there],
    confidence=motion.confidence[there],
  )
  described = summary.describe(motion)
  assert described["frames"] == 36
  assert described["frames_detected"] == motion.detected.sum()
  assert described["frames_swapped"] == 6
  assert described["gaps"] == [[23, 26]]


def test_everybody_who_was_followed_is_listed_once(tmp_path):
  one = motions.walking(smpl.load(), frames=12)._replace(person=2)
  followed = [
    {"person": number, "first_frame": number, "short": number == 2} for number in (0, 2)
  ]
  summary.write(tmp_path / "summary.json", [one], "run.mp4", followed)
  written = json.loads((tmp_path / "summary.json").read_text())
  (shown,) = written["people"]
  assert (shown["person"], shown["short"], shown["frames"]) == (2, True, 12)
  assert written["left_out"] == followed[:1]
