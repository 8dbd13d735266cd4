"""Writes a motion as AMASS stores motions (Mahmood et al. 2019), z up.

`poses` are SMPL-H's: SMPL's first 22 joints, and zeros for the 30 joints of the
fingers, which SMPL's two hand joints do not correspond to. `betas` are those of the
body that the key `body` names: "free", or the name of a file of SMPL's.
"""

import pathlib
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from mhmr_jax.export import even_rate
from mhmr_jax.files import npz_writer
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
  rest = _rest_pelvis(motion)
  count, trans = even_rate.count_rows(motion), []

  def poses() -> Iterator[Float[np.ndarray, "rows 156"]]:
    for part in even_rate.pose_sequences(motion):
      trans.append(_Z_UP.apply(part.transl) - rest)
      yield _poses(part.pose)

  with npz_writer.writing(path) as file:
    file.add_rows("poses", poses(), (count, _COLUMNS))
    file.add("trans", np.concatenate(trans))
    file.add("betas", np.pad(motion.betas[0].astype(np.float64), (0, _BETAS - 10)))
    file.add("gender", np.array("neutral"))
    file.add("mocap_framerate", np.array(motion.fps))
    file.add("body", np.array(motion.body))


def _poses(pose: Float[np.ndarray, "rows 24 3"]) -> Float[np.ndarray, "rows 156"]:
  body = pose[:, :_BODY_JOINTS].astype(np.float64)
  body[:, 0] = (_Z_UP * Rotation.from_rotvec(body[:, 0])).as_rotvec()
  columns = body.reshape(len(body), -1)
  return np.pad(columns, ((0, 0), (0, _COLUMNS - columns.shape[1])))


def _rest_pelvis(motion: Motion) -> Float[np.ndarray, "3"]:
  """The pelvis of the shaped body in the rest pose, which no rotation moves.

  SMPL turns the body about it, so that the pelvis of a posed body is `trans` plus this
  in every world frame.
  """
  difference = motion.joints_world[:, 0].astype(np.float64) - motion.transl_world
  return np.median(difference, axis=0)
