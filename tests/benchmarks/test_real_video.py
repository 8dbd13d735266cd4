"""The parts of the benchmark that need neither the recording nor a network."""

import json

import numpy as np
import pytest

from tests.benchmarks import limb_errors, real_video
from tests.benchmarks.balancing_man import Recording, View
from tests.benchmarks.limb_errors import Errors


@pytest.fixture
def recording(tmp_path):
  """Two views at 60 fps; the truth of the first frame is not known."""
  truth = np.random.default_rng(0).normal(0, 0.4, (40, 12, 3))
  truth[0] = np.nan
  up = np.array([0, -1.0, 0])
  views = tuple(View(name, tmp_path, tmp_path, up) for name in ("a", "b"))
  return Recording(views, 60.0, truth, np.zeros((40, 2, 3)))


@pytest.mark.parametrize("first", [0, 1])
def test_only_the_frames_that_the_network_is_given_count(recording, first):
  frames = np.arange(first, 40)
  joints = recording.truth[frames]
  joints[1::2] += np.random.default_rng(1).normal(0, 1, joints[1::2].shape)
  assert max(real_video.errors_in(frames, joints, recording)) < 0.05


def test_table_and_json_have_the_means_and_ratios(recording, capsys):
  table = {
    "given": [Errors(40.0, 4.0), Errors(60.0, 8.0)],
    "world_landmarks": [Errors(90.0, 1.0), Errors(110.0, 3.0)],
  }
  real_video.show(table, recording)
  *lines, last = capsys.readouterr().out.splitlines()
  assert lines[1].split()[-3:] == ["40.0", "60.0", "50.0"]
  result = json.loads(last)
  noise = limb_errors.acceleration_noise(recording.truth[1::2], 30.0)
  assert result.pop("real_video_truth_acceleration_noise") == pytest.approx(noise, 1e-3)
  assert float(lines[-1].split()[-1]) == pytest.approx(noise, abs=0.06)
  assert result == {
    "real_video_given_pa_mpjpe": 50.0,
    "real_video_given_acceleration": 6.0,
    "real_video_given_over_world_landmarks": 0.5,
    "real_video_world_landmarks_pa_mpjpe": 100.0,
    "real_video_world_landmarks_acceleration": 2.0,
  }
