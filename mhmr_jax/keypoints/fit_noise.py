"""Fits the keypoint noise that training adds to what your detector gives on video.

  python -m mhmr_jax.keypoints.fit_noise --keypoints=FILE_OR_DIR \
    --keypoint_format=npz --fps=30 --out=noise.json

Train with it by `--config.keypoints.noise_file=noise.json`. `noise_fit` says what
detections alone can tell; rare events take several minutes of video to be seen.
"""

import dataclasses

from absl import flags

from mhmr_jax.errors import InputError
from mhmr_jax.keypoints import formats, keypoint_flags, noise_file, noise_fit, tracking
from mhmr_jax.keypoints.noise import KeypointNoise
from mhmr_jax.runtime import program

_FPS = flags.DEFINE_float("fps", 30.0, "Frames a second of the video.", lower_bound=1.0)


def main(argv: list[str]) -> None:
  """Reads the flags, fits and writes."""
  del argv
  path, out = map(program.path_of, (keypoint_flags.KEYPOINTS, program.OUT))
  keypoint_format = program.require(keypoint_flags.FORMAT)
  tracks = tracking.track(formats.read(path, keypoint_format), _FPS.value)
  fitted = noise_fit.fit(tracks, _FPS.value)
  try:
    noise_file.write(out, fitted)
  except OSError as error:
    raise InputError(
      f"{out} cannot be written ({error.strerror}): name another file by --out."
    ) from error
  default = dataclasses.asdict(KeypointNoise())
  print(f"{'':18}{'fitted':>10}{'default':>10}")
  for name, value in dataclasses.asdict(fitted).items():
    print(f"{name:18}{value:10.4g}{default[name]:10.4g}")
  print(out)


if __name__ == "__main__":
  program.run(main)
