"""The iterative regressor from a frame's features to a SMPL body and a camera."""

import functools
import itertools
from collections.abc import Sequence
from typing import NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from mhmr_jax.body import posed_keypoints, smpl
from mhmr_jax.body.joints import SMPL_JOINTS
from mhmr_jax.geometry import rotations
from mhmr_jax.models.coordinates import SmoothCrop
from mhmr_jax.schema import Prediction

NUM_BETAS = 10
# The size of a rotation in each representation. Those of "6d_camera" are in the
# camera's frame, all others relative to the joint's parent: a limb's direction in the
# image then depends on one rotation, and not on all of its chain.
POSE_REPRESENTATIONS = {"axis_angle": 3, "6d": 6, "6d_camera": 6}
# The initial parameters are chosen, not learned: a person who stands upright, faces the
# camera with the arms at 20 degrees from the body, and fills most of the crop.
_ARM_ANGLE = np.deg2rad(70.0)
MEAN_CAMERA = (0.9, 0.0, 0.0)
# The least scale and depth (metres) of a camera that feedback projects with.
_MIN_SCALE, _MIN_DEPTH = 0.1, 0.1


def mean_pose() -> Float[np.ndarray, "24 3"]:
  """The axis-angle pose from which the regressor starts."""
  pose = np.zeros((24, 3), np.float32)
  # The body's y is up and it faces z; the camera's y is down and it looks along z.
  pose[0] = [np.pi, 0.0, 0.0]
  pose[SMPL_JOINTS.index("left_shoulder"), 2] = -_ARM_ANGLE
  pose[SMPL_JOINTS.index("right_shoulder"), 2] = _ARM_ANGLE
  return pose


class RepeatedDense(nn.Module):
  """A dense layer for several uses in one step, whose weights are cast only once.

  `nn.Dense` casts them at every use, so that the gradient of every use is summed over
  the devices separately.
  """

  inputs: int
  features: int
  use_bias: bool = True
  dtype: DTypeLike = jnp.float32  # The product's; parameters are float32.
  kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

  def setup(self) -> None:
    """Makes the parameters."""
    kernel = self.param("kernel", self.kernel_init, (self.inputs, self.features))
    self.kernel = kernel.astype(self.dtype)
    if self.use_bias:
      bias = self.param("bias", nn.initializers.zeros, (self.features,))
      self.bias = bias.astype(self.dtype)

  def __call__(
    self, x: Float[Array, "*batch inputs"]
  ) -> Float[Array, "*batch features"]:
    """Multiplies by the kernel and adds the bias."""
    y = x.astype(self.dtype) @ self.kernel
    return y + self.bias if self.use_bias else y


class Observed(NamedTuple):
  """The keypoints that a body is regressed from, and the network's crop.

  Attributes:
    points: x, y in focal lengths off the principal point, and the score; 0 if missing.
    crop: in the same units.
  """

  points: Float[Array, "batch time 17 3"]
  crop: SmoothCrop


@functools.cache
def _free_body() -> tuple[smpl.SmplModel, posed_keypoints.KeypointMoments]:
  """The body whose points the feedback projects, whatever body the losses use."""
  with jax.ensure_compile_time_eval():
    body = smpl.load()
    moments = posed_keypoints.moments(body)
    used = smpl.restrict(body, np.zeros((1, len(body.v_template))))
  return used, moments


def reprojection_error(
  prediction: Prediction, observed: Observed
) -> Float[Array, "batch time 34"]:
  """The projected COCO-17 minus the observed ones, times their score, in crop units.

  The weak-perspective camera is converted to a perspective one: the pelvis gets the
  depth at which a metre has the length s in the image.
  """
  body, _ = _free_body()
  betas = prediction["betas"]
  world, _, _ = smpl.bone_transforms(body, prediction["rotations"], betas)
  return _error_of(world, betas, prediction["camera"], observed)


@functools.partial(jax.jit, inline=True)  # All rounds are traced once.
def _error_of(
  world: Float[Array, "#batch #time 24 3 3"],
  betas: Float[Array, "#batch #time 10"],
  camera: Float[Array, "#batch #time 3"],
  observed: Observed,
) -> Float[Array, "batch time 34"]:
  """`reprojection_error` of rotations in the camera's frame."""
  placed, joints = posed_keypoints.of_world_rotations(*_free_body(), world, betas)
  centre, size = observed.crop.centre, observed.crop.size[..., None]
  scale = size * jnp.maximum(camera[..., :1], _MIN_SCALE)
  depth = 1 / scale
  pelvis = (centre + scale * camera[..., 1:]) * depth
  moved = placed - joints[..., :1, :]
  seen = (moved[..., :2] + pelvis[..., None, :]) / jnp.maximum(
    moved[..., 2:] + depth[..., None], _MIN_DEPTH
  )
  error = (seen - observed.points[..., :2]) / size[..., None]
  error = jnp.clip(error, -1.0, 1.0) * observed.points[..., 2:]
  return error.reshape(*error.shape[:-2], 34)


class IterativeRegressor(nn.Module):
  """HMR's regressor (Kanazawa et al. 2018).

  Starting from the mean parameters [pose, betas, camera], each round adds a correction
  that it computes from the features and the current parameters. All rounds share their
  weights.
  """

  hidden: Sequence[int] = (1024, 1024)
  rounds: int = 3
  dropout: float = 0.5
  pose_representation: str = "axis_angle"  # Or '6d' (Zhou et al. 2019), '6d_camera'.
  feedback: bool = False  # Whether each round sees the reprojection error so far.
  world: bool = False  # Whether gravity and standing feet are predicted too.
  dtype: DTypeLike = jnp.float32  # The hidden layers'; parameters are float32.

  @property
  def pose_size(self) -> int:
    """The size of 24 rotations; ValueError for an unknown representation."""
    if self.pose_representation not in POSE_REPRESENTATIONS:
      raise ValueError(
        f"pose_representation must be one of {tuple(POSE_REPRESENTATIONS)}, "
        f"got {self.pose_representation!r}"
      )
    return 24 * POSE_REPRESENTATIONS[self.pose_representation]

  def _mean_parameters(self) -> Float[Array, "parameters"]:
    pose = jnp.asarray(mean_pose())
    if self.pose_representation != "axis_angle":
      matrices = rotations.axis_angle_to_matrix(pose)
      if self.pose_representation == "6d_camera":
        matrices = smpl.world_rotations(matrices)
      pose = rotations.matrix_to_rot6d(matrices)
    betas, camera = jnp.zeros(NUM_BETAS), jnp.asarray(MEAN_CAMERA)
    return jnp.concatenate([pose.reshape(self.pose_size), betas, camera])

  def _split(
    self, parameters: Float[Array, "batch time parameters"]
  ) -> tuple[Array, Array, Array]:
    """The rotation matrices in the representation's frame, betas and the camera."""
    splits = (self.pose_size, self.pose_size + NUM_BETAS)
    pose, betas, camera = jnp.split(parameters, splits, axis=-1)
    pose = pose.reshape(*pose.shape[:-1], 24, -1)
    if self.pose_representation == "axis_angle":
      return rotations.axis_angle_to_matrix(pose), betas, camera
    return rotations.rot6d_to_matrix(pose), betas, camera

  def _as_prediction(
    self, parameters: Float[Array, "batch time parameters"]
  ) -> Prediction:
    matrices, betas, camera = self._split(parameters)
    if self.pose_representation == "6d_camera":
      matrices = smpl.parent_relative(matrices)
    return Prediction(rotations=matrices, betas=betas, camera=camera)

  def _error(
    self, parameters: Float[Array, "batch time parameters"], observed: Observed
  ) -> Float[Array, "batch_out time_out 34"]:
    if self.pose_representation == "6d_camera":
      return _error_of(*self._split(parameters), observed)
    return reprojection_error(self._as_prediction(parameters), observed)

  @nn.compact
  def __call__(
    self,
    features: Float[Array, "batch time features"],
    train: bool = False,
    observed: Observed | None = None,
  ) -> Prediction:
    """Regresses each frame by itself; training needs the 'dropout' rng.

    Args:
      features: the features of the frames.
      train: whether to apply dropout.
      observed: the keypoints; `feedback` needs them.
    """
    mean = self._mean_parameters()
    depth = features.shape[-1] + mean.size
    # The first layer multiplies [features, parameters]; split in two, the features'
    # part is computed once and not in every round.
    first_init = nn.initializers.normal(depth**-0.5)
    from_features = nn.Dense(
      self.hidden[0], dtype=self.dtype, kernel_init=first_init, name="from_features"
    )(features)
    from_parameters = RepeatedDense(
      mean.size,
      self.hidden[0],
      use_bias=False,
      dtype=self.dtype,
      kernel_init=first_init,
      name="from_parameters",
    )
    deeper = [
      RepeatedDense(*widths, dtype=self.dtype, name=f"hidden{index + 2}")
      for index, widths in enumerate(itertools.pairwise(self.hidden))
    ]
    # Small initial weights keep an untrained regressor near the mean parameters.
    correction = RepeatedDense(
      self.hidden[-1],
      mean.size,
      kernel_init=nn.initializers.variance_scaling(0.01, "fan_avg", "uniform"),
      name="correction",
    )
    from_error = None
    if self.feedback:
      from_error = RepeatedDense(
        34, self.hidden[0], use_bias=False, dtype=self.dtype, name="from_error"
      )
    drop = nn.Dropout(self.dropout, deterministic=not train)

    # The first round's part that depends on the mean alone is computed once, not for
    # every frame.
    parameters = jnp.broadcast_to(mean, (1, 1, mean.size))
    for _ in range(self.rounds):
      first = from_features + from_parameters(parameters)
      if from_error is not None:
        first = first + from_error(self._error(parameters, cast(Observed, observed)))
      x = drop(nn.relu(first))
      for layer in deeper:
        x = drop(nn.relu(layer(x)))
      parameters = parameters + correction(x)
    parameters = jnp.broadcast_to(parameters, (*features.shape[:-1], mean.size))
    prediction = self._as_prediction(parameters)
    if self.world:
      down, standing = jnp.split(nn.Dense(5, name="world")(x), [3], axis=-1)
      # Before training, gravity points down in the image.
      down = down + jnp.array([0.0, 1.0, 0.0])
      length = jnp.sqrt(jnp.sum(jnp.square(down), axis=-1, keepdims=True) + 1e-6)
      prediction["gravity"] = down / length
      prediction["standing_logits"] = standing
    return prediction
