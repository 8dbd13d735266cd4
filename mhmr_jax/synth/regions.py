"""Decides which vertices of a body are skin, hair or clothes.

The regions follow from the rest pose and its joints alone, so that any body in SMPL's
form can be dressed, whatever its mesh.
"""

import dataclasses
import enum
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from mhmr_jax.body import joints as body_joints
from mhmr_jax.synth import skinning


def _joint(name: str) -> int:
  return body_joints.SMPL_JOINTS.index(name)


_HEAD, _NECK = _joint("head"), _joint("neck")
_LEGS = tuple(
  _joint(f"{side}_{name}")
  for side in ("left", "right")
  for name in ("hip", "knee", "ankle", "foot")
)
_ARMS = tuple(
  _joint(f"{side}_{name}")
  for side in ("left", "right")
  for name in ("shoulder", "elbow", "wrist", "hand")
)


class Region(enum.IntEnum):
  """What covers a vertex."""

  SKIN = 0
  HAIR = 1
  TOP = 2
  BOTTOM = 3
  SHOES = 4
  EYES = 5
  LIPS = 6


@dataclasses.dataclass
class Outfit:
  """Where clothes and hair end, in the coordinates of `BodyMap`."""

  sleeve: float  # Along the arm.
  trousers: float  # Along the leg.
  waist: float  # On the trunk.
  collar: float  # On the trunk.
  shoe: float  # Along the leg.
  hairline: float  # On the scalp; a head with a hairline above 1 is bald.
  long_hair: bool


class BodyMap(NamedTuple):
  """Coordinates of every vertex on the unposed body."""

  arm: Float[np.ndarray, "V"]  # Shoulder 0, elbow 1, wrist 2; -1 off the arms.
  leg: Float[np.ndarray, "V"]  # Hip 0, knee 1, ankle 2; -1 off the legs.
  trunk: Float[np.ndarray, "V"]  # Height: pelvis 0, neck 1; all vertices have it.
  scalp: Float[np.ndarray, "V"]  # Crown 1, brow and nape about 0.5; -1 off the head.
  nape: Float[np.ndarray, "V"]  # 1 on the back of neck and head, else 0.
  face: Int[np.ndarray, "V"]  # Region.EYES or Region.LIPS, else 0.
  head: Float[np.ndarray, "V"]  # 1 on head and neck, else 0.
  texture: Float[np.ndarray, "V 2"]  # Metres along and across the cloth.


def map_body(body: skinning.Body) -> BodyMap:
  """Measures the coordinates of a body's vertices in its rest pose."""
  vertices = body.v_template
  joints = body.joint_template
  part = body.part
  x, y, z = vertices.T
  on_arm, on_leg = np.isin(part, _ARMS), np.isin(part, _LEGS)
  arm_marks = np.abs(joints[[16, 18, 20, 22], 0])
  leg_marks = -joints[[1, 4, 7], 1]
  arm = np.interp(np.abs(x), arm_marks, [0, 1, 2, 2.5])
  leg = np.interp(-y, [*leg_marks, -y.min()], [0, 1, 2, 2.5])
  trunk = (y - joints[0, 1]) / (joints[_NECK, 1] - joints[0, 1])
  head = part == _HEAD
  height = (y - y[head].min()) / np.ptp(y[head])
  depth = (z - z[head].min()) / np.ptp(z[head])
  # The level 0.5 is about a line from the brow to the nape.
  scalp = np.where(head, height - 0.55 * np.maximum(depth, 0) ** 1.5 + 0.25, -1)
  behind = z < joints[_NECK, 2]
  # Sleeves run along x in a T-pose, legs and trunk along y. The depth is mixed in so
  # that patterns are not smeared along it.
  along, across = np.where(on_arm, np.abs(x), y), np.where(on_arm, y, x)
  return BodyMap(
    arm=np.where(on_arm, arm, -1),
    leg=np.where(on_leg, leg, -1),
    trunk=trunk,
    scalp=scalp,
    nape=(np.isin(part, (_HEAD, _NECK, 9)) & behind).astype(np.float32),
    face=_face(body, vertices),
    head=np.isin(part, (_HEAD, _NECK)).astype(np.float32),
    texture=np.stack([along, across + 0.7 * z], -1).astype(np.float32),
  )


def _face(
  body: skinning.Body, vertices: Float[np.ndarray, "V 3"]
) -> Int[np.ndarray, "V"]:
  """The vertices of eyes and lips, placed relative to the face's keypoints."""
  nose, *eyes = (body.keypoint_regressor @ vertices)[:3]
  region = np.zeros(len(vertices), int)
  for eye in eyes:
    region[np.linalg.norm(vertices - eye, axis=1) < 0.016] = Region.EYES
  mouth = (vertices - nose - [0, -0.045, -0.015]) / [0.03, 0.012, 0.025]
  region[(mouth**2).sum(1) < 1] = Region.LIPS
  return region


def dress(body_map: BodyMap, outfit: Outfit) -> Int[np.ndarray, "V"]:
  """Returns the `Region` of every vertex of a body that wears the outfit."""
  region = np.where(body_map.face > 0, body_map.face, Region.SKIN)
  off_limbs = (body_map.arm < 0) & (body_map.leg < 0)
  neckline = outfit.collar - 0.06 * (1 - body_map.nape)
  on_top = off_limbs & (body_map.head == 0) & (body_map.trunk < neckline)
  on_top |= (body_map.arm >= 0) & (body_map.arm < outfit.sleeve)
  on_top |= (body_map.leg >= 0) & (body_map.leg < 0.5)
  region[on_top & (body_map.trunk >= outfit.waist)] = Region.TOP
  below = body_map.trunk < outfit.waist
  on_bottom = off_limbs | (body_map.leg >= 0) & (body_map.leg < outfit.trousers)
  region[below & on_bottom & (body_map.arm < 0)] = Region.BOTTOM
  region[body_map.leg >= outfit.shoe] = Region.SHOES
  region[(body_map.scalp > outfit.hairline) & (body_map.face == 0)] = Region.HAIR
  if outfit.long_hair:
    low = (body_map.nape > 0) & (body_map.trunk > outfit.collar - 0.15)
    region[low] = Region.HAIR
  return region
