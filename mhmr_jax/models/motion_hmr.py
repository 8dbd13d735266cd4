"""Motion HMR: the network from clips to SMPL bodies, its inputs and its variables.

The channels of each frame (RGB, flow and keypoint heatmaps, as the config chooses) are
encoded, an LSTM adds memory over time, and a regressor turns the features of each frame
into a body and a camera. Keypoints may instead enter as coordinates, through an encoder
of their own.
"""

import functools
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray
from ml_collections import ConfigDict

from mhmr_jax.errors import InputError
from mhmr_jax.keypoints import heatmaps
from mhmr_jax.keypoints.form import reads_coordinates
from mhmr_jax.models import coordinates
from mhmr_jax.models.convolution import resolve_form
from mhmr_jax.models.coordinates import CropState, PointEncoder, SmoothCrop
from mhmr_jax.models.domain_adversarial import DomainClassifier
from mhmr_jax.models.encoder import FrameEncoder, JointsSeen
from mhmr_jax.models.regressor import IterativeRegressor, Observed
from mhmr_jax.models.temporal import Carry as MemoryState
from mhmr_jax.models.temporal import ResidualLSTM
from mhmr_jax.models.temporal import initial_carry as initial_memory
from mhmr_jax.schema import INPUT_CHANNELS, Batch, Prediction

# Flow that is smaller than this, in crop widths a frame, is an estimator's noise: 0.15
# pixels of a crop of 64.
_FLOW_NOISE = 0.0023
# The collections that `MotionHMR.apply` takes: "params" and "batch_stats".
Variables = dict[str, Any]


class Carry(NamedTuple):
  """The state that a stream's next frames depend on.

  Attributes:
    memory: the LSTM's state; None for a model without one.
    crop: the crop of the keypoints; None for a model that draws heatmaps.
  """

  memory: MemoryState | None
  crop: CropState | None


def standardised(
  flow: Float[Array, "*batch size size 2"],
) -> Float[Array, "*batch size size 2"]:
  """Each frame's flow less its mean, over its root mean square.

  This removes the camera's motion and the overall speed, so that limbs stand out
  equally in all frames. Noise stays small.

  Args:
    flow: in crop widths a frame.
  """
  flow = flow.astype(jnp.float32)
  moved = flow - jnp.mean(flow, axis=(-3, -2), keepdims=True)
  power = jnp.mean(jnp.square(moved), axis=(-3, -2, -1), keepdims=True)
  return moved / jnp.sqrt(power + _FLOW_NOISE**2)


class _FrameFeatures(NamedTuple):
  """The features of each frame, computed without the other frames.

  Attributes:
    features: the features of all encoders together.
    joints: where the encoder of pictures sees SMPL's joints, if it looks for them.
    observed: the points of keypoints as coordinates.
    crop: that of the points, for the frames that follow.
  """

  features: Float[Array, "batch time features"]
  joints: JointsSeen | None
  observed: Observed | None
  crop: CropState | None


class MotionHMR(nn.Module):
  """Maps clips to SMPL bodies (Doersch & Zisserman 2019); without an LSTM it is HMR."""

  regressor: IterativeRegressor
  encoder: FrameEncoder | None = None
  point_encoder: PointEncoder | None = None
  temporal: ResidualLSTM | None = None
  domain_classifier: DomainClassifier | None = None
  inputs: Sequence[str] = ("flow", "keypoints")
  size: int = 224  # The crop's side, px, which a batch of keypoints alone doesn't tell.
  heatmap_sigma: float = 0.02  # The keypoints' Gaussians, in crop widths.
  flow_unit: float = 0.05  # The flow in crop widths a frame that the encoder gets as 1.
  flow_standardised: bool = False  # Whether each frame's flow is brought to one size.

  def channels(self, batch: Batch) -> Float[Array, "batch time size size channels"]:
    """Stacks the encoder's inputs: RGB in [-1, 1], flow, heatmaps in [0, 1]."""
    if unknown := [name for name in self.inputs if name not in INPUT_CHANNELS]:
      raise ValueError(f"inputs are {tuple(INPUT_CHANNELS)}, got {unknown[0]!r}")
    fields = cast(dict[str, Array], batch)
    drawn = [
      name for name in self.inputs if name != "keypoints" or self.point_encoder is None
    ]
    form = resolve_form(cast(FrameEncoder, self.encoder).conv_form)
    chosen = form == "fused" and len(drawn) > 1
    ends = list(itertools.accumulate(INPUT_CHANNELS[name] for name in drawn))
    stack = []
    for name, end in zip(drawn, ends, strict=True):
      # The frames of all clips are one axis here already: between this and the
      # convolution a reshape would not be computed as the operand is read.
      values = fields[name].reshape(-1, *fields[name].shape[2:])
      if name == "keypoints":
        place = (end - 17, ends[-1]) if chosen else (0, 17)
        stack.append(self._heatmaps(values, *place))
      else:
        stack.append(self._pixels(name, values))
    joined = _chosen(stack, drawn, ends) if chosen else jnp.concatenate(stack, -1)
    return joined.reshape(*fields[drawn[0]].shape[:2], *joined.shape[1:])

  def _pixels(
    self, name: str, values: Array
  ) -> Float[Array, "frames size size channels"]:
    """RGB or flow in the encoder's units and type."""
    if name == "rgb":
      values = values.astype(jnp.float32) / 127.5 - 1.0
    else:
      values = self._flow(values / self.size)
    return values.astype(cast(FrameEncoder, self.encoder).dtype)

  def _heatmaps(
    self, keypoints: Float[Array, "frames 17 3"], start: int, channels: int
  ) -> Float[Array, "frames size size channels"]:
    """Heatmaps at the channels from `start` of as many as asked for, 0 at others."""
    rows, columns = (
      jnp.pad(profile, ((0, 0), (0, 0), (start, channels - start - 17)))
      for profile in heatmaps.profiles(
        keypoints, self.size, self.heatmap_sigma * self.size
      )
    )
    planes = rows[:, :, None] * columns[:, None]
    return planes.astype(cast(FrameEncoder, self.encoder).dtype)

  def _flow(
    self, flow: Float[Array, "frames size size 2"]
  ) -> Float[Array, "frames size size 2"]:
    """Brings flow in crop widths a frame to the encoder's units."""
    if not self.flow_standardised:
      return flow / self.flow_unit
    return standardised(flow)

  def initial_carry(self, batch_size: int) -> Carry | None:
    """The carry to pass with a stream's first frames; None does the same."""
    memory, crop = None, None
    if self.temporal is not None:
      memory = initial_memory(batch_size, self.temporal.features)
    if self.point_encoder is not None:
      crop = coordinates.initial_state(batch_size)
    return None if memory is None and crop is None else Carry(memory, crop)

  def __call__(
    self,
    batch: Batch,
    carry: Carry | None = None,
    train: bool = False,
    step: Int[Array, ""] | None = None,
  ) -> tuple[Prediction, Carry | None]:
    """Predicts the body in every frame from that frame and the frames before it.

    If the memory has a `backward` LSTM, also from the frames after it in the batch.

    Args:
      batch: the fields that `inputs` names, and `valid` if not all frames are.
      carry: the carry of the frames before; None at the start of a clip.
      train: uses batch statistics and dropout (rng 'dropout'), and adds `joints_seen`
        and `joint_heatmaps` to the prediction if the encoder looks for joints.
      step: the training step; with it a domain classifier, if there is one, adds
        `domain_logits` to the prediction.

    Returns:
      The prediction, and the carry for the frames that follow.
    """
    memory, crop = (None, None) if carry is None else carry
    found = self._frame_features(batch, crop, train)
    features, observed, crop = found.features, found.observed, found.crop
    if self.temporal is not None:
      features, memory = self.temporal(features, memory, batch.get("valid"))
    prediction = self.regressor(features, train, observed)
    if observed is not None:
      prediction["camera"] = _in_window(
        prediction["camera"], observed.crop, batch["window"]
      )
    if train and found.joints is not None:
      prediction["joints_seen"] = found.joints.places
      prediction["joint_heatmaps"] = found.joints.heatmaps
    if self.domain_classifier is not None and step is not None:
      # It takes the same features as the predictor of labels (Ganin et al.).
      prediction["domain_logits"] = self.domain_classifier(features, step)
    has_carry = memory is not None or crop is not None
    return prediction, Carry(memory, crop) if has_carry else None

  def _frame_features(
    self, batch: Batch, crop: CropState | None, train: bool
  ) -> _FrameFeatures:
    features, joints = [], None
    if self.encoder is not None:
      stack = self.channels(batch)
      encoded = self.encoder(stack.reshape(-1, *stack.shape[2:]), train)
      features.append(encoded.features.reshape(*stack.shape[:2], -1))
      frames = stack.shape[:2]
      joints = jax.tree.map(lambda x: x.reshape(*frames, *x.shape[1:]), encoded.joints)
    observed = None
    if self.point_encoder is not None:
      points = coordinates.in_camera(batch["keypoints"], batch["window"], self.size)
      if "valid" in batch:
        points = jnp.where(batch["valid"][..., None, None], points, 0.0)
      state = crop or coordinates.initial_state(len(points))
      followed, crop = coordinates.follow(points, state, batch["window"])
      features.append(self.point_encoder(coordinates.features(points, followed, state)))
      observed = Observed(points, followed)
    added = functools.reduce(jnp.add, features)
    return _FrameFeatures(added, joints, observed, crop)


def _chosen(
  stack: Sequence[Float[Array, "frames size size _"]],
  names: Sequence[str],
  ends: Sequence[int],
) -> Float[Array, "frames size size channels"]:
  """The concatenation of inputs as a choice between broadcasts.

  XLA's TPU backend computes these, and heatmaps, which are products of broadcasts, as
  it reads the first convolution's operand. It would store a concatenation.

  Args:
    stack: the inputs; heatmaps have all channels already, at their place.
    names: the inputs' names.
    ends: the number of channels up to each input's last.
  """
  place = jnp.arange(ends[-1])
  chosen: Array | float = 0.0
  for values, name, end in zip(stack, names, ends, strict=True):
    start = end - INPUT_CHANNELS[name]
    if name == "keypoints":
      chosen = jnp.where((place >= start) & (place < end), values, chosen)
      continue
    for index in range(start, end):
      chosen = jnp.where(place == index, values[..., index - start, None], chosen)
  return cast(Array, chosen)


def _in_window(
  camera: Float[Array, "batch time 3"],
  crop: SmoothCrop,
  window: Float[Array, "batch 3"],
) -> Float[Array, "batch time 3"]:
  """Converts a camera of the network's own crop to the batch's crop window."""
  scale = camera[..., :1] * crop.size[..., None]
  safe = jnp.where(jnp.abs(scale) > 1e-6, scale, 1e-6)
  moved = camera[..., 1:] + (crop.centre - window[:, None, :2]) / safe
  return jnp.concatenate([scale / window[:, None, 2:], moved], axis=-1)


def from_config(config: ConfigDict) -> MotionHMR:
  """Builds the model that a whole config describes.

  It reads `model`, `data.size` and `keypoints.form`. Models of equal configs are equal,
  so that programs compiled for one serve the other.

  Raises:
    InputError: there is no such form of keypoints, or feedback lacks coordinates.
  """
  size, as_points = config.data.size, reads_coordinates(config)
  config = config.model
  if config.regressor.get("feedback", False) and not as_points:
    raise InputError(
      "config.model.regressor.feedback needs keypoints as coordinates: set "
      "config.keypoints.form = 'coordinates' and keypoints among config.model.inputs."
    )
  dtype = jnp.dtype(config.dtype)
  memory = None
  if config.lstm_features:
    backward = config.get("lstm_backward", False)
    memory = ResidualLSTM(config.lstm_features, backward, dtype=dtype)
  domain_classifier = None
  if "domain_classifier" in config:
    domain_classifier = DomainClassifier(**_hashable(config.domain_classifier))
  encoder, points = None, None
  if as_points:
    points = PointEncoder(config.encoder.features, dtype=dtype)
  if not as_points or len(config.inputs) > 1:
    encoder = FrameEncoder(**_hashable(config.encoder), dtype=dtype)
  return MotionHMR(
    encoder=encoder,
    point_encoder=points,
    regressor=IterativeRegressor(**_hashable(config.regressor), dtype=dtype),
    temporal=memory,
    domain_classifier=domain_classifier,
    inputs=tuple(config.inputs),
    size=size,
    heatmap_sigma=config.heatmap_sigma,
    flow_unit=config.flow_unit,
    flow_standardised=config.get("flow_standardised", False),
  )


def _hashable(options: ConfigDict) -> dict[str, Any]:
  """A module's options; those read from a file have lists."""
  return {
    name: tuple(value) if isinstance(value, list) else value
    for name, value in options.items()
  }


def input_shapes(config: ConfigDict) -> Batch:
  """The shapes of the model's inputs in one training batch of a whole config."""
  lead = (config.train.batch_size, config.data.window)
  size = config.data.size
  shapes = {
    "rgb": ((size, size, 3), "uint8"),
    "flow": ((size, size, 2), "float16"),
    "keypoints": ((17, 3), "float32"),
  }
  inputs = {
    name: jax.ShapeDtypeStruct(lead + shapes[name][0], shapes[name][1])
    for name in config.model.inputs
  }
  if reads_coordinates(config):
    inputs["window"] = jax.ShapeDtypeStruct((lead[0], 3), "float32")
  return cast(Batch, inputs)


def init_variables(model: MotionHMR, key: PRNGKeyArray, batch: Batch) -> Variables:
  """Draws the model's variables; `batch` may also be the shapes of a batch."""
  # No parameter's shape depends on the number of clips or frames.
  example = {
    name: jnp.zeros((1, 2, *leaf.shape[2:]))
    for name, leaf in cast(dict[str, Array], batch).items()
    if name in model.inputs
  }
  if model.point_encoder is not None:
    example["window"] = jnp.ones((1, 3))
  first_step = jnp.zeros((), jnp.int32)
  variables = dict(model.init(key, cast(Batch, example), step=first_step))
  return {"batch_stats": {}} | variables
