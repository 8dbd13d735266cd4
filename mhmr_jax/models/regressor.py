"""The iterative regressor from a frame's features to a SMPL body and a camera."""

import itertools
from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from mhmr_jax.body.joints import SMPL_JOINTS
from mhmr_jax.geometry import rotations
from mhmr_jax.schema import Prediction

NUM_BETAS = 10
# The size of a rotation in each representation.
POSE_REPRESENTATIONS = {"axis_angle": 3, "6d": 6}
# The initial parameters are chosen, not learned: a person who stands upright, faces the
# camera with the arms at 20 degrees from the body, and fills most of the crop.
_ARM_ANGLE = np.deg2rad(70.0)
MEAN_CAMERA = (0.9, 0.0, 0.0)


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

  `nn.Dense` casts them at every use, and then the gradient of every use is summed over
  the devices by itself.
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


class IterativeRegressor(nn.Module):
  """HMR's regressor (Kanazawa et al. 2018).

  Starting from the mean parameters [pose, betas, camera], each round adds a correction
  that it computes from the features and the current parameters. All rounds share their
  weights.
  """

  hidden: Sequence[int] = (1024, 1024)
  rounds: int = 3
  dropout: float = 0.5
  pose_representation: str = "axis_angle"  # Or '6d' (Zhou et al. 2019).
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
    if self.pose_representation == "6d":
      pose = rotations.matrix_to_rot6d(rotations.axis_angle_to_matrix(pose))
    betas, camera = jnp.zeros(NUM_BETAS), jnp.asarray(MEAN_CAMERA)
    return jnp.concatenate([pose.reshape(self.pose_size), betas, camera])

  def _as_prediction(
    self, parameters: Float[Array, "batch time parameters"]
  ) -> Prediction:
    splits = (self.pose_size, self.pose_size + NUM_BETAS)
    pose, betas, camera = jnp.split(parameters, splits, axis=-1)
    pose = pose.reshape(*pose.shape[:-1], 24, -1)
    if self.pose_representation == "6d":
      matrices = rotations.rot6d_to_matrix(pose)
    else:
      matrices = rotations.axis_angle_to_matrix(pose)
    return Prediction(rotations=matrices, betas=betas, camera=camera)

  @nn.compact
  def __call__(
    self, features: Float[Array, "batch time features"], train: bool = False
  ) -> Prediction:
    """Regresses each frame by itself; training needs the 'dropout' rng."""
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
    drop = nn.Dropout(self.dropout, deterministic=not train)

    parameters = jnp.broadcast_to(mean, (*features.shape[:-1], mean.size))
    for _ in range(self.rounds):
      x = drop(nn.relu(from_features + from_parameters(parameters)))
      for layer in deeper:
        x = drop(nn.relu(layer(x)))
      parameters = parameters + correction(x)
    return self._as_prediction(parameters)
