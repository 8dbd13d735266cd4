"""A training that begins with a trained network's variables, and adds an input."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from etils import epath

from mhmr_jax import train
from mhmr_jax.errors import InputError
from mhmr_jax.inference import packed
from mhmr_jax.inference.trained import TrainedRun
from mhmr_jax.models import motion_hmr
from mhmr_jax.training import loop, starting_point
from mhmr_jax.training.train_step import TrainState
from tests import tiny

pytestmark = pytest.mark.usefixtures("little_to_collect")

KEY = jax.random.key(0)


def config_of(name, **overrides):
  # Feedback would take most of the time to compile.
  return tiny.config(name=name, model__regressor__feedback=False, **overrides)


def random_variables(config):
  """Variables of a config's network that no initialiser draws."""
  model, shapes = motion_hmr.from_config(config), motion_hmr.input_shapes(config)
  abstract = jax.eval_shape(
    lambda key: motion_hmr.init_variables(model, key, shapes), KEY
  )
  rng = np.random.default_rng(0)
  return jax.tree.map(
    lambda leaf: rng.normal(0, 0.1, leaf.shape).astype(np.float32), abstract
  )


def inputs(config):
  rng = np.random.default_rng(1)
  batch = {
    name: jnp.asarray(rng.uniform(0, 1, shape.shape), jnp.float32)
    for name, shape in motion_hmr.input_shapes(config).items()
  }
  return {**batch, "keypoints": batch["keypoints"].at[..., :2].multiply(32)}


def toy_init(**params):
  """An init that draws ones, of the shapes that are given by module and layer."""

  def init(key):
    del key
    drawn = {
      module: {layer: jnp.ones(shape) for layer, shape in layers.items()}
      for module, layers in params.items()
    }
    return TrainState.create({"params": drawn}, optax.identity())

  return init


def toy_variables(**params):
  state = toy_init(**params)(KEY)
  return jax.tree.map(lambda leaf: 2 * leaf, state.variables)


def test_an_added_input_changes_nothing_at_first_and_is_learned():
  small, config = config_of("kp"), config_of("flow_kp")
  trained = random_variables(small)
  model, shapes = motion_hmr.from_config(config), motion_hmr.input_shapes(config)

  def init(key):
    variables = motion_hmr.init_variables(model, key, shapes)
    return TrainState.create(variables, optax.identity())

  begin = starting_point.from_trained(init, trained, "kp.safetensors")
  state = jax.jit(begin)(KEY)
  batch = inputs(config)

  def loss(params, batch):
    predicted, _ = model.apply({**state.variables, "params": params}, batch)
    return jnp.sum(jnp.square(predicted["rotations"])), predicted

  (_, predicted), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(
    state.params, batch
  )
  seen = {name: batch[name] for name in ("keypoints", "window")}
  expected, _ = jax.jit(motion_hmr.from_config(small).apply)(trained, seen)
  for name, value in expected.items():
    np.testing.assert_allclose(predicted[name], value, atol=1e-4, err_msg=name)
  assert np.abs(gradient["encoder"]["project"]["kernel"]).max() > 0
  # The layers below learn as soon as that one has: they are not zero.
  assert np.abs(state.params["encoder"]["stem"]["kernel"]).max() > 0


def test_what_is_missing_stays_as_drawn_but_for_an_encoders_last_layer():
  own = {"regressor": {"hidden2": (2,)}, "encoder": {"stem": (3,), "project": (4,)}}
  trained = toy_variables(regressor={"hidden2": (2,)})
  state = starting_point.from_trained(toy_init(**own), trained, "x")(KEY)
  assert state.params["regressor"]["hidden2"].tolist() == [2, 2]
  assert state.params["encoder"]["stem"].tolist() == [1, 1, 1]
  assert state.params["encoder"]["project"].tolist() == [0, 0, 0, 0]


def test_an_encoder_that_both_have_is_taken_over():
  own = {"encoder": {"stem": (3,), "project": (4,)}}
  state = starting_point.from_trained(toy_init(**own), toy_variables(**own), "x")(KEY)
  assert state.params["encoder"]["project"].tolist() == [2, 2, 2, 2]


@pytest.mark.parametrize(
  ("own", "found"),
  [
    ({"temporal": {"kernel": (4, 4)}}, r"\(4, 4\)"),
    ({"regressor": {"kernel": (2, 2)}}, "none"),
  ],
)
def test_another_network_is_refused_in_one_sentence(own, found):
  trained = toy_variables(temporal={"kernel": (2, 2)})
  message = rf"x has params/temporal/kernel of shape \(2, 2\), .* config {found}: set"
  with pytest.raises(InputError, match=message):
    starting_point.from_trained(toy_init(**own), trained, "x")


def test_the_program_begins_with_packed_weights(tmp_path, monkeypatch):
  config = config_of("kp")
  path, trained = tmp_path / "kp.safetensors", random_variables(config)
  packed.write(TrainedRun(config, trained, 20), path)
  monkeypatch.setattr(loop, "run", lambda task, *_, **__: jax.jit(task.init)(KEY))
  config.train.start = str(path)
  state = train.train(config, epath.Path(tmp_path / "run"))
  for own, given in zip(
    jax.tree.leaves(state.variables), jax.tree.leaves(trained), strict=True
  ):
    np.testing.assert_allclose(own, given, rtol=1e-3, atol=1e-4)


def test_weights_that_are_missing_leave_no_work_directory(tmp_path):
  config = config_of("kp", train__start=str(tmp_path / "none.safetensors"))
  with pytest.raises(InputError, match=r"none\.safetensors"):
    train.train(config, epath.Path(tmp_path / "run"))
  assert not list(tmp_path.iterdir())
