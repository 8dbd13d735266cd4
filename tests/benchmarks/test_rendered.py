"""The parts of the benchmark that need neither clips nor a network."""

import json

import numpy as np
import pytest

from mhmr_jax.body import smpl
from tests import motions
from tests.benchmarks import rendered
from tests.benchmarks.limb_errors import Errors


def test_somebody_else_is_not_the_person():
  motion = motions.walking(smpl.load(), frames=40)
  keypoints = np.zeros((45, 17, 3))
  middles = motion.keypoints_image.mean(axis=1)
  keypoints[motion.frame_index, :, :2] = middles[:, None] + [5, -5]
  share = rendered.found_share(motion, keypoints)
  assert share == pytest.approx(motion.detected.sum() / 45)
  assert rendered.found_share(motion, keypoints + np.array([100, 0, 0])) == 0


def test_the_table_compares_the_fit_clip_by_clip(capsys):
  clips = [
    {"off": Errors(50.0, 8.0), "on": Errors(46.0, 6.0)},
    {"off": Errors(70.0, 10.0), "on": Errors(71.0, 8.0)},
    {"off": Errors(60.0, 9.0), "on": Errors(54.0, 7.0)},
  ]
  rendered.show(clips, 1)
  first, *_, change, last = capsys.readouterr().out.splitlines()
  assert first == "3 clips; 1 in which the person is not found left out"
  assert "by -3.0 ± 2.1 mm, and lowers it in 2 of 3" in change
  assert json.loads(last) == {
    "rendered_fit_off_pa_mpjpe": 60.0,
    "rendered_fit_off_acceleration": 9.0,
    "rendered_fit_on_pa_mpjpe": 57.0,
    "rendered_fit_on_acceleration": 7.0,
    "rendered_fit_on_over_off": 0.95,
  }
