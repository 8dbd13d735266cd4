"""The frame encoder, a pre-activation ResNet over any number of channels."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from mhmr_jax.models.convolution import Conv2D, ConvKernel, max_pool, resolve_form
from mhmr_jax.models.norm import GhostBatchNorm
from mhmr_jax.models.normalised_convolutions import NormalisedConvolutions

ModuleDef = Callable[..., Any]

# The places of joints reach this far from the crop's centre, in half crops: people are
# cut off at the crop's border.
REACH = 1.25


class Encoded(NamedTuple):
  """The output of an encoder for each frame.

  Attributes:
    features: one vector a frame.
    joints: where the encoder sees SMPL's joints; None if it does not look for them.
  """

  features: Float[Array, "batch features"]
  joints: "JointsSeen | None"


class JointsSeen(NamedTuple):
  """Where each frame alone shows SMPL's joints.

  Attributes:
    places: the mean place under each joint's heatmap; the crop's corners are at -1
      and 1.
    spreads: the standard deviation of the place under the heatmap.
    heatmaps: the logarithms of the probabilities that the joint is in a cell, whose
      centres are `cell_places`.
  """

  places: Float[Array, "*batch 24 2"]
  spreads: Float[Array, "*batch 24"]
  heatmaps: Float[Array, "*batch rows columns 24"]


class PreactivationBlock(nn.Module):
  """A residual unit of ResNet v2 (He et al. 2016): normalise, ReLU, convolve.

  It has two 3x3 convolutions or, with `bottleneck`, a 1x1, a 3x3 (which carries the
  stride) and a 1x1 convolution to four times the width. `together` makes the modules
  that take a norm and the convolutions after it together; None if they are apart.
  """

  width: int
  stride: int
  bottleneck: bool
  conv: ModuleDef
  norm: ModuleDef
  together: ModuleDef | None = None

  @nn.compact
  def __call__(
    self, x: Float[Array, "batch height width in"]
  ) -> Float[Array, "batch height_out width_out out"]:
    """Adds the unit's residual to its input, or to the input's 1x1 projection."""
    features = self.width * (4 if self.bottleneck else 1)
    first = _Convolution("conv1", features, 3, self.stride)
    if self.bottleneck:
      first = _Convolution("conv1", self.width, 1)
    convolutions = [first]
    if x.shape[-1] != features or self.stride != 1:
      convolutions.append(_Convolution("shortcut", features, 1, self.stride))
    y, *shortcut = self._after_norm("norm1", x, convolutions)
    if self.bottleneck:
      second = _Convolution("conv2", self.width, 3, self.stride)
      (y,) = self._after_norm("norm2", y, [second])
      (y,) = self._after_norm("norm3", y, [_Convolution("conv3", features, 1)])
    else:
      (y,) = self._after_norm("norm2", y, [_Convolution("conv2", features)])
    return (shortcut[0] if shortcut else x) + y

  def _after_norm(
    self,
    name: str,
    x: Float[Array, "batch height width in"],
    convolutions: Sequence["_Convolution"],
  ) -> Sequence[Float[Array, "batch _ _ _"]]:
    """The convolutions of the normalised map after ReLU; `name` is the norm's."""
    if self.together is None:
      y = nn.relu(self.norm(name=name)(x))
      return [
        self.conv(each.features, each.kernel_size, each.stride, name=each.name)(y)
        for each in convolutions
      ]
    kernels = [
      ConvKernel(each.features, each.kernel_size, name=each.name)(x.shape[-1])
      for each in convolutions
    ]
    strides = [each.stride for each in convolutions]
    return self.together(name=name)(x, kernels, strides)


class _Convolution(NamedTuple):
  """A convolution without bias: the module's name and its settings."""

  name: str
  features: int
  kernel_size: int = 3
  stride: int = 1


def cell_centres(size: int) -> Float[Array, " size"]:
  """The centres of an axis's cells, whose ends are at -1 and 1."""
  return (2 * jnp.arange(size) + 1) / size - 1


def channel_centroids(
  x: Float[Array, "batch height width channels"],
) -> Float[Array, "batch channels*3"]:
  """Each channel's peak and its centroid (spatial expectation, Finn et al. 2016).

  Only positive values count. For a keypoint's heatmap, the peak is the keypoint's score
  and the centroid its position.

  Returns:
    The peaks, then the x, then the y of the centroids. The image's corners are at -1
    and 1; the centroid of a channel without a positive value is 0.
  """
  x = nn.relu(x.astype(jnp.float32))
  n, height, width, channels = x.shape
  # XLA's CPU backend is slow at sums over short rows of few channels: the columns of
  # all channels are summed at once, and the few sums that are left by channel.
  columns = x.reshape(n, height, width * channels)
  peaks, masses, moments = (
    reduced.reshape(n, width, channels)
    for reduced in (
      jnp.max(columns, axis=1),
      jnp.sum(columns, axis=1),
      jnp.sum(columns * cell_centres(height)[:, None], axis=1),
    )
  )
  mass = jnp.sum(masses, axis=1)
  safe_mass = jnp.where(mass > 0, mass, 1.0)
  x_centre = jnp.sum(masses * cell_centres(width)[:, None], axis=1) / safe_mass
  y_centre = jnp.sum(moments, axis=1) / safe_mass
  return jnp.concatenate([jnp.max(peaks, axis=1), x_centre, y_centre], -1)


def cell_places(rows: int, columns: int) -> Float[Array, "rows columns 2"]:
  """The x and y of a heatmap's cells; they reach beyond the crop's corners, -1 and 1.

  Joints are there too, since people are cut off at the crop's border.
  """
  y, x = (REACH * cell_centres(size) for size in (rows, columns))
  return jnp.stack(jnp.meshgrid(x, y), axis=-1)


class JointFinder(nn.Module):
  """Finds SMPL's joints on a map: the mean place under one heatmap a joint.

  This is the integral regression of Sun et al. 2018 (soft-argmax), which learns where
  things are from far fewer frames than a dense layer on the map does.
  """

  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, "batch height width channels"]) -> JointsSeen:
    """Returns the places and the heatmaps, which are as large as the map."""
    n, height, width, _ = x.shape
    logits = nn.Dense(24, dtype=self.dtype, name="heatmaps")(x)
    logits = logits.reshape(n, height * width, 24).astype(jnp.float32)
    logs = nn.log_softmax(logits, axis=1)
    weights = jnp.exp(logs)
    grid = cell_places(height, width).reshape(-1, 2)
    place = jnp.einsum("npj,pc->njc", weights, grid)
    square = jnp.einsum("npj,p->nj", weights, jnp.sum(grid**2, axis=-1))
    variance = square - jnp.sum(place**2, axis=-1)
    spread = jnp.sqrt(jnp.maximum(variance, 0.0) + 1e-6)
    return JointsSeen(place, spread, logs.reshape(n, height, width, 24))


class FrameEncoder(nn.Module):
  """A ResNet v2 that maps a stack of channels to one feature vector a frame.

  The defaults are ResNet-50's. With `pool_grid` g > 1 the last map is averaged over
  g x g cells, flattened and projected; `centroids` adds a projection of the input's
  `channel_centroids`. With `joints` it looks for SMPL's joints on the last map, and
  their places are features too. All three depart from the paper, for small encoders and
  short training: a network with a global average is slow to learn where things are.
  """

  stage_blocks: Sequence[int] = (3, 4, 6, 3)
  stage_widths: Sequence[int] = (64, 128, 256, 512)
  bottleneck: bool = True
  stem_width: int = 64
  stem_kernel: int = 7
  stem_stride: int = 2
  stem_pool: bool = True
  features: int = 0  # The output's size; 0 is that of the last stage.
  pool_grid: int = 1
  centroids: bool = False
  joints: bool = False
  norm: str = "batch"  # 'batch' (over the global batch), 'ghost' or 'group'.
  norm_momentum: float = 0.9
  norm_frames: int = 64  # Frames in a group of ghost batch norm.
  norm_groups: int = 32  # Groups of channels in group norm.
  remat: bool = False  # Recomputes blocks in the backward pass to save memory.
  dtype: DTypeLike = jnp.float32
  conv_form: str = "auto"  # See `convolution.resolve_form`.
  batch_parts: int = 1  # The devices that share a batch, for `NormalisedConvolutions`.

  def _norm(self, train: bool) -> ModuleDef:
    if self.norm == "batch":
      return functools.partial(
        nn.BatchNorm,
        use_running_average=not train,
        momentum=self.norm_momentum,
        dtype=self.dtype,
      )
    if self.norm == "ghost":
      return functools.partial(
        GhostBatchNorm,
        frames=self.norm_frames,
        use_running_average=not train,
        momentum=self.norm_momentum,
        dtype=self.dtype,
      )
    if self.norm == "group":
      return functools.partial(
        nn.GroupNorm, num_groups=self.norm_groups, dtype=self.dtype
      )
    raise ValueError(f"norm must be 'batch', 'ghost' or 'group', got {self.norm!r}")

  def _together(self, train: bool) -> ModuleDef | None:
    """What takes norms and convolutions together, where that is faster."""
    fused = resolve_form(self.conv_form) == "fused"
    if not (train and fused and self.norm == "batch"):
      return None
    return functools.partial(
      NormalisedConvolutions,
      momentum=self.norm_momentum,
      parts=self.batch_parts,
      dtype=self.dtype,
    )

  def _pool(
    self,
    x: Float[Array, "batch height width channels"],
    stack: Float[Array, "batch size size in"],
  ) -> Float[Array, "batch features"]:
    n, height, width, channels = x.shape
    grid = self.pool_grid
    if height % grid or width % grid:
      raise ValueError(f"pool_grid {grid} doesn't divide the map of {height}x{width}")
    x = x.reshape(n, grid, height // grid, grid, width // grid, channels)
    x = jnp.mean(x, axis=(2, 4), dtype=jnp.float32).reshape(n, grid * grid * channels)
    if grid > 1 or self.features:
      x = nn.Dense(self.features or channels, dtype=self.dtype, name="project")(x)
    if self.centroids:
      # They have a projection of their own, as among thousands of other inputs their
      # initial weights would be too small.
      places = nn.Dense(x.shape[-1], name="centroids")(channel_centroids(stack))
      x = x + places
    return x.astype(jnp.float32)

  def _add_joints(
    self,
    features: Float[Array, "batch features"],
    x: Float[Array, "batch height width channels"],
  ) -> Encoded:
    seen = JointFinder(dtype=self.dtype, name="joints")(x)
    found = jnp.concatenate([seen.places, seen.spreads[..., None]], axis=-1)
    width = features.shape[-1]
    hidden = nn.Dense(width, name="joints_hidden")(found.reshape(len(found), -1))
    added = nn.Dense(width, name="joints_project")(nn.relu(hidden))
    return Encoded(features + added, seen)

  def _merged(
    self,
    top: Float[Array, "batch height width channels"],
    maps: Sequence[Float[Array, "batch _ _ _"]],
    unit: Callable[[int, int, str], nn.Module],
    conv: ModuleDef,
    norm: ModuleDef,
  ) -> Float[Array, "batch height_out width_out out"]:
    """Brings the last map, stage by stage, to the size of the first.

    At each size it is added to that stage's own map, as in a feature pyramid (Lin et
    al. 2017): a joint's place needs fine maps, and which joint it is the whole person.

    Args:
      top: the last map, after its normalisation.
      maps: those of the stages before, from the first.
      unit: makes a residual unit from a width, a stride and a name.
      conv: makes convolutions.
      norm: makes normalisations.
    """
    for stage in reversed(range(len(maps))):
      height, columns, channels = maps[stage].shape[1:]
      name = f"merged{stage + 1}"
      top = conv(channels, 1, name=f"{name}_shortcut")(top)
      top = jnp.repeat(jnp.repeat(top, 2, axis=1), 2, axis=2)[:, :height, :columns]
      top = unit(self.stage_widths[stage], 1, name)(top + maps[stage])
      top = nn.relu(norm(name=f"{name}_norm")(top))
    return top

  @nn.compact
  def __call__(
    self, x: Float[Array, "batch size size channels"], train: bool = False
  ) -> Encoded:
    """Encodes frames.

    Args:
      x: the channels of frames.
      train: whether to normalise by this batch's statistics, not the running ones.
    """
    conv = functools.partial(Conv2D, dtype=self.dtype, form=self.conv_form)
    norm, together = self._norm(train), self._together(train)
    stack = x
    block = nn.remat(PreactivationBlock) if self.remat else PreactivationBlock

    def unit(width: int, stride: int, name: str) -> nn.Module:
      return block(width, stride, self.bottleneck, conv, norm, together, name=name)

    x = conv(self.stem_width, self.stem_kernel, self.stem_stride, name="stem")(x)
    if self.stem_pool:
      x = max_pool(x, form=self.conv_form)
    maps = []
    stages = zip(self.stage_blocks, self.stage_widths, strict=True)
    for stage, (blocks, width) in enumerate(stages):
      for index in range(blocks):
        stride = 2 if stage > 0 and index == 0 else 1
        x = unit(width, stride, f"stage{stage + 1}_block{index + 1}")(x)
      maps.append(x)
    x = nn.relu(norm(name="norm")(x))
    features = self._pool(x, stack)
    if not self.joints:
      return Encoded(features, None)
    return self._add_joints(features, self._merged(x, maps[:-1], unit, conv, norm))
