"""Fitting the noise model to detections that it made itself, with other parameters."""

import dataclasses
import json

import numpy as np
import pytest
from absl import flags as flags_lib
from absl.testing import flagsaver

from configs import flow_kp
from mhmr_jax.body.joints import COCO_FLIP
from mhmr_jax.data import pipeline
from mhmr_jax.errors import InputError
from mhmr_jax.keypoints import fit_noise, formats, noise_file, noise_fit
from mhmr_jax.keypoints.noise import SHIFTED, KeypointNoise, corrupt
from mhmr_jax.keypoints.noise_events import find
from mhmr_jax.keypoints.tracking import Track
from tests.keypoints.people import HEIGHT, STANDING

_FRAMES = 240
_LIMBS = (7, 8, 9, 10, 13, 14, 15, 16)


def _movement(seed, frames=_FRAMES, fps=30.0):
  """Somebody who sways and swings their limbs, hidden in part for a while."""
  rng = np.random.default_rng(seed)
  time = np.arange(frames)[:, None, None] / fps
  swing = np.where(np.isin(np.arange(17), _LIMBS), 0.1, 0.01)[:, None]
  rate, phase = rng.uniform(0.3, 1.2, (17, 2)), rng.uniform(0, 6.28, (17, 2))
  points = STANDING + swing * np.sin(6.28 * rate * time + phase)
  points = HEIGHT * points + np.array([200, 40])
  visible = np.ones((frames, 17, 1))
  for point in range(5, 17):
    start = rng.integers(0, 2 * frames // 3)
    visible[start : start + frames // 3, point] = 0
  return np.append(points, visible, axis=-1).astype(np.float32)


def _tracks(noise, clips=10, **options):
  tracks = []
  for seed in range(clips):
    detections = corrupt(_movement(seed, **options), np.random.default_rng(seed), noise)
    frames = np.flatnonzero(detections[..., 2].any(axis=1))
    tracks.append(Track(frames, detections[frames]))
  return tracks


def test_finds_the_defaults():
  default = KeypointNoise()
  fitted = noise_fit.fit(_tracks(default, clips=12), 30.0)
  for name, factor in {
    "jitter": 1.4, "flicker": 1.3, "speed": 2.0, "occluded": 1.5, "quality": 2.0,
    "miss": 2.0, "miss_occluded": 1.6, "miss_limb": 2.0, "swap_limbs": 1.6,
    "outlier": 2.0, "outlier_distance": 1.4, "run": 1.3, "score_occluded": 1.3,
    "score_power": 1.5, "score_gamma": 1.6,
  }.items():  # fmt: skip
    ratio = getattr(fitted, name) / getattr(default, name)
    assert 1 / factor < ratio < factor, (name, getattr(fitted, name))


@pytest.mark.parametrize(
  ("name", "values"),
  [
    ("flicker", (0.001, 0.008)),
    ("jitter", (0.002, 0.02)),
    ("speed", (0.0, 0.25)),
    ("occluded", (1.0, 4.0)),
    ("miss", (0.0, 0.05)),
    ("miss_occluded", (0.03, 0.5)),
    ("miss_limb", (0.0, 0.05)),
    ("miss_frame", (0.0, 0.05)),
    ("swap_limbs", (0.0, 0.05)),
    ("outlier", (0.0, 0.03)),
    ("jump", (0.0, 0.05)),
    ("run", (3.0, 8.0)),
    ("score_power", (0.2, 2.0)),
    ("score_occluded", (0.2, 0.9)),
  ],
)
def test_tells_low_from_high(name, values):
  """A change of one parameter is seen in that one."""
  base = dataclasses.replace(KeypointNoise(), quality=0.0, score_constant=0.0)
  low, high = (
    getattr(
      noise_fit.fit(_tracks(dataclasses.replace(base, **{name: value})), 30.0), name
    )
    for value in values
  )
  assert high - low > 0.35 * (values[1] - values[0])
  assert high - low < 2 * (values[1] - values[0])


def test_perfect_detector():
  silent = KeypointNoise(
    **{field.name: 0.0 for field in dataclasses.fields(KeypointNoise)}
    | {"run": 5.0, "score_error": 1.0, "score_occluded": 1.0, "score_power": 1.0}
    | {"score_constant": 1.0}
  )
  fitted = noise_fit.fit(_tracks(silent, clips=4), 30.0)
  assert fitted.flicker < 1e-4
  assert fitted.jitter < 1e-3
  for name in (
    "outlier", "swap", "swap_limbs", "jump", "miss", "miss_limb", "miss_frame",
    "miss_occluded", "miss_outside",
  ):  # fmt: skip
    assert getattr(fitted, name) == pytest.approx(0, abs=1e-3), name
  assert fitted.score_constant == 1


def test_twice_the_frame_rate_is_the_same_detector():
  noise = dataclasses.replace(KeypointNoise(), run=8.0)
  tracks = _tracks(noise, frames=2 * _FRAMES, fps=60.0)
  fitted = noise_fit.fit(tracks, 60.0)
  # Every second frame of white noise is as white.
  assert fitted.flicker == pytest.approx(noise.flicker, rel=0.3)
  assert fitted.run == pytest.approx(noise.run / 2, rel=0.3)


def test_events_are_where_they_were_put():
  keypoints = _movement(0)
  points, seen = keypoints[..., :2] / HEIGHT, np.ones((_FRAMES, 17), bool)
  points = points.copy()
  legs = np.arange(11, 17)
  points[50:58, legs] = points[50:58, np.array(COCO_FLIP)[legs]]
  points[100:104, 9] += [0.3, -0.2]
  points[150:160] += [0.8, 0.0]
  points[200:, 10] += [0.3, 0.3]  # It leaps and stays.
  seen[210:213, 3] = False
  restored, events = find(points, seen)
  swaps = np.zeros((_FRAMES, 6), bool)
  swaps[50:58, 3:] = True
  np.testing.assert_array_equal(events.swaps, swaps)
  outliers = np.zeros((_FRAMES, 17), bool)
  outliers[100:104, 9] = True
  np.testing.assert_array_equal(events.outliers, outliers)
  assert np.flatnonzero(events.jumps).tolist() == list(range(150, 160))
  np.testing.assert_allclose(events.away, np.hypot(0.3, 0.2), rtol=0.2)
  assert sorted(events.runs) == [3, 4, 8, 8, 8, 10]
  np.testing.assert_allclose(
    restored[50:58], keypoints[50:58, :, :2] / HEIGHT, atol=1e-6
  )


def test_crossing_legs_are_no_swap():
  time = np.arange(120)[:, None]
  points = np.tile(STANDING, (120, 1, 1))
  swing = 0.25 * np.sin(2 * np.pi * time / 20)
  points[:, 15], points[:, 16] = (
    [0, 1] + swing * [1, 0],
    [0, 0.99] - swing * [1, 0],
  )
  _, events = find(points, np.ones((120, 17), bool))
  assert not events.swaps.any()


def test_short_tracks_cannot_be_fitted():
  with pytest.raises(InputError, match="Nobody is followed for a second"):
    noise_fit.fit(_tracks(KeypointNoise(), clips=2, frames=20), 30.0)
  with pytest.raises(InputError, match="Nobody is followed for a second"):
    noise_fit.fit([], 30.0)


def test_program_and_config(tmp_path, capsys):
  tracks = _tracks(dataclasses.replace(KeypointNoise(), miss_frame=0.0), clips=1)
  formats.write_npz(
    tmp_path / "k.npz", [person[None] for person in tracks[0].keypoints]
  )
  out = tmp_path / "noise.json"
  argv = [
    "fit_noise", f"--keypoints={tmp_path / 'k.npz'}", "--keypoint_format=npz",
    f"--out={out}",
  ]  # fmt: skip
  with flagsaver.flagsaver():
    flags_lib.FLAGS(argv)
    fit_noise.main(argv[:1])
  expected = noise_fit.fit(tracks, 30.0)
  read = noise_file.read(out)
  for name, value in dataclasses.asdict(expected).items():
    assert getattr(read, name) == pytest.approx(value, rel=0.01, abs=1e-9)
  assert "jitter" in capsys.readouterr().out
  config = flow_kp.get_config()
  assert pipeline.InputSpec.from_config(config).noise == KeypointNoise()
  config.data.variant = "shifted"
  assert pipeline.InputSpec.from_config(config).noise == SHIFTED
  config.keypoints.noise_file = str(out)
  assert pipeline.InputSpec.from_config(config).noise == read
  config.keypoints.noise = False
  assert pipeline.InputSpec.from_config(config).noise is None


@pytest.mark.parametrize(
  ("content", "message"),
  [
    ("{", "is not readable as JSON"),
    ("[" * 100_000, "is not readable as JSON"),
    ("[1]", "is not a JSON object"),
    ('{"jiter": 0.1}', "has 'jiter': use some of offset, width, jitter"),
    ('{"jitter": -0.1}', "has jitter = -0.1: give a number from 0 to 1"),
    ('{"jitter": NaN}', "has jitter = nan"),
    ('{"run": 0.5}', "has run = 0.5: give a number of frames from 1"),
    ('{"occluded": Infinity}', "give a number from 0"),
    ('{"occluded": 1' + "0" * 400 + "}", "give a number from 0"),
    ('{"miss": true}', "has miss = True"),
    ('{"correlation": 1.5}', "from 0 to 1"),
  ],
)
def test_bad_noise_file(tmp_path, content, message):
  path = tmp_path / "noise.json"
  path.write_text(content)
  with pytest.raises(InputError, match=message):
    noise_file.read(path)
  path.write_text(json.dumps({"miss": 0.5}))
  assert noise_file.read(path) == dataclasses.replace(KeypointNoise(), miss=0.5)
