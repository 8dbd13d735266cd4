"""Optimises bodies so that their projections agree with 2D keypoints.

The optimisation starts from the network's rotations, and stays near them. All frames of
all people are one problem: the sum over frames of the robust distance of COCO-17 from
the detected points, of the distance from the network's rotations, of the pose's
negative log density under a prior, and of the accelerations. The frames of a person are
linked by the accelerations and by one shape.

A person's place in a frame is described by the pelvis' shift in the image and by the
logarithm of its depth, both relative to where the optimisation starts. Every unknown
is then of the order of one, whatever the focal length and the distance, and no depth
is negative.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from mhmr_jax.body import posed_keypoints, smpl
from mhmr_jax.geometry import rotations as rot
from mhmr_jax.motion import pose_prior

# Half windows; the error of a point counts half at this distance (Geman and McClure).
_ROBUST = 0.15
# Half windows; points beyond have no gradient. The largest errors stay finite.
_FARTHEST = 100.0
# Half windows: a frame whose points lie so far from the network's body counts half.
_DISAGREEMENT = 0.3
_MIN_DEPTH = 0.1  # Metres; nearer points are projected as if they were there.
_RATE = 0.02
# Adam divides by a gradient's size: below this size it is rounding.
_SMALLEST_GRADIENT = 1e-5


class Weights(NamedTuple):
  """The weights of the terms; each is a mean over the frames' points or joints."""

  keypoints: float = 100.0
  rotations: float = 0.8
  joints_acceleration: float = 60.0
  pelvis_acceleration: float = 30.0
  prior: float = 1e-3
  betas: float = 1e-3


class Body(NamedTuple):
  """What the optimisation knows about bodies."""

  model: smpl.SmplModel
  moments: posed_keypoints.KeypointMoments
  prior: pose_prior.PosePrior


class Frames(NamedTuple):
  """The frames of several people, and what is known about each.

  `rays` are points of the image (u - c) / f, for a principal point c and a focal
  length f; `half_window` is the network's crop in the same unit. A frame whose `score`s
  are all 0 keeps the network's rotations, except for the smoothing.
  """

  rotations: Float[Array, "people time 24 3 3"]  # The network's.
  pelvis_ray: Float[Array, "people time 2"]  # To start from.
  depth: Float[Array, "people time"]  # The pelvis' depth to start from, m.
  rays: Float[Array, "people time 17 2"]  # The detected points.
  score: Float[Array, "people time 17"]  # The weight of each; 0 where missing.
  half_window: Float[Array, "people time 2"]
  trust: Float[Array, "people time 24"]  # In the network's rotation of each joint.
  valid: Bool[Array, "people time"]  # False for padding.
  segment: Int[Array, "people time"]  # Frames of different segments aren't linked.


class Fitted(NamedTuple):
  """The optimised bodies."""

  rotations: Float[Array, "people time 24 3 3"]
  betas: Float[Array, "people 10"]
  pelvis_camera: Float[Array, "people time 3"]  # m.


class _Unknowns(NamedTuple):
  rot6d: Float[Array, "people time 24 6"]
  betas: Float[Array, "people 10"]
  shift: Float[Array, "people time 2"]  # The pelvis' in the image; half windows.
  log_depth: Float[Array, "people time"]  # Relative to the start.


@jax.jit
def fit(
  body: Body,
  frames: Frames,
  betas: Float[Array, "people 10"],
  acceleration_unit: Float[Array, ""],
  weights: Weights,
  *,
  steps: int | Int[Array, ""],
  fit_betas: bool | Bool[Array, ""],
) -> Fitted:
  """Minimises the objective by Adam (Kingma and Ba 2015).

  Every term is a sum over frames, and Adam scales each unknown by its own gradients:
  neither other people nor distant frames change a result.

  Args:
    body: the body of all people.
    frames: the frames of all people.
    betas: the shape to start from and to stay near.
    acceleration_unit: (frames a second / 30)², by which second differences are
      multiplied, less in the first half of the steps; 0 leaves the frames independent.
    weights: the weights of the terms.
    steps: how many to take; the length of the last third declines to zero.
    fit_betas: whether the shape is optimised, too.
  """
  import optax  # It takes long, and most predictions need no fit.

  start = _start(frames, betas)
  frames = frames._replace(score=frames.score * _frame_weight(start, body, frames))

  def objective(unknowns: _Unknowns, step: Int[Array, ""]) -> Float[Array, ""]:
    # Linked from the first step on, the frames would move too slowly.
    unit = acceleration_unit * jnp.minimum(1, 2 * step / steps)
    return _objective(unknowns, body, frames, betas, unit, weights)

  optimizer = optax.chain(
    optax.scale_by_adam(eps=_SMALLEST_GRADIENT),
    optax.scale_by_schedule(lambda step: -_RATE * jnp.minimum(1, 3 - 3 * step / steps)),
  )

  def step(number: Int[Array, ""], state: tuple[_Unknowns, Any]) -> tuple:
    unknowns, moments = state
    gradient = jax.grad(objective)(unknowns, number)
    gradient = gradient._replace(betas=jnp.where(fit_betas, gradient.betas, 0))
    update, moments = optimizer.update(gradient, moments)
    return optax.apply_updates(unknowns, update), moments

  state = (start, optimizer.init(start))
  found, _ = jax.lax.fori_loop(0, steps, step, state)
  rotations = rot.rot6d_to_matrix(found.rot6d)
  return Fitted(rotations, found.betas, _pelvis(found, frames))


def _start(frames: Frames, betas: Float[Array, "people 10"]) -> _Unknowns:
  return _Unknowns(
    rot.matrix_to_rot6d(frames.rotations),
    betas,
    jnp.zeros_like(frames.pelvis_ray),
    jnp.zeros_like(frames.depth),
  )


def _frame_weight(
  start: _Unknowns, body: Body, frames: Frames
) -> Float[Array, "people time 1"]:
  """The factor of a frame's scores: less where the network's body lies far off.

  Where the network and the detector disagree, either may be wrong, and the fit trusts
  the points less. The distance is the root of the mean square, weighted by the scores.
  """
  keypoints, joints = _posed(frames.rotations, start.betas, body)
  square = _square_error(keypoints - joints[:, :, :1], _pelvis(start, frames), frames)
  total = jnp.sum(frames.score, axis=-1, keepdims=True)
  weighted = jnp.sum(frames.score * square, axis=-1, keepdims=True)
  mean = weighted / jnp.where(total > 0, total, 1)
  return _DISAGREEMENT**2 / (_DISAGREEMENT**2 + mean)


def _objective(
  unknowns: _Unknowns,
  body: Body,
  frames: Frames,
  network_betas: Float[Array, "people 10"],
  acceleration_unit: Float[Array, ""],
  weights: Weights,
) -> Float[Array, ""]:
  rotations = rot.rot6d_to_matrix(unknowns.rot6d)
  keypoints, joints = _posed(rotations, unknowns.betas, body)
  root = joints[:, :, :1]
  pelvis = _pelvis(unknowns, frames)

  square = _square_error(keypoints - root, pelvis, frames)
  robust = square * _ROBUST**2 / (square + _ROBUST**2)
  away = jnp.sum(jnp.square(rotations - frames.rotations), axis=(-1, -2))
  # Without points there is nothing that a prior has to complete.
  evidence = jnp.mean(frames.score, axis=-1)
  surprise = pose_prior.negative_log_density(body.prior, rotations)
  of_frame = (
    weights.keypoints * jnp.mean(frames.score * robust, axis=-1)
    + weights.rotations * jnp.mean(frames.trust * away, axis=-1)
    + weights.prior * evidence * surprise
    + weights.betas
    * jnp.mean(jnp.square(unknowns.betas - network_betas), axis=-1)[:, None]
  )
  linked = (frames.segment[:, 2:] == frames.segment[:, :-2]) & frames.valid[:, 2:]
  acceleration = weights.joints_acceleration * jnp.mean(
    _second_difference(joints - root, acceleration_unit), axis=-1
  ) + weights.pelvis_acceleration * _second_difference(pelvis, acceleration_unit)
  return jnp.sum(jnp.where(frames.valid, of_frame, 0)) + jnp.sum(
    jnp.where(linked, acceleration, 0)
  )


def _posed(
  rotations: Float[Array, "people time 24 3 3"],
  betas: Float[Array, "people 10"],
  body: Body,
) -> tuple[Float[Array, "people time 17 3"], Float[Array, "people time 24 3"]]:
  return posed_keypoints.keypoints_and_joints(
    body.model, body.moments, rotations, betas[:, None]
  )


def _pelvis(unknowns: _Unknowns, frames: Frames) -> Float[Array, "people time 3"]:
  depth = (frames.depth * jnp.exp(unknowns.log_depth))[..., None]
  ray = frames.pelvis_ray + frames.half_window * unknowns.shift
  return jnp.concatenate([ray * depth, depth], axis=-1)


def _square_error(
  keypoints: Float[Array, "people time 17 3"],
  pelvis: Float[Array, "people time 3"],
  frames: Frames,
) -> Float[Array, "people time 17"]:
  """The squared distance of projected points from the detected ones; half windows²."""
  points = keypoints + pelvis[:, :, None]
  rays = points[..., :2] / jnp.maximum(points[..., 2:], _MIN_DEPTH)
  error = (rays - frames.rays) / frames.half_window[:, :, None]
  return jnp.sum(jnp.square(jnp.clip(error, -_FARTHEST, _FARTHEST)), axis=-1)


def _second_difference(
  points: Float[Array, "people time *point 3"], unit: Float[Array, ""]
) -> Float[Array, "people inner *point"]:
  difference = points[:, 2:] - 2 * points[:, 1:-1] + points[:, :-2]
  return jnp.sum(jnp.square(unit * difference), axis=-1)
