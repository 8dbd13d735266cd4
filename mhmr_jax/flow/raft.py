"""RAFT's small network (Teed & Deng, ECCV 2020), laid out as torchvision's raft_small.

Every pixel of the first image is compared with every pixel of the second, at an eighth
of the size; a recurrent unit looks up the comparison round where the flow points to so
far, and corrects the flow.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from mhmr_jax.errors import InputError
from mhmr_jax.flow.network import FlowNetwork
from mhmr_jax.models.convolution import Conv2D

_STRIDE = 8  # Of the maps that are compared.
_LEVELS = 4
_RADIUS = 3
_HIDDEN = 96
_CONTEXT = 64
# Of the loss: an update counts so much of the one after it.
_GAMMA = 0.8
# As RAFT was published. Larger weights saturate the recurrent unit, which sees the
# context without any normalisation, and it does not learn.
_OF_ENCODERS = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
_OF_UPDATES = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


def _conv(
  features: int,
  kernel_size: int = 3,
  stride: int = 1,
  kernel_init: nn.initializers.Initializer = _OF_UPDATES,
  **kwargs: Any,
) -> Conv2D:
  return Conv2D(
    features,
    kernel_size,
    stride,
    padding=kernel_size // 2,
    use_bias=True,
    kernel_init=kernel_init,
    **kwargs,
  )


def _instance_norm(
  x: Float[Array, "batch height width channels"],
) -> Float[Array, "batch height width channels"]:
  """Each image's channels to mean 0 and variance 1; without parameters."""
  return jax.nn.standardize(x, axis=(1, 2), epsilon=1e-5)


class Bottleneck(nn.Module):
  """A residual unit of 1x1, 3x3 and 1x1 convolutions."""

  features: int
  stride: int
  normalise: bool
  form: str

  @nn.compact
  def __call__(
    self, x: Float[Array, "batch height width in"]
  ) -> Float[Array, "batch height_out width_out out"]:
    """Adds the unit's correction to its input, or to the input's projection."""
    conv = functools.partial(_conv, kernel_init=_OF_ENCODERS, form=self.form)
    norm = _instance_norm if self.normalise else lambda x: x
    narrow = self.features // 4
    y = nn.relu(norm(conv(narrow, 1, name="convnormrelu1")(x)))
    y = nn.relu(norm(conv(narrow, 3, self.stride, name="convnormrelu2")(y)))
    y = nn.relu(norm(conv(self.features, 1, name="convnormrelu3")(y)))
    if self.stride != 1:
      x = norm(conv(self.features, 1, self.stride, name="downsample")(x))
    return nn.relu(x + y)


class Encoder(nn.Module):
  """Images to maps of an eighth of their size."""

  features: int
  normalise: bool
  form: str

  @nn.compact
  def __call__(
    self, x: Float[Array, "batch height width 3"]
  ) -> Float[Array, "batch height_out width_out features"]:
    """Encodes images in [-1, 1]."""
    conv = functools.partial(_conv, kernel_init=_OF_ENCODERS, form=self.form)
    x = conv(32, 7, 2, name="convnormrelu")(x)
    x = nn.relu(_instance_norm(x) if self.normalise else x)
    for stage, (features, stride) in enumerate([(32, 1), (64, 2), (96, 2)], 1):
      for index in range(2):
        name = f"layer{stage}_{index}"
        step = stride if index == 0 else 1
        x = Bottleneck(features, step, self.normalise, self.form, name=name)(x)
    return conv(self.features, 1, name="conv")(x)


class MotionEncoder(nn.Module):
  """What the recurrent unit sees of the correlations and of the flow."""

  form: str

  @nn.compact
  def __call__(
    self,
    correlations: Float[Array, "batch height width n"],
    flow: Float[Array, "batch height width 2"],
  ) -> Float[Array, "batch height width 82"]:
    """Mixes both; the flow itself is in the last two channels."""
    conv = functools.partial(_conv, form=self.form)
    x = nn.relu(conv(96, 1, name="convcorr1")(correlations))
    y = nn.relu(conv(64, 7, name="convflow1")(flow))
    y = nn.relu(conv(32, 3, name="convflow2")(y))
    mixed = nn.relu(conv(80, 3, name="mix")(jnp.concatenate([x, y], -1)))
    return jnp.concatenate([mixed, flow], -1)


class ConvGru(nn.Module):
  """A gated recurrent unit whose products are convolutions."""

  form: str

  @nn.compact
  def __call__(
    self,
    hidden: Float[Array, "batch height width hidden"],
    x: Float[Array, "batch height width in"],
  ) -> Float[Array, "batch height width hidden"]:
    """The next hidden state."""
    conv = functools.partial(_conv, hidden.shape[-1], form=self.form)
    both = jnp.concatenate([hidden, x], -1)
    z = nn.sigmoid(conv(name="convz")(both))
    r = nn.sigmoid(conv(name="convr")(both))
    q = nn.tanh(conv(name="convq")(jnp.concatenate([r * hidden, x], -1)))
    return (1 - z) * hidden + z * q


class FlowHead(nn.Module):
  """The hidden state to a correction of the flow."""

  form: str

  @nn.compact
  def __call__(
    self, hidden: Float[Array, "batch height width hidden"]
  ) -> Float[Array, "batch height width 2"]:
    """In pixels of the map."""
    x = nn.relu(_conv(128, form=self.form, name="conv1")(hidden))
    return _conv(2, form=self.form, name="conv2")(x)


class UpdateBlock(nn.Module):
  """One update of the hidden state and of the flow."""

  form: str

  def setup(self) -> None:
    """Names the parts as torchvision does."""
    self.motion_encoder = MotionEncoder(self.form)
    self.convgru1 = ConvGru(self.form)
    self.flow_head = FlowHead(self.form)

  def __call__(
    self,
    carry: tuple[Array, Array],
    context: Float[Array, "batch height width context"],
    pyramid: Sequence[Float[Array, "batch height width _ _"]],
  ) -> tuple[tuple[Array, Array], Float[Array, "batch height width 2"]]:
    """From (hidden, flow) to the next, and the flow again."""
    hidden, flow = carry
    flow = lax.stop_gradient(flow)
    motion = self.motion_encoder(look_up(pyramid, flow), flow)
    hidden = self.convgru1(hidden, jnp.concatenate([context, motion], -1))
    flow = flow + self.flow_head(hidden)
    return (hidden, flow), flow


class RaftSmall(FlowNetwork):
  """Two encoders, and a recurrent update of the flow."""

  updates: int = 12
  form: str = "auto"  # Of the convolutions: see `convolution.resolve_form`.

  stride = _STRIDE
  # Of smaller images the coarsest correlations have no pixel beside another.
  min_size = 128

  @nn.compact
  def __call__(
    self,
    first: Float[Array, "batch height width 3"],
    second: Float[Array, "batch height width 3"],
  ) -> Float[Array, "updates batch height_out width_out 2"]:
    """The flow after each update, in pixels of the images, at an eighth of their size.

    Args:
      first: in [-1, 1].
      second: in [-1, 1].
    """
    encode = Encoder(128, True, self.form, name="feature_encoder")
    maps = encode(jnp.concatenate([first, second]))
    pyramid = correlation_pyramid(*jnp.split(maps, 2))
    encode = Encoder(_HIDDEN + _CONTEXT, False, self.form, name="context_encoder")
    hidden, context = jnp.split(encode(first), [_HIDDEN], axis=-1)
    update = nn.scan(
      UpdateBlock,
      variable_broadcast="params",
      split_rngs={"params": False},
      in_axes=(nn.broadcast, nn.broadcast),
      length=self.updates,
    )(self.form, name="update_block")
    still = jnp.zeros((*hidden.shape[:-1], 2), hidden.dtype)
    _, flows = update((nn.tanh(hidden), still), nn.relu(context), pyramid)
    return flows * _STRIDE

  def estimate(
    self,
    first: Float[Array, "batch height width 3"],
    second: Float[Array, "batch height width 3"],
  ) -> Float[Array, "batch height width 2"]:
    """The flow after the last update, in pixels."""
    return enlarge(self(first, second)[-1], first.shape[1], first.shape[2])

  def loss(
    self,
    first: Float[Array, "batch height width 3"],
    second: Float[Array, "batch height width 3"],
    flow: Float[Array, "batch height width 2"],
    valid: Bool[Array, "batch height width"],
  ) -> tuple[Float[Array, ""], Float[Array, "batch height width 2"]]:
    """The L1 error of all updates, later ones counting more; and the last flow."""
    flows = self(first, second)
    flows = enlarge(flows, first.shape[1], first.shape[2])
    error = jnp.where(valid, jnp.abs(flows - flow).sum(-1), 0)
    means = error.sum((1, 2, 3)) / jnp.maximum(valid.sum(), 1)
    weights = _GAMMA ** jnp.arange(self.updates - 1, -1, -1)
    return jnp.vdot(weights, means), flows[-1]


def correlation_pyramid(
  first: Float[Array, "batch height width channels"],
  second: Float[Array, "batch height width channels"],
) -> list[Float[Array, "batch height width _ _"]]:
  """Every pixel against every pixel, the second image's ever coarser."""
  volume = jnp.einsum(
    "byxc,bvuc->byxvu", first, second, preferred_element_type=jnp.float32
  ) / np.sqrt(first.shape[-1])
  pyramid = [volume]
  for _ in range(_LEVELS - 1):
    *lead, height, width = pyramid[-1].shape
    even = pyramid[-1][..., : height // 2 * 2, : width // 2 * 2]
    blocks = even.reshape(*lead, height // 2, 2, width // 2, 2)
    pyramid.append(blocks.mean((-3, -1)))
  return pyramid


def look_up(
  pyramid: Sequence[Float[Array, "batch height width _ _"]],
  flow: Float[Array, "batch height width 2"],
) -> Float[Array, "batch height width n"]:
  """Correlations on a 7x7 grid round where the flow points to, at every level.

  Bilinear, zero outside. Written as two products with hat functions of the places:
  accelerators are slow at gathering single values, and it has no special cases.
  """
  height, width = flow.shape[1:3]
  x = flow[..., 0] + jnp.arange(width, dtype=flow.dtype)
  y = flow[..., 1] + jnp.arange(height, dtype=flow.dtype)[:, None]
  offsets = jnp.arange(-_RADIUS, _RADIUS + 1, dtype=flow.dtype)

  def hats(centre: Array, size: int) -> Array:
    places = centre[..., None, None] + offsets[:, None]
    return jnp.maximum(0, 1 - jnp.abs(places - jnp.arange(size, dtype=flow.dtype)))

  levels = []
  for level, volume in enumerate(pyramid):
    along_x = hats(x / 2**level, volume.shape[-1])
    along_y = hats(y / 2**level, volume.shape[-2])
    # torchvision's order: the grid's columns, in each its rows.
    grid = jnp.einsum(
      "byxiu,byxjv,byxvu->byxij", along_x, along_y, volume, precision="highest"
    )
    levels.append(grid.reshape(*flow.shape[:3], -1))
  return jnp.concatenate(levels, -1)


def enlarge(
  flow: Float[Array, "*lead h w 2"], height: int, width: int
) -> Float[Array, "*lead height width 2"]:
  """Bilinear, the corner pixels' centres on each other, as RAFT was published."""

  def weights(small: int, large: int) -> Array:
    places = jnp.arange(large) * ((small - 1) / max(large - 1, 1))
    return jnp.maximum(0, 1 - jnp.abs(places[:, None] - jnp.arange(small)))

  rows, columns = weights(flow.shape[-3], height), weights(flow.shape[-2], width)
  return jnp.einsum("Yy,Xx,...yxc->...YXc", rows, columns, flow, precision="highest")


# Convolutions that torchvision keeps as the first part of a sequence.
_SEQUENCES = (
  *("convnormrelu", "convnormrelu1", "convnormrelu2", "convnormrelu3", "downsample"),
  *("convcorr1", "convflow1", "convflow2", "mix"),
)


def _torchvision_name(path: tuple[str, ...]) -> str:
  names = []
  for name in path[:-1]:
    if name == "convgru1":
      names.append("recurrent_block")
    names.append("conv" if name == "mix" else name.replace("_", ".", "layer" in name))
    if name in _SEQUENCES:
      names.append("0")
  return ".".join([*names, "weight" if path[-1] == "kernel" else "bias"])


def from_torchvision(
  tensors: Mapping[str, np.ndarray], path: Any
) -> dict[str, dict[str, Any]]:
  """The variables that torchvision's `raft_small().state_dict()` holds.

  Args:
    tensors: by name.
    path: of their file, for messages.

  Raises:
    InputError: they are another network's.
  """
  example = jnp.zeros((1, _STRIDE, _STRIDE, 3))
  shapes = jax.eval_shape(RaftSmall().init, jax.random.key(0), example, example)
  params = {}
  for place, leaf in flax.traverse_util.flatten_dict(shapes["params"]).items():
    name = _torchvision_name(place)
    if name not in tensors:
      raise InputError(f"{path} has no {name}: give torchvision's raft_small weights.")
    value = tensors[name].astype(np.float32)
    value = value.transpose(2, 3, 1, 0) if value.ndim == 4 else value
    if value.shape != leaf.shape or not np.isfinite(value).all():
      raise InputError(
        f"{name} of {path} has another shape than raft_small's, or numbers that are "
        "not finite: give torchvision's raft_small weights."
      )
    params[place] = value
  return {"params": flax.traverse_util.unflatten_dict(params)}
