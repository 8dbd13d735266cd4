"""The training state and the steps over it: pure functions, jitted by the programs."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray
from ml_collections import ConfigDict

from mhmr_jax.body.smpl import SmplModel
from mhmr_jax.geometry import metrics
from mhmr_jax.models import domain_adversarial, motion_hmr
from mhmr_jax.models.motion_hmr import MotionHMR
from mhmr_jax.models.prediction import prediction_joints
from mhmr_jax.schema import Batch, Prediction
from mhmr_jax.training.losses import motion_hmr_loss, valid_frames


class TrainState(flax.struct.PyTreeNode):
  """Everything that a step reads and writes.

  Attributes:
    step: updates made.
    params: the model's parameters, float32.
    batch_stats: batch norm's running statistics; empty without batch norm.
    opt_state: the optimiser's.
    finite: False once a loss or gradient was not: from then on steps change nothing,
      so that the state before the failing step can be kept.
  """

  step: Int[Array, ""]
  params: Any
  batch_stats: Any
  opt_state: optax.OptState
  finite: Bool[Array, ""]

  @property
  def variables(self) -> motion_hmr.Variables:
    """What `model.apply` takes."""
    return {"params": self.params, "batch_stats": self.batch_stats}


def make_schedule(config: ConfigDict) -> optax.Schedule:
  """Linear warm-up, then cosine decay to zero at the last step."""
  return optax.warmup_cosine_decay_schedule(
    init_value=0.0,
    peak_value=config.train.learning_rate,
    warmup_steps=config.train.warmup_steps,
    decay_steps=max(config.train.steps, config.train.warmup_steps + 1),
  )


def make_optimizer(config: ConfigDict) -> optax.GradientTransformation:
  """Adam with clipped gradients, and decoupled decay of the matrices' weights."""

  def matrices(params: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)

  return optax.chain(
    optax.clip_by_global_norm(config.train.grad_clip),
    optax.adamw(
      make_schedule(config), weight_decay=config.train.weight_decay, mask=matrices
    ),
  )


def init_state(
  key: PRNGKeyArray,
  batch: Batch,
  model: MotionHMR,
  optimizer: optax.GradientTransformation,
) -> TrainState:
  """The state before the first step, for batches shaped as `batch`."""
  return first_state(motion_hmr.init_variables(model, key, batch), optimizer)


def first_state(
  variables: motion_hmr.Variables, optimizer: optax.GradientTransformation
) -> TrainState:
  """The state before the first step, from the variables to begin with."""
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    params=variables["params"],
    batch_stats=variables.get("batch_stats", {}),
    opt_state=optimizer.init(variables["params"]),
    finite=jnp.ones((), bool),
  )


def apply_gradients(
  state: TrainState,
  loss: Float[Array, ""],
  gradients: Any,
  batch_stats: Any,
  optimizer: optax.GradientTransformation,
) -> tuple[TrainState, Float[Array, ""]]:
  """The next state, or the same where a number is not finite; and the gradient norm."""
  grad_norm = optax.tree.norm(gradients)
  updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
  finite = state.finite & jnp.isfinite(loss) & jnp.isfinite(grad_norm)
  updated = TrainState(
    step=state.step + 1,
    params=optax.apply_updates(state.params, updates),
    batch_stats=batch_stats,
    opt_state=opt_state,
    finite=finite,
  )
  kept = state.replace(finite=finite)
  new_state = jax.tree.map(lambda new, old: jnp.where(finite, new, old), updated, kept)
  return new_state, grad_norm


def train_step(
  state: TrainState,
  batch: Batch,
  key: PRNGKeyArray,
  body: SmplModel,
  *,
  model: MotionHMR,
  optimizer: optax.GradientTransformation,
  loss_weights: dict[str, float],
  accumulate: int = 1,
) -> tuple[TrainState, dict[str, Float[Array, ""]]]:
  """One update on a global batch.

  Args:
    state: the state; donate it.
    batch: sharded over its leading axis, or not: the result is the same.
    key: of the run; the step's own is folded in.
    body: the SMPL layer.
    model: static.
    optimizer: static.
    loss_weights: of the terms of `losses.motion_hmr_loss`; static.
    accumulate: parts of the batch that are seen one after the other, to save memory;
      gradients and scalars are their means, batch norm's statistics those of a part.

  Returns:
    The next state, and scalars: loss, its terms, grad_norm, pa_mpjpe_mm (of the
    batch, while training), and what a domain classifier does.
  """

  def part_of(batch_stats: Any, batch: Batch, key: PRNGKeyArray) -> Any:
    """Gradients, the next batch statistics and scalars of a part of the batch."""

    def loss_of(params: Any) -> tuple[Array, tuple[Any, Prediction, dict[str, Array]]]:
      (prediction, _), updated = model.apply(
        {"params": params, "batch_stats": batch_stats},
        batch,
        train=True,
        step=state.step,
        mutable=["batch_stats"],
        rngs={"dropout": key},
      )
      loss, terms = motion_hmr_loss(body, prediction, batch, loss_weights)
      return loss, (updated.get("batch_stats", {}), prediction, terms)

    (loss, (stats, prediction, terms)), gradients = jax.value_and_grad(
      loss_of, has_aux=True
    )(state.params)
    scalars = {"loss": loss, **terms}
    scalars["pa_mpjpe_mm"] = _batch_pa_mpjpe(body, prediction, batch)
    scalars |= _domain_scalars(model, prediction, batch, state.step)
    return gradients, stats, scalars

  step_key = jax.random.fold_in(key, state.step)
  if accumulate == 1:
    gradients, batch_stats, scalars = part_of(state.batch_stats, batch, step_key)
  else:
    gradients, batch_stats, scalars = _accumulated(
      part_of, state.batch_stats, batch, step_key, accumulate
    )
  new_state, grad_norm = apply_gradients(
    state, scalars["loss"], gradients, batch_stats, optimizer
  )
  return new_state, {**scalars, "grad_norm": grad_norm}


def _accumulated(
  part_of: Callable[[Any, Batch, PRNGKeyArray], Any],
  batch_stats: Any,
  batch: Batch,
  key: PRNGKeyArray,
  parts: int,
) -> tuple[Any, Any, dict[str, Array]]:
  """The parts' mean gradients and scalars, and the last batch statistics."""
  # Every part takes some rows of every device. Where domains take turns, so do pairs.
  together = 2 if "labelled" in batch else 1

  def divide(rows: Array) -> Array:
    divided = rows.reshape(-1, parts, together, *rows.shape[1:])
    return divided.swapaxes(0, 1).reshape(parts, -1, *rows.shape[1:])

  def add(carry: tuple[Any, Any], inputs: tuple[Batch, PRNGKeyArray]) -> Any:
    batch_stats, total = carry
    gradients, batch_stats, scalars = part_of(batch_stats, *inputs)
    return (batch_stats, jax.tree.map(jnp.add, total, gradients)), scalars

  inputs = (jax.tree.map(divide, batch), jax.random.split(key, parts))
  first = jax.tree.map(lambda rows: rows[0], inputs)
  shapes, _, _ = jax.eval_shape(part_of, batch_stats, *first)
  zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
  (batch_stats, total), scalars = jax.lax.scan(add, (batch_stats, zeros), inputs)
  gradients = jax.tree.map(lambda leaf: leaf / parts, total)
  return gradients, batch_stats, jax.tree.map(jnp.mean, scalars)


def _batch_pa_mpjpe(
  body: SmplModel, prediction: Prediction, batch: Batch
) -> Float[Array, ""]:
  joints, _ = prediction_joints(body, prediction)
  _, valid = valid_frames(batch, joints.shape[:2])
  target = jnp.where(valid[..., None, None], batch["joints_camera"], joints)
  error = metrics.pa_mpjpe(joints, target) * valid
  return jnp.sum(error) / jnp.maximum(jnp.sum(valid), 1)


def _domain_scalars(
  model: MotionHMR, prediction: Prediction, batch: Batch, step: Int[Array, ""]
) -> dict[str, Float[Array, ""]]:
  """How well the domains are told apart, and the factor of the reversed gradient."""
  if model.domain_classifier is None:
    return {}
  logits = prediction["domain_logits"]
  seen, _ = valid_frames(batch, logits.shape)
  factor = domain_adversarial.adaptation_factor(step, model.domain_classifier.steps)
  accuracy = domain_adversarial.accuracy(logits, jnp.asarray(batch["labelled"]), seen)
  return {"domain_accuracy": accuracy, "domain_lambda": factor}


def parameter_count(variables: motion_hmr.Variables) -> int:
  """Numbers in the model's parameters."""
  return sum(leaf.size for leaf in jax.tree.leaves(nn.unbox(variables["params"])))
