"""Finds the 2D keypoints of the people in a video.

  python -m mhmr_jax.keypoints.detect --video=FILE --out=FILE.npz

Writes `keypoints` [N, P, 17, 3] (COCO's points as x, y px and score, NaN for missing)
and `person` [N, P] (the number by which `predict --person` takes each of them; -1 for
nobody). It needs no JAX, so it can run in an environment made for the detector.
"""

from etils import epy

from mhmr_jax.errors import InputError
from mhmr_jax.files import atomic
from mhmr_jax.keypoints import keypoint_flags
from mhmr_jax.runtime import program

# Imported at their first use: `--help` does without what takes seconds to import.
with epy.lazy_imports():
  from mhmr_jax.files import video
  from mhmr_jax.keypoints import detection, tracking
  from mhmr_jax.keypoints.formats import detections_npz


def main(argv: list[str]) -> None:
  """Reads the flags, detects the people and writes their keypoints."""
  del argv
  video_path, out = map(program.path_of, (keypoint_flags.VIDEO, program.OUT))
  if out.suffix != ".npz":
    raise InputError(f"--out={out}: name a file that ends in .npz.")
  atomic.check_free(out)
  info = video.probe(video_path)
  found = detection.detect(
    video_path, info, keypoint_flags.DETECTOR.value, keypoint_flags.weights_path()
  )
  tracks = tracking.track(found, info.fps)
  detections, person = detection.by_person(found, tracks)
  detections_npz.write(out, detections, person=person)
  print(f"{len(tracks)} people in {info.num_frames} frames:")
  for number, track in enumerate(tracks):
    frames = track.frame_index
    print(f"person {number}: {len(frames)} frames, from {frames[0]} to {frames[-1]}")
  print(out)


if __name__ == "__main__":
  program.run(main, usual=("video", "out", "detector"))
