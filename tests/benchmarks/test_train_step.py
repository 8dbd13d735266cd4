import jax
import numpy as np
import pytest
import torch

from mhmr_jax.body import smpl
from mhmr_jax.models import motion_hmr
from tests import drawn
from tests.benchmarks import torch_twin, train_step

_SMALL = {
  "train.batch_size": 2,
  "data.window": 3,
  "data.size": 32,
  "model.lstm_features": 24,
  "model.regressor.hidden": (16, 16),
  "model.regressor.dropout": 0.0,
}
_ENCODERS = {
  "default": {"stage_widths": (8,), "stem_width": 8, "features": 16},
  "paper": {"stage_blocks": (1, 1), "stage_widths": (4, 8), "stem_width": 8},
}


@pytest.mark.parametrize("name", _ENCODERS)
def test_the_twin_has_the_same_loss_and_gradient(name):
  config = getattr(train_step, f"{name}_config")()
  config.update_from_flattened_dict(
    _SMALL | {f"model.encoder.{key}": v for key, v in _ENCODERS[name].items()}
  )
  body = smpl.load()
  batch = train_step.random_batch(config, body)
  # XLA may leave out that products of half precision are rounded.
  batch["flow"] = batch["flow"].astype(np.float32)
  model = motion_hmr.from_config(config)
  placed = jax.device_put(batch)
  variables = drawn.variables(lambda key: motion_hmr.init_variables(model, key, placed))
  # Larger weights than the first ones, so that every round changes the body.
  variables["params"]["regressor"]["correction"]["kernel"] *= 10
  loss_of = train_step.loss_without_dropout(config, body)
  loss, gradients = jax.jit(
    jax.value_and_grad(lambda params: loss_of(variables | {"params": params}, placed))
  )(variables["params"])

  twin = torch_twin.Twin(config, body)
  torch_twin.load(twin, variables["params"])
  value = twin({name: torch.tensor(array) for name, array in batch.items()})
  value.backward()
  np.testing.assert_allclose(value.item(), loss, rtol=train_step.TOLERANCE)
  ours, theirs = (
    sorted(float(np.linalg.norm(g)) for g in leaves)
    for leaves in (
      jax.tree.leaves(gradients),
      [p.grad for p in twin.parameters() if p.requires_grad],
    )
  )
  np.testing.assert_allclose(theirs, ours, rtol=2e-3, atol=1e-5)
