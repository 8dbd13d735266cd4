"""The training state and the steps over it: pure functions, jitted by the programs."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, no_type_check

import flax.struct
import jax
import jax.numpy as jnp
import optax
import optax.contrib
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray
from ml_collections import ConfigDict

from mhmr_jax.body.smpl import SmplModel
from mhmr_jax.errors import InputError
from mhmr_jax.geometry import metrics
from mhmr_jax.models import domain_adversarial, motion_hmr
from mhmr_jax.models.motion_hmr import MotionHMR
from mhmr_jax.models.predicted_joints import predicted_joints
from mhmr_jax.schema import Batch, Prediction
from mhmr_jax.training.losses import motion_hmr_loss, valid_frames

# The root mean square of Muon's updates before the learning rate, as Adam's have.
_MUON_RMS = 0.4

# A step's scalars by name.
Scalars = dict[str, Float[Array, ""]]


# Trees of shapes and of shardings have this class too, so its leaves go unchecked.
@no_type_check
class TrainState(flax.struct.PyTreeNode):
  """Everything that a step reads and writes.

  Attributes:
    step: how many updates were made.
    params: the model's parameters, float32.
    batch_stats: batch norm's running statistics; empty without batch norm.
    opt_state: the optimiser's state.
    finite: False after the first non-finite loss or gradient; later steps change
      nothing, so that the state before the failing step can be kept.
  """

  step: Int[Array, ""]
  params: Any
  batch_stats: Any
  opt_state: optax.OptState
  finite: Bool[Array, ""]

  @classmethod
  def create(
    cls, variables: motion_hmr.Variables, optimizer: optax.GradientTransformation
  ) -> "TrainState":
    """The state before the first step, with these initial variables."""
    return cls(
      step=jnp.zeros((), jnp.int32),
      params=variables["params"],
      batch_stats=variables.get("batch_stats", {}),
      opt_state=optimizer.init(variables["params"]),
      finite=jnp.ones((), bool),
    )

  @property
  def variables(self) -> motion_hmr.Variables:
    """What `model.apply` takes."""
    return {"params": self.params, "batch_stats": self.batch_stats}


def make_optimizer(settings: ConfigDict) -> optax.GradientTransformation:
  """The optimiser, with clipped gradients, and decoupled decay of matrices only.

  "adamw" is Adam. "muon" makes the updates of matrices near-orthogonal (Jordan et al.
  2024), scaled to the size of Adam's updates, and leaves all other parameters to Adam
  with Nesterov's momentum. A convolution's kernel is a matrix from what it sees to its
  channels. The learning rate warms up linearly, stays for `hold` of the steps, and
  decays to zero at the last step as a cosine.

  Args:
    settings: the config's `train`: steps, optimizer, learning_rate, warmup_steps, hold,
      weight_decay, grad_clip.

  Raises:
    InputError: there is no such optimiser.
  """
  steps = max(settings.steps, settings.warmup_steps + 1)
  held = round(settings.get("hold", 0.0) * steps)
  schedule = optax.warmup_cosine_decay_schedule(
    init_value=0.0,
    peak_value=settings.learning_rate,
    warmup_steps=settings.warmup_steps,
    decay_steps=max(steps - held, settings.warmup_steps + 1),
  )
  if held:
    warmup = settings.warmup_steps
    schedule = _with_plateau(schedule, warmup, held)

  def is_matrix(params: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)

  decay = settings.weight_decay
  name = settings.get("optimizer", "adamw")
  if name == "adamw":
    optimizer = optax.adamw(schedule, weight_decay=decay, mask=is_matrix)
  elif name == "muon":
    optimizer = optax.contrib.muon(
      schedule,
      weight_decay=decay,
      adam_b2=0.99,
      consistent_rms=_MUON_RMS,
      muon_weight_dimension_numbers=_as_matrices,
    )
  else:
    raise InputError(f"config.train.optimizer is {name!r}: use 'adamw' or 'muon'.")
  return optax.chain(optax.clip_by_global_norm(settings.grad_clip), optimizer)


def _as_matrices(params: Any) -> Any:
  """For each parameter the axes of a matrix's rows and columns; None for vectors."""
  # A kernel's axes are rows, columns, inputs and outputs.
  return jax.tree.map(
    lambda leaf: (
      optax.contrib.MuonDimensionNumbers(tuple(range(leaf.ndim - 1)), -1)
      if leaf.ndim > 1
      else None
    ),
    params,
  )


def _with_plateau(schedule: optax.Schedule, start: int, length: int) -> optax.Schedule:
  """Stops a schedule's clock at step `start` for `length` steps."""

  def held(step: Any) -> Any:
    return schedule(jnp.where(step < start, step, jnp.maximum(step - length, start)))

  return held


def init_state(
  key: PRNGKeyArray,
  batch: Batch,
  model: MotionHMR,
  optimizer: optax.GradientTransformation,
) -> TrainState:
  """The state before the first step, for batches of the shape of `batch`."""
  return TrainState.create(motion_hmr.init_variables(model, key, batch), optimizer)


def apply_gradients(
  state: TrainState,
  loss: Float[Array, ""],
  gradients: Any,
  batch_stats: Any,
  optimizer: optax.GradientTransformation,
) -> tuple[TrainState, Float[Array, ""]]:
  """Makes one update.

  Returns:
    The next state, or the same one if any number is not finite; the gradients' norm.
  """
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
) -> tuple[TrainState, Scalars]:
  """Makes one update on a global batch.

  Args:
    state: the state; donate it.
    batch: the batch; the result does not depend on how it is divided over devices.
    key: the run's key, from which the step derives its own.
    body: the SMPL layer.
    model: the network; static.
    optimizer: the optimiser; static.
    loss_weights: the weights of the terms of `losses.motion_hmr_loss`; static.
    accumulate: the parts of the batch that run one after the other, to save memory.
      Gradients and scalars are the parts' means; batch norm takes the statistics of
      one part at a time.

  Returns:
    The next state, and scalars: loss, its terms, grad_norm, pa_mpjpe_mm (of this
    batch, in training mode), and those of a domain classifier if there is one.
  """
  gradients_of = functools.partial(
    _gradients, state=state, body=body, model=model, loss_weights=loss_weights
  )
  step_key = jax.random.fold_in(key, state.step)
  if accumulate == 1:
    part = gradients_of(state.batch_stats, batch, step_key)
  else:
    part = _accumulated(gradients_of, state.batch_stats, batch, step_key, accumulate)
  new_state, grad_norm = apply_gradients(
    state, part.scalars["loss"], part.gradients, part.batch_stats, optimizer
  )
  return new_state, {**part.scalars, "grad_norm": grad_norm}


class _Part(NamedTuple):
  """The result of the forward and backward pass on (a part of) a batch.

  Attributes:
    gradients: the gradients of the loss with respect to the parameters.
    batch_stats: batch norm's next running statistics.
    scalars: loss, its terms and measures.
  """

  gradients: Any
  batch_stats: Any
  scalars: Scalars


def _gradients(
  batch_stats: Any,
  batch: Batch,
  key: PRNGKeyArray,
  *,
  state: TrainState,
  body: SmplModel,
  model: MotionHMR,
  loss_weights: dict[str, float],
) -> _Part:
  """Runs the model forward and backward; `batch_stats` are used, not the state's."""

  def loss_of(params: Any) -> tuple[Array, tuple[Any, Prediction, Scalars]]:
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
  return _Part(gradients, stats, scalars)


def _accumulated(
  gradients_of: Callable[[Any, Batch, PRNGKeyArray], _Part],
  batch_stats: Any,
  batch: Batch,
  key: PRNGKeyArray,
  parts: int,
) -> _Part:
  """The parts' mean gradients and scalars, and the last part's batch statistics."""
  # Every part takes some rows of every device. Where labelled clips and clips of the
  # target domain alternate, a part takes them in pairs.
  together = 2 if "labelled" in batch else 1

  def divide(rows: Array) -> Array:
    divided = rows.reshape(-1, parts, together, *rows.shape[1:])
    return divided.swapaxes(0, 1).reshape(parts, -1, *rows.shape[1:])

  def add(carry: tuple[Any, Any], inputs: tuple[Batch, PRNGKeyArray]) -> Any:
    batch_stats, total = carry
    part = gradients_of(batch_stats, *inputs)
    total = jax.tree.map(jnp.add, total, part.gradients)
    return (part.batch_stats, total), part.scalars

  inputs = (jax.tree.map(divide, batch), jax.random.split(key, parts))
  first = jax.tree.map(lambda rows: rows[0], inputs)
  shapes = jax.eval_shape(gradients_of, batch_stats, *first).gradients
  zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
  (batch_stats, total), scalars = jax.lax.scan(add, (batch_stats, zeros), inputs)
  gradients = jax.tree.map(lambda leaf: leaf / parts, total)
  return _Part(gradients, batch_stats, jax.tree.map(jnp.mean, scalars))


def _batch_pa_mpjpe(
  body: SmplModel, prediction: Prediction, batch: Batch
) -> Float[Array, ""]:
  """The mean PA-MPJPE of the labelled frames, in millimetres."""
  joints, _ = predicted_joints(body, prediction)
  _, labelled = valid_frames(batch, joints.shape[:2])
  target = jnp.where(labelled[..., None, None], batch["joints_camera"], joints)
  error = metrics.pa_mpjpe(joints, target) * labelled
  return jnp.sum(error) / jnp.maximum(jnp.sum(labelled), 1)


def _domain_scalars(
  model: MotionHMR, prediction: Prediction, batch: Batch, step: Int[Array, ""]
) -> Scalars:
  """The domain classifier's accuracy, and the factor of the reversed gradient."""
  if model.domain_classifier is None:
    return {}
  logits = prediction["domain_logits"]
  valid, _ = valid_frames(batch, logits.shape)
  factor = domain_adversarial.adaptation_factor(step, model.domain_classifier.steps)
  accuracy = domain_adversarial.accuracy(logits, jnp.asarray(batch["labelled"]), valid)
  return {"domain_accuracy": accuracy, "domain_lambda": factor}
