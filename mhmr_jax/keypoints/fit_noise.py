"""Fits the keypoint noise of training to your detector's output on video.

  python -m mhmr_jax.keypoints.fit_noise --keypoints=FILE_OR_DIR \
    --keypoint_format=npz --fps=30 --out=noise.json

Train with it by `--config.keypoints.noise_file=noise.json`. `noise_fit` describes what
can be learned from detections alone; rare events need several minutes of video.
"""

import dataclasses

from etils import epy

from mhmr_jax.files import atomic
from mhmr_jax.keypoints import keypoint_flags
from mhmr_jax.runtime import program

# Imported at their first use: `--help` does without what takes seconds to import.
with epy.lazy_imports():
  from mhmr_jax.keypoints import formats, noise, noise_file, noise_fit, tracking

_DEFAULT_FPS = 30.0


def main(argv: list[str]) -> None:
  """Reads the flags, fits the noise and writes it."""
  del argv
  path, out = map(program.path_of, (keypoint_flags.KEYPOINTS, program.OUT))
  atomic.check_free(out)
  keypoint_format = program.require(keypoint_flags.FORMAT)
  fps = keypoint_flags.FPS.value or _DEFAULT_FPS
  tracks = tracking.track(formats.read(path, keypoint_format), fps)
  fitted = noise_fit.fit(tracks, fps)
  noise_file.write(out, fitted)
  default = dataclasses.asdict(noise.KeypointNoise())
  print(f"{'':18}{'fitted':>10}{'default':>10}")
  for name, value in dataclasses.asdict(fitted).items():
    print(f"{name:18}{value:10.4g}{default[name]:10.4g}")
  print(out)


if __name__ == "__main__":
  program.run(main, usual=("keypoints", "keypoint_format", "out"))
