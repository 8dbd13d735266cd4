"""Fits a pose prior to the poses of a folder of motion.

  python -m mhmr_jax.motion.fit_pose_prior --motion=FOLDER --out=prior.safetensors

The folder holds motion capture, as `config.data.motion` names it; without one, the
poses are those of procedural motion. Only the training split is read. The program
prints how likely the poses of the other split are.
"""

from typing import TYPE_CHECKING

from absl import flags
from etils import epy

from mhmr_jax.files import atomic
from mhmr_jax.runtime import program

# Imported at their first use: `--help` does without what takes seconds to import.
with epy.lazy_imports():
  import jax
  import numpy as np

  from mhmr_jax.body import joints
  from mhmr_jax.geometry import rotations as rot
  from mhmr_jax.motion import library, pose_prior

if TYPE_CHECKING:
  from jaxtyping import Float

_MOTION = flags.DEFINE_string(
  "motion", "", "A folder of motion capture; procedural motion if it is empty."
)
_POSES = flags.DEFINE_integer(
  "poses", 12_000, "How many poses to draw; each is used mirrored too.", lower_bound=100
)
_COMPONENTS = 8
_HELD_OUT = 2_000
_FRAMES = 60
_EVERY = 6  # Neighbouring frames hardly differ.


def draw_poses(
  motions: "library.MotionSource",
  split: str,
  count: int,
  rng: "np.random.Generator",
) -> 'Float[np.ndarray, "_ 24 3"]':
  """Draws poses of a split, axis-angle, and appends all of them mirrored.

  Raises:
    InputError: the split has no motion of two seconds.
  """
  drawn = [
    motions.sample(rng, split, _FRAMES).pose[rng.integers(_EVERY) :: _EVERY]
    for _ in range(-(-count * _EVERY // _FRAMES))
  ]
  poses = np.concatenate(drawn)[:count]
  return np.concatenate([poses, joints.flip_pose(poses)]).astype(np.float32)


def main(argv: list[str]) -> None:
  """Reads the flags, fits the prior and writes it."""
  del argv
  out = program.path_of(program.OUT)
  atomic.check_free(out)
  motions = library.open_motions(_MOTION.value)
  rng = np.random.default_rng(0)
  poses = draw_poses(motions, "train", _POSES.value, rng)
  held_out = draw_poses(motions, "test", min(_HELD_OUT, _POSES.value), rng)
  prior = pose_prior.fit(poses, _COMPONENTS, rng)
  pose_prior.write(out, prior)
  surprise = jax.jit(
    lambda pose: pose_prior.negative_log_density(prior, rot.axis_angle_to_matrix(pose))
  )
  for name, some in (("training", poses[: len(held_out)]), ("held-out", held_out)):
    print(f"{float(np.mean(surprise(some))):.1f} nats a pose on {name} poses")
  print(out)


if __name__ == "__main__":
  program.run(main, usual=("motion", "out"))
