"""Writes a motion as AMASS stores them (Mahmood et al. 2019), z up.

`poses` are SMPL-H's: SMPL's first 22 joints, and zeros for the 30 of the fingers, whose
place SMPL's two hand joints don't have. `betas` are those of the body that the key
`body` names, "free" or the name of a file of SMPL's.
"""

import pathlib

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from mhmr_jax.export import even_rate
from mhmr_jax.files import atomic
from mhmr_jax.schema import Motion

_BODY_JOINTS = 22  # SMPL's without its hands.
_COLUMNS = 156  # SMPL-H's 52 joints.
_BETAS = 16
_Z_UP = Rotation.from_rotvec([np.pi / 2, 0, 0])  # y up becomes z up; x stays.


def write(path: pathlib.Path, motion: Motion) -> None:
  """Writes a compressed .npz file of one person, at the video's average frame rate.

  Raises:
    InputError: the file cannot be written.
  """
  sequence = even_rate.pose_sequence(motion)
  poses = np.zeros((len(sequence), _COLUMNS))
  body = sequence.pose[:, :_BODY_JOINTS].astype(np.float64)
  body[:, 0] = (_Z_UP * Rotation.from_rotvec(body[:, 0])).as_rotvec()
  poses[:, : 3 * _BODY_JOINTS] = body.reshape(len(sequence), -1)
  with atomic.whole(path) as partial:
    np.savez_compressed(
      partial,
      poses=poses,
      trans=_Z_UP.apply(sequence.transl) - _rest_pelvis(motion),
      betas=np.pad(motion.betas[0].astype(np.float64), (0, _BETAS - 10)),
      gender=np.array("neutral"),
      mocap_framerate=np.array(sequence.fps),
      body=np.array(motion.body),
    )


def _rest_pelvis(motion: Motion) -> Float[np.ndarray, "3"]:
  """The pelvis of the shaped body in the rest pose, which no rotation moves.

  SMPL turns the body about it, so that the pelvis of a posed body is `trans` plus this
  in every world frame.
  """
  difference = motion.joints_world[:, 0].astype(np.float64) - motion.transl_world
  return np.median(difference, axis=0)
