"""One training example from its number: a moving body, seen and detected."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, UInt32

from mhmr_jax.body import posed_keypoints
from mhmr_jax.body.posed_keypoints import KeypointMoments
from mhmr_jax.body.smpl import SmplModel
from mhmr_jax.geometry import rotations as rot
from mhmr_jax.keypoints import device_corruption
from mhmr_jax.keypoints.noise import KeypointNoise
from mhmr_jax.motion.bank import MotionBank
from mhmr_jax.runtime.draws import Draws
from mhmr_jax.schema import Batch
from mhmr_jax.synth.keypoint_examples import movements, self_occlusion, viewpoints
from mhmr_jax.synth.keypoint_examples.movements import Variety
from mhmr_jax.synth.keypoint_examples.viewpoints import Viewpoint, Viewpoints

# Numbers that an example takes besides those of its frames.
_MORE = 300 + device_corruption.MORE
_MAX_BETA = 3.0
_NEAREST = 0.3  # Metres: no point comes nearer to the camera.
# Half the side of the window of a clip without any detection, in focal lengths.
_BLANK_WINDOW = 0.5


@dataclasses.dataclass(frozen=True)
class ExampleSpec:
  """The distribution of the examples.

  Attributes:
    frames: frames of an example.
    size: side of the crop in whose pixels keypoints are given.
    window_scale: side of the crop window over the longer side of the points' box.
    noise: the detector; None gives exact points.
    variety: how far movements depart from the captured ones.
    viewpoints: the distribution of the cameras.
  """

  frames: int
  size: int
  window_scale: float
  noise: KeypointNoise | None
  variety: Variety
  viewpoints: Viewpoints


def make_batch(
  spec: ExampleSpec,
  bank: MotionBank,
  body: SmplModel,
  moments: KeypointMoments,
  key: UInt32[Array, "2"],
  numbers: UInt32[Array, "batch"],
) -> Batch:
  """Makes the examples with these numbers.

  Args:
    spec: the distribution of the examples.
    bank: the motions.
    body: the free body, or the user's.
    moments: the `posed_keypoints.moments` of the body.
    key: the data of the seed's key.
    numbers: the examples' numbers; with the key, each alone decides its example.
  """

  def make(number: UInt32[Array, ""]) -> Batch:
    own = jax.random.fold_in(jax.random.wrap_key_data(key), number)
    return _example(spec, bank, body, moments, own)

  batch: Batch = jax.vmap(make)(numbers)
  return batch


def _example(
  spec: ExampleSpec,
  bank: MotionBank,
  body: SmplModel,
  moments: KeypointMoments,
  key: PRNGKeyArray,
) -> Batch:
  draws = Draws(
    key,
    normals=spec.frames * device_corruption.NORMALS + _MORE,
    uniforms=spec.frames * device_corruption.UNIFORMS + _MORE,
  )
  movement = movements.draw(bank, draws, spec.frames, spec.variety)
  view = viewpoints.draw(draws, spec.viewpoints)
  betas = jnp.clip(draws.normal(10), -_MAX_BETA, _MAX_BETA)

  turned = rot.product(view.rotation, movement.rotations[:, 0])
  rotations = movement.rotations.at[:, 0].set(turned)
  keypoints, joints = posed_keypoints.keypoints_and_joints(
    body, moments, rotations, betas
  )
  place = _path(movement.transl, view) - joints[:, :1]
  joints, keypoints = joints + place, keypoints + place

  hidden = self_occlusion.hidden_points(keypoints)
  seen = _project(keypoints, view)
  if spec.noise is None:
    detected = jnp.concatenate([seen, jnp.ones((*seen.shape[:-1], 1))], axis=-1)
  else:
    detected = device_corruption.corrupt(seen, hidden, draws, spec.noise)
  window = _window(detected, spec.window_scale)
  down = view.rotation @ jnp.array([0.0, -1.0, 0.0])
  return Batch(
    keypoints=_to_crop(detected, window, spec.size),
    window=window,
    rotations=rotations,
    betas=betas,
    joints_camera=joints,
    joints_crop=(_project(joints, view) - window[:2]) / window[2],
    gravity=jnp.broadcast_to(down, (spec.frames, 3)),
    standing=movement.standing,
    valid=jnp.ones(spec.frames, bool),
  )


def _path(transl: Float[Array, "time 3"], view: Viewpoint) -> Float[Array, "time 1 3"]:
  """The pelvis in the camera's frame; the person's mean place is where it looks."""
  relative = transl - jnp.mean(transl, axis=0)
  moved = jnp.sum(view.rotation * relative[:, None], axis=-1) * (1 - view.followed)
  middle = view.distance * jnp.append(view.aside, 1.0)
  return (middle + moved)[:, None]


def _project(
  points: Float[Array, "*batch 3"], view: Viewpoint
) -> Float[Array, "*batch 2"]:
  """Projects onto the image, in units of the focal length that is assumed."""
  return view.focal * points[..., :2] / jnp.maximum(points[..., 2:], _NEAREST)


def _window(detected: Float[Array, "time 17 3"], scale: float) -> Float[Array, "3"]:
  """The square window round all detections: its centre and half its side."""
  found = detected[..., 2:] > 0
  low = jnp.min(jnp.where(found, detected[..., :2], jnp.inf), axis=(0, 1))
  high = jnp.max(jnp.where(found, detected[..., :2], -jnp.inf), axis=(0, 1))
  half = scale / 2 * jnp.maximum(jnp.max(high - low), 1e-2)
  window = jnp.append((low + high) / 2, half)
  return jnp.where(jnp.any(found), window, jnp.array([0.0, 0.0, _BLANK_WINDOW]))


def _to_crop(
  detected: Float[Array, "time 17 3"], window: Float[Array, "3"], size: int
) -> Float[Array, "time 17 3"]:
  """Converts to crop pixels; missing points stay zero."""
  pixels = ((detected[..., :2] - window[:2]) / window[2] + 1) * (size / 2)
  score = detected[..., 2:]
  return jnp.concatenate([jnp.where(score > 0, pixels, 0.0), score], axis=-1)
