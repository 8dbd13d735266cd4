"""The ranges of the shifted domain do not overlap with those of the usual one."""

import cv2
import numpy as np

from mhmr_jax.keypoints.noise import SHIFTED as SHIFTED_NOISE
from mhmr_jax.keypoints.noise import KeypointNoise
from mhmr_jax.synth import domains

SIZE = 96


def _drawn(draw, count: int = 300) -> list:
  return [draw(np.random.default_rng(seed)) for seed in range(count)]


def _apart(usual, shifted, gap: float = 0.0) -> bool:
  """Whether no value of the one lies within the range of the other."""
  usual, shifted = np.ravel(usual), np.ravel(shifted)
  inside = (shifted > usual.min() - gap) & (shifted < usual.max() + gap)
  return not inside.any()


def test_shifted_bodies_are_others():
  usual, shifted = (
    np.stack(_drawn(domain.shape)) for domain in (domains.USUAL, domains.SHIFTED)
  )
  assert _apart(np.abs(usual).min(1), np.abs(shifted).min(1))
  assert np.abs(shifted).max() < 3


def test_shifted_cameras_are_others():
  usual, shifted = (
    _drawn(lambda rng, d=domain: d.shot(rng, SIZE))
    for domain in (domains.USUAL, domains.SHIFTED)
  )
  focal = [[shot.focal / SIZE for shot in shots] for shots in (usual, shifted)]
  assert _apart(*focal, gap=0.05)
  steep = [
    np.median([abs(np.degrees(shot.elevation)) for shot in shots])
    for shots in (usual, shifted)
  ]
  assert steep[0] < 12 < 24 < steep[1]
  tilted = [np.mean([abs(shot.roll) > 0.13 for shot in s]) for s in (usual, shifted)]
  assert tilted[0] < 0.1
  assert tilted[1] == 1


def test_shifted_sensors_and_videos_are_others():
  usual, shifted = (
    _drawn(lambda rng, d=domain: d.sensor(rng, 4, 16))
    for domain in (domains.USUAL, domains.SHIFTED)
  )
  assert _apart([s.contrast for s in usual], [s.contrast for s in shifted], 0.02)
  spread = [
    [np.ptp(s.gain.mean(0)) / s.gain.mean() for s in sensors]
    for sensors in (usual, shifted)
  ]
  assert np.quantile(spread[0], 0.99) < min(spread[1])
  videos = [_drawn(d.recording) for d in (domains.USUAL, domains.SHIFTED)]
  assert _apart(*([v.exposure for v in drawn] for drawn in videos), 0.05)
  for name in ("quality", "hold", "keyframe"):
    values = [[getattr(v.codec, name) for v in drawn if v.codec] for drawn in videos]
    assert _apart(*values)


def test_shifted_cloth_light_and_scenes_are_others():
  usual, shifted = domains.USUAL.style, domains.SHIFTED.style

  def saturation(tile):
    hsv = cv2.cvtColor(tile.astype(np.float32), cv2.COLOR_RGB2HSV)
    return float(hsv[..., 1].mean())

  cloth = [
    [saturation(tile) for tile in _drawn(lambda rng, s=style: s.cloth(rng, 64), 100)]
    for style in (usual, shifted)
  ]
  assert np.quantile(cloth[0], 0.9) < np.quantile(cloth[1], 0.05)
  # How much darker the darkest side is than the lightest.
  rng = np.random.default_rng(0)
  normals = rng.normal(0, 1, (400, 3)).astype(np.float32)
  normals /= np.linalg.norm(normals, axis=1, keepdims=True)
  contrast = []
  for style in (usual, shifted):
    shades = [light.shade(normals).mean(1) for light in _drawn(style.light, 100)]
    contrast.append([shade.min() / shade.max() for shade in shades])
  assert np.median(contrast[1]) < 0.6 * np.median(contrast[0])
  assert type(domains.USUAL.scenes) is not type(domains.SHIFTED.scenes)


def test_the_shifted_detector_shares_no_setting():
  usual, shifted = vars(KeypointNoise()), vars(SHIFTED_NOISE)
  assert all(usual[name] != shifted[name] for name in usual)
