"""Motion HMR: the network from clips to SMPL bodies, its inputs and its variables.

The channels of each frame (RGB, flow and keypoint heatmaps, as the config chooses) are
encoded, an LSTM adds memory over time, and a regressor turns the features of each frame
into a body and a camera.
"""

from collections.abc import Sequence
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray
from ml_collections import ConfigDict

from mhmr_jax.keypoints import heatmaps
from mhmr_jax.models.domain_adversarial import DomainClassifier
from mhmr_jax.models.encoder import FrameEncoder
from mhmr_jax.models.regressor import IterativeRegressor
from mhmr_jax.models.temporal import Carry, ResidualLSTM, initial_carry
from mhmr_jax.schema import INPUT_CHANNELS, Batch, Prediction

# The collections that `MotionHMR.apply` takes: "params" and "batch_stats".
Variables = dict[str, Any]


class MotionHMR(nn.Module):
  """Clips to SMPL bodies (Doersch & Zisserman 2019); without an LSTM, HMR."""

  encoder: FrameEncoder
  regressor: IterativeRegressor
  temporal: ResidualLSTM | None = None
  domain_classifier: DomainClassifier | None = None
  inputs: Sequence[str] = ("flow", "keypoints")
  size: int = 224  # The crop's side, px, which a batch of keypoints alone doesn't tell.
  heatmap_sigma: float = 0.02  # The keypoints' Gaussians, in crop widths.
  flow_unit: float = 0.05  # The flow in crop widths a frame that the encoder gets as 1.

  def channels(self, batch: Batch) -> Float[Array, "batch time size size channels"]:
    """Stacks the encoder's inputs: RGB in [-1, 1], flow, heatmaps in [0, 1]."""
    stack = []
    for name in self.inputs:
      if name == "rgb":
        stack.append(batch["rgb"].astype(jnp.float32) / 127.5 - 1.0)
      elif name == "flow":
        stack.append(batch["flow"] / (self.flow_unit * self.size))
      elif name == "keypoints":
        sigma = self.heatmap_sigma * self.size
        stack.append(heatmaps.draw(batch["keypoints"], self.size, sigma))
      else:
        raise ValueError(f"inputs are {tuple(INPUT_CHANNELS)}, got {name!r}")
    return jnp.concatenate([x.astype(self.encoder.dtype) for x in stack], axis=-1)

  def initial_carry(self, batch_size: int) -> Carry | None:
    """The carry to pass with a stream's first frames; None does the same."""
    if self.temporal is None:
      return None
    return initial_carry(batch_size, self.temporal.features)

  def __call__(
    self,
    batch: Batch,
    carry: Carry | None = None,
    train: bool = False,
    step: Int[Array, ""] | None = None,
  ) -> tuple[Prediction, Carry | None]:
    """Predicts the body in every frame from that frame and the frames before it.

    Args:
      batch: the fields that `inputs` names, and `valid` if not all frames are.
      carry: the carry of the frames before; None at the start of a clip.
      train: uses batch statistics and dropout (rng 'dropout').
      step: the training step; with it a domain classifier, if there is one, adds
        `domain_logits` to the prediction.

    Returns:
      The prediction, and the carry for the frames that follow.
    """
    stack = self.channels(batch)
    batch_size, time = stack.shape[:2]
    features = self.encoder(stack.reshape(-1, *stack.shape[2:]), train)
    features = features.reshape(batch_size, time, -1)
    if self.temporal is not None:
      features, carry = self.temporal(features, carry, batch.get("valid"))
    prediction = self.regressor(features, train)
    if self.domain_classifier is not None and step is not None:
      # It takes the same features as the predictor of labels (Ganin et al.).
      prediction["domain_logits"] = self.domain_classifier(features, step)
    return prediction, carry


def from_config(config: ConfigDict, size: int) -> MotionHMR:
  """Builds the model that `config.model` describes for crops of `size` pixels."""
  dtype = jnp.dtype(config.dtype)
  temporal = None
  if config.lstm_features:
    temporal = ResidualLSTM(config.lstm_features, dtype=dtype)
  domain_classifier = None
  if "domain_classifier" in config:
    domain_classifier = DomainClassifier(**config.domain_classifier)
  return MotionHMR(
    encoder=FrameEncoder(**config.encoder, dtype=dtype),
    regressor=IterativeRegressor(**config.regressor, dtype=dtype),
    temporal=temporal,
    domain_classifier=domain_classifier,
    inputs=tuple(config.inputs),
    size=size,
    heatmap_sigma=config.heatmap_sigma,
    flow_unit=config.flow_unit,
  )


def input_shapes(config: ConfigDict) -> Batch:
  """The shapes of the model's inputs in one training batch of a whole config."""
  lead = (config.train.batch_size, config.data.window)
  size = config.data.size
  shapes = {
    "rgb": ((size, size, 3), "uint8"),
    "flow": ((size, size, 2), "float16"),
    "keypoints": ((17, 3), "float32"),
  }
  return cast(
    Batch,
    {
      name: jax.ShapeDtypeStruct(lead + shapes[name][0], shapes[name][1])
      for name in config.model.inputs
    },
  )


def init_variables(model: MotionHMR, key: PRNGKeyArray, batch: Batch) -> Variables:
  """Draws the model's variables; `batch` may also be the shapes of a batch."""
  # No parameter's shape depends on the number of clips or frames.
  example = {
    name: jnp.zeros((1, 2, *leaf.shape[2:]))
    for name, leaf in cast(dict[str, Array], batch).items()
    if name in model.inputs
  }
  first_step = jnp.zeros((), jnp.int32)
  variables = dict(model.init(key, cast(Batch, example), step=first_step))
  return {"batch_stats": {}} | variables
