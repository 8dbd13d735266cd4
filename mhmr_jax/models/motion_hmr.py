"""Motion HMR: the channels that are asked for, encoder, LSTM, regressor."""

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

# What `MotionHMR.apply` takes: "params" and "batch_stats".
Variables = dict[str, Any]


class MotionHMR(nn.Module):
  """Clips to SMPL bodies (Doersch & Zisserman 2019); single-frame HMR if no LSTM."""

  encoder: FrameEncoder
  regressor: IterativeRegressor
  temporal: ResidualLSTM | None = None
  domain_classifier: DomainClassifier | None = None
  inputs: Sequence[str] = ("flow", "keypoints")
  size: int = 224  # Of the crop, pixels: a batch of keypoints alone doesn't tell.
  heatmap_sigma: float = 0.02  # Of the keypoints' Gaussians, in crop widths.
  flow_unit: float = 0.05  # Crop widths a frame that the encoder sees as 1.

  def channels(self, batch: Batch) -> Float[Array, "batch time size size channels"]:
    """The stack that the encoder sees: rgb in [-1, 1], flow, heatmaps in [0, 1]."""
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
    """What to pass with the first chunk of a stream (None does the same)."""
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
    """Predicts every frame from it and the frames before.

    Args:
      batch: the fields that `inputs` names, and `valid` if not all frames are.
      carry: of the chunk before; None at the start of a clip.
      train: batch statistics and dropout (rng 'dropout').
      step: of the training; with it a domain classifier, if there is one, adds what
        it makes of the features to the prediction.

    Returns:
      The prediction, and the carry with which the next chunk of the clips goes on.
    """
    stack = self.channels(batch)
    batch_size, time = stack.shape[:2]
    features = self.encoder(stack.reshape(-1, *stack.shape[2:]), train)
    features = features.reshape(batch_size, time, -1)
    if self.temporal is not None:
      features, carry = self.temporal(features, carry, batch.get("valid"))
    prediction = self.regressor(features, train)
    if self.domain_classifier is not None and step is not None:
      # Ganin's place for it: what the predictor of labels reads, the memory included.
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
  """Shapes of the network's inputs for one batch of the config."""
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
  """The model's variables for batches shaped as `batch`."""
  # One clip of two frames is enough to know every parameter's shape.
  example = {
    name: jnp.zeros(
      (1, *leaf.shape[1:]) if name == "betas" else (1, 2, *leaf.shape[2:])
    )
    for name, leaf in cast(dict[str, Array], batch).items()
  }
  first = jnp.zeros((), jnp.int32)
  variables = dict(model.init(key, cast(Batch, example), step=first))
  return {"batch_stats": {}} | variables
