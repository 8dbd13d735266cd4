"""Finds the 2D keypoints of the people in a video.

  python -m mhmr_jax.keypoints.detect --video=FILE --out=FILE.npz

Writes `keypoints` [N, P, 17, 3] (x, y px and score of COCO's points, NaN for missing)
and `person` [N, P] (who each is: the number that `predict --person` takes; -1 for
nobody). It needs no JAX, so it can run in an environment of the detector's own.
"""

from mhmr_jax.errors import InputError
from mhmr_jax.files import video
from mhmr_jax.keypoints import detection, formats, keypoint_flags, tracking
from mhmr_jax.runtime import program


def main(argv: list[str]) -> None:
  """Reads the flags and detects."""
  del argv
  video_path, out = map(program.path_of, (keypoint_flags.VIDEO, program.OUT))
  if out.suffix != ".npz" or not out.parent.is_dir():
    raise InputError(
      f"--out={out}: name a file that ends in .npz, in a folder that exists."
    )
  info = video.probe(video_path)
  found = detection.detect(
    video_path, info, keypoint_flags.DETECTOR.value, keypoint_flags.weights_path()
  )
  tracks = tracking.track(found, info.fps)
  detections, person = detection.by_person(found, tracks)
  try:
    formats.write_npz(out, detections, person=person)
  except OSError as error:
    raise InputError(
      f"{out} cannot be written ({error.strerror}): name another by --out."
    ) from error
  print(f"{len(tracks)} people in {info.num_frames} frames:")
  for number, track in enumerate(tracks):
    frames = track.frame_index
    print(f"person {number}: {len(frames)} frames, from {frames[0]} to {frames[-1]}")
  print(out)


if __name__ == "__main__":
  program.run(main)
