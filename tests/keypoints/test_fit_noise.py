"""The program that fits keypoint noise."""

import dataclasses

import pytest
from absl import flags as flags_lib
from absl.testing import flagsaver

from mhmr_jax.keypoints import fit_noise, noise_file, noise_fit
from mhmr_jax.keypoints.formats import detections_npz
from mhmr_jax.keypoints.noise import KeypointNoise
from tests.keypoints.people import tracks


def test_program(tmp_path, capsys):
  (track,) = tracks(dataclasses.replace(KeypointNoise(), miss_frame=0.0), clips=1)
  detections_npz.write(tmp_path / "k.npz", [person[None] for person in track.keypoints])
  out = tmp_path / "noise.json"
  argv = [
    "fit_noise", f"--keypoints={tmp_path / 'k.npz'}", "--keypoint_format=npz",
    f"--out={out}",
  ]  # fmt: skip
  with flagsaver.flagsaver():
    flags_lib.FLAGS(argv)
    fit_noise.main(argv[:1])
  expected = noise_fit.fit([track], 30.0)
  read = noise_file.read(out)
  for name, value in dataclasses.asdict(expected).items():
    assert getattr(read, name) == pytest.approx(value, rel=0.01, abs=1e-9)
  assert "jitter" in capsys.readouterr().out
