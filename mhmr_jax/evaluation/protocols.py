"""The evaluation protocols: what "PA-MPJPE on 3DPW" can mean, as data.

`spin` is the protocol of SPIN (Kolotouros et al., ICCV 2019) and most papers since;
`hmmr` is that of HMMR (Kanazawa et al., CVPR 2019) and of the motion-to-the-rescue
paper; `smpl24` needs no joint regressor. In all of them the labels use the body of the
person's gender and the predictions the neutral body, and the Procrustes alignment is
per frame, with scale and without mirroring.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float

from mhmr_jax.body import joints
from mhmr_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Protocol:
  """Which joints of which frames count, and how their errors are averaged.

  Attributes:
    name: as `--protocol` has it.
    joints: their names, in order.
    regressor: a kind of `regressor_files`, or "" for the body's own 24 joints.
    rows: which rows of the regressor (or of the 24 joints) are the joints.
    root: the name of the point that is moved to the origin.
    root_rows: the rows whose mean is the root.
    frames: which frames count, of those whose label is valid: "camera", all of them;
      "visible", where strictly more than 6 of the 14 joints were detected; "camera and
      detections", where anything was detected.
    mean: over all frames ("frame"); or over each sequence and then over the sequences,
      both people of a sequence taken together ("sequence").
    split: the default split of 3DPW.
  """

  name: str
  joints: tuple[str, ...]
  regressor: str
  rows: tuple[int, ...]
  root: str
  root_rows: tuple[int, ...]
  frames: str
  mean: str
  split: str

  def readout(self, regressor: Float[np.ndarray, "K V"]) -> Float[np.ndarray, "n V"]:
    """The regressor of the joints, followed by that of the root."""
    root = regressor[list(self.root_rows)].mean(0, keepdims=True)
    return np.concatenate([regressor[list(self.rows)], root])

  def counted(
    self,
    valid: Bool[np.ndarray, "frames"],
    keypoints: Float[np.ndarray, "frames 17 3"] | None,
  ) -> Bool[np.ndarray, "frames"]:
    """The frames that count.

    Args:
      valid: whether the camera, and so the label in the camera's frame, is valid.
      keypoints: detections (x, y, score) in COCO-17's order; None if there are none.

    Raises:
      InputError: the protocol counts detections, and there are none.
    """
    if self.frames == "visible":
      if keypoints is None:
        raise InputError(
          f"Protocol {self.name} counts detected joints, and these clips have no "
          "keypoints: use spin or smpl24."
        )
      return valid & (visible_common_joints(keypoints) > _TOO_FEW_VISIBLE)
    if self.frames == "camera" or keypoints is None:
      return valid
    return valid & (keypoints != 0).any((1, 2))


_TOO_FEW_VISIBLE = 6  # Frames need more visible joints than this.
_LIMBS = [
  joints.COCO_KEYPOINTS.index(name)
  for name in joints.COMMON_JOINTS
  if name in joints.COCO_KEYPOINTS
]
_SHOULDERS = [
  joints.COCO_KEYPOINTS.index(f"{side}_shoulder") for side in ("left", "right")
]


def visible_common_joints(
  keypoints: Float[np.ndarray, "*batch 17 3"],
) -> np.ndarray:
  """Counts the detected ones (score above 0) among the 14 common joints.

  COCO-17 has 12 of them. The neck counts where both shoulders do, since detectors put
  it between them; the top of the head is never detected. (HMMR's own script takes
  heels for ankles, which 3DPW's detections lack, and asks for a score above 0.1.)
  """
  visible = keypoints[..., 2] > 0
  return visible[..., _LIMBS].sum(-1) + visible[..., _SHOULDERS].all(-1)


_HIPS = tuple(joints.COCOPLUS_JOINTS.index(name) for name in ("right_hip", "left_hip"))

SPIN = Protocol(
  name="spin",
  joints=joints.COMMON_JOINTS,
  regressor="h36m",
  rows=joints.H36M_TO_J14,
  root="H36M pelvis",
  root_rows=(joints.H36M_JOINTS.index("pelvis"),),
  frames="camera",
  mean="frame",
  split="test",
)
HMMR = Protocol(
  name="hmmr",
  joints=joints.COMMON_JOINTS,
  regressor="cocoplus",
  rows=tuple(range(14)),
  root="mid-hips",
  root_rows=_HIPS,
  frames="visible",
  mean="sequence",
  split="test",
)
SMPL24 = Protocol(
  name="smpl24",
  joints=joints.SMPL_JOINTS,
  regressor="",
  rows=tuple(range(24)),
  root="SMPL pelvis",
  root_rows=(0,),
  frames="camera and detections",
  mean="frame",
  split="all",
)
PROTOCOLS = {protocol.name: protocol for protocol in (SPIN, HMMR, SMPL24)}


def get(name: str) -> Protocol:
  """The protocol of that name; InputError if there is none."""
  if name not in PROTOCOLS:
    raise InputError(
      f"There is no protocol {name!r}: use --protocol={'|'.join(PROTOCOLS)}."
    )
  return PROTOCOLS[name]


def sequence_of(dataset: str, track: str) -> str:
  """The sequence that a clip belongs to: 3DPW's clips are <sequence>_<person>."""
  return track.rpartition("_")[0] or track if dataset == "threedpw" else track
