"""Windows of motion, made more varied than what was captured.

Captured people are mostly upright and do one thing at a time. Windows are played at
another speed and mirrored, take arms or legs from another window, and some are bent:
the pelvis is tilted while the legs are turned back.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from mhmr_jax.body import smpl
from mhmr_jax.body.joints import SMPL_JOINTS
from mhmr_jax.geometry import rotations as rot
from mhmr_jax.motion.bank import MotionBank
from mhmr_jax.runtime.draws import Draws


@dataclasses.dataclass(frozen=True)
class Variety:
  """How far windows may depart from the captured motion.

  Attributes:
    speed: the largest factor on the speed; the smallest is its inverse.
    exchanged: chance that both arms, or all of the upper body, come from another
      window.
    exchanged_leg: chance that one leg comes from another window.
    offset: standard deviation of each joint's constant turn, degrees.
    bent: chance that a window is bent.
  """

  speed: float = 1.5
  exchanged: float = 0.3
  exchanged_leg: float = 0.1
  offset: float = 5.0
  bent: float = 0.35


class Movement(NamedTuple):
  """A window of motion in the world; y is up."""

  rotations: Float[Array, "time 24 3 3"]  # Parent-relative.
  transl: Float[Array, "time 3"]
  standing: Bool[Array, "time 2"]  # The left and the right foot stand still.


def _mask(*words: str) -> Bool[np.ndarray, "24"]:
  return np.array([any(word in name for word in words) for name in SMPL_JOINTS])


_ARMS = _mask("collar", "shoulder", "elbow", "wrist", "hand")
_UPPER = _ARMS | _mask("spine", "neck", "head")
_LEGS = np.stack(
  [
    _mask(*(f"{side}_{joint}" for joint in ("hip", "knee", "ankle", "foot")))
    for side in ("left", "right")
  ]
)
_HIPS = np.array([SMPL_JOINTS.index("left_hip"), SMPL_JOINTS.index("right_hip")])
# The standard deviation of the constant turns of a bent window's joints, degrees.
_BENT_OFFSETS = np.zeros(24, np.float32)
for _words, _degrees in (
  (("hip",), 12.0),
  (("shoulder",), 20.0),
  (("collar", "spine"), 5.0),
  (("neck", "head"), 10.0),
):
  _BENT_OFFSETS[_mask(*_words)] = _degrees
# The pelvis' tilt forward and its standard deviations about x, y and z, degrees.
_TILT_MEAN = (10.0, 0.0, 0.0)
_TILT_SPREAD = (30.0, 8.0, 12.0)


def draw(bank: MotionBank, draws: Draws, frames: int, variety: Variety) -> Movement:
  """Draws one window.

  Args:
    bank: the motions.
    draws: hands out the random numbers.
    frames: how many frames the window has.
    variety: how far it departs from the captured motion.
  """
  movement = _window(bank, draws, frames, variety)
  other = _window(bank, draws, frames, variety)
  movement = _exchange(movement, other, draws, variety)
  movement = _mirror(movement, draws.happens(0.5))
  turns = _turns(draws, variety)
  rotations = rot.product(movement.rotations, turns.offset)
  rotations = rotations.at[:, 0].set(rot.product(rotations[:, 0], turns.tilt))
  rotations = rotations.at[:, _HIPS].set(rot.product(turns.back, rotations[:, _HIPS]))
  return movement._replace(rotations=rotations)


def _window(bank: MotionBank, draws: Draws, frames: int, variety: Variety) -> Movement:
  """A window of one motion at another speed; short motions stop at their end."""
  which, place, rate = draws.uniform(3)
  # Rounding may leave the last cumulated chance below 1.
  motion = jnp.searchsorted(bank.cumulative, which * 0.999999)
  speed = variety.speed ** (2 * rate - 1)
  last = (bank.lengths[motion] - 1).astype(jnp.float32)
  start = place * jnp.maximum(last - (frames - 1) * speed, 0)
  position = jnp.clip(start + jnp.arange(frames) * speed, 0, last)
  before = jnp.minimum(position.astype(jnp.int32), bank.lengths[motion] - 2)
  part = position - before
  index = bank.starts[motion] + before

  def between(values: Array) -> Array:
    weight = part.reshape(-1, *[1] * (values.ndim - 1))
    early = values[index].astype(jnp.float32)
    return early + weight * (values[index + 1].astype(jnp.float32) - early)

  return Movement(
    # The blend of two near rotations is made a rotation again.
    rotations=rot.rot6d_to_matrix(between(bank.rot6d)),
    transl=between(bank.transl),
    standing=bank.standing[index],
  )


def _exchange(
  movement: Movement, other: Movement, draws: Draws, variety: Variety
) -> Movement:
  """Takes the arms, the upper body or a leg from the other window, if it so happens."""
  upper, leg, which = draws.uniform(3)
  chance = variety.exchanged
  legs = jnp.asarray(_LEGS)[(which < 0.5).astype(jnp.int32)]
  taken = (upper < chance / 2) & _ARMS | (upper > 1 - chance / 2) & _UPPER
  takes_leg = leg < variety.exchanged_leg
  taken = taken | (takes_leg & legs)
  rotations = jnp.where(taken[:, None, None], other.rotations, movement.rotations)
  # Whether a leg from another window stands is not known.
  return movement._replace(rotations=rotations, standing=movement.standing & ~takes_leg)


def _mirror(movement: Movement, mirrored: Bool[Array, ""]) -> Movement:
  """Mirrors a window left to right, if it so happens."""
  other = Movement(
    rotations=smpl.mirror_rotations(movement.rotations),
    transl=movement.transl * jnp.array([-1.0, 1, 1]),
    standing=movement.standing[:, ::-1],
  )
  return jax.tree.map(lambda new, old: jnp.where(mirrored, new, old), other, movement)


class _Turns(NamedTuple):
  """The constant turns of a window's joints."""

  offset: Float[Array, "24 3 3"]
  tilt: Float[Array, "3 3"]  # The rotation of the pelvis.
  back: Float[Array, "2 3 3"]  # Those of both hips, against the tilt.


def _turns(draws: Draws, variety: Variety) -> _Turns:
  bent = draws.happens(variety.bent).astype(jnp.float32)
  normal = draws.normal(2, 24, 3)
  # The pelvis has none: the camera's draw turns the person.
  spread = jnp.full((24, 1), variety.offset).at[0].set(0.0)
  degrees = normal[0] * spread + bent * normal[1] * _BENT_OFFSETS[:, None]
  tilt = jnp.array(_TILT_MEAN) + jnp.array(_TILT_SPREAD) * draws.normal(3)
  tilt = bent * jnp.radians(tilt)
  share = draws.uniform(2, 1, low=0.3, high=1.2)
  return _Turns(
    offset=rot.axis_angle_to_matrix(jnp.radians(degrees)),
    tilt=rot.axis_angle_to_matrix(tilt),
    back=rot.axis_angle_to_matrix(-share * tilt),
  )
