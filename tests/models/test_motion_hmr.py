import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from mhmr_jax.keypoints import heatmaps
from mhmr_jax.models import motion_hmr
from mhmr_jax.schema import INPUT_CHANNELS, Batch

SIZE, TIME = 16, 4


def _model(inputs=("flow", "keypoints"), **changes):
  model = ConfigDict(
    dict(
      inputs=inputs,
      heatmap_sigma=0.05,
      flow_unit=0.05,
      lstm_features=8,
      dtype="float32",
      encoder=dict(
        stage_blocks=(1,),
        stage_widths=(8,),
        bottleneck=False,
        stem_width=8,
        stem_kernel=4,
        stem_stride=4,
        stem_pool=False,
      ),
      regressor=dict(hidden=(16,), rounds=2, pose_representation="6d"),
    )
  )
  model.update(changes)
  config = dict(model=model, data=dict(size=SIZE), keypoints=dict(form="heatmaps"))
  return motion_hmr.from_config(ConfigDict(config))


@pytest.fixture(scope="module")
def batch():
  rng = np.random.default_rng(0)
  shape = (2, TIME, SIZE, SIZE)
  keypoints = rng.uniform(0.1, 1, (2, TIME, 17, 3)) * [SIZE, SIZE, 1]
  return Batch(
    rgb=jnp.asarray(rng.integers(0, 256, (*shape, 3), np.uint8)),
    flow=jnp.asarray(rng.normal(size=(*shape, 2)), jnp.float32),
    keypoints=jnp.asarray(keypoints, jnp.float32),
    valid=jnp.ones((2, TIME), bool),
  )


@pytest.mark.parametrize("inputs", [("rgb",), ("keypoints",), ("flow", "keypoints")])
def test_shapes_for_any_inputs(batch, inputs):
  model = _model(inputs)
  needed = Batch({name: batch[name] for name in inputs})
  (prediction, carry), variables = jax.eval_shape(
    lambda: model.init_with_output(jax.random.key(0), needed)
  )
  channels = sum(INPUT_CHANNELS[name] for name in inputs)
  assert variables["params"]["encoder"]["stem"]["kernel"].shape == (4, 4, channels, 8)
  assert prediction["rotations"].shape == (2, TIME, 24, 3, 3)
  assert prediction["betas"].shape == (2, TIME, 10)
  assert prediction["camera"].shape == (2, TIME, 3)
  assert {leaf.dtype for leaf in prediction.values()} == {jnp.dtype("float32")}
  assert [leaf.shape for leaf in carry.memory] == [(2, 8)] * 2
  assert carry.crop is None


def test_channels_are_in_the_order_and_units_that_are_told(batch):
  stack = _model(("keypoints", "rgb", "flow")).channels(batch)
  maps = heatmaps.draw(batch["keypoints"], SIZE, 0.05 * SIZE)
  np.testing.assert_allclose(stack[..., :17], maps, atol=1e-6)
  np.testing.assert_allclose(
    (stack[..., 17:20] + 1) * 127.5, batch["rgb"], rtol=1e-5, atol=1e-4
  )
  # Motion by a twentieth of the crop's width is 1.
  np.testing.assert_allclose(stack[..., 20:] * 0.05 * SIZE, batch["flow"], rtol=1e-5)


def test_streaming_in_chunks_equals_the_whole(batch):
  model = _model()
  apply = jax.jit(model.apply)
  variables = jax.jit(model.init)(jax.random.key(0), batch)
  whole, last = apply(variables, batch)
  carry, chunks = model.initial_carry(2), []
  for start, stop in ((0, 2), (2, TIME)):
    chunk = Batch({name: leaf[:, start:stop] for name, leaf in batch.items()})
    prediction, carry = apply(variables, chunk, carry)
    chunks.append(prediction)
  joined = jax.tree.map(lambda *leaves: jnp.concatenate(leaves, axis=1), *chunks)
  close = lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5)
  jax.tree.map(close, (joined, carry), (whole, last))
  # And the LSTM is not idle.
  alone, _ = apply(variables, Batch({k: v[:, 2:] for k, v in batch.items()}))
  assert np.abs(alone["betas"] - whole["betas"][:, 2:]).max() > 1e-4


def test_without_lstm_every_frame_is_on_its_own(batch):
  model = _model(lstm_features=0)
  assert model.initial_carry(2) is None
  variables = jax.jit(model.init)(jax.random.key(0), batch)
  apply = jax.jit(model.apply)
  whole, carry = apply(variables, batch)
  assert carry is None
  backwards = Batch({name: leaf[:, ::-1] for name, leaf in batch.items()})
  reverse, _ = apply(variables, backwards)
  np.testing.assert_allclose(reverse["camera"][:, ::-1], whole["camera"], atol=1e-6)


def test_bfloat16_predicts_nearly_the_same(batch):
  variables = jax.jit(_model().init)(jax.random.key(0), batch)
  exact, _ = jax.jit(_model().apply)(variables, batch)
  rounded, _ = jax.jit(_model(dtype="bfloat16").apply)(variables, batch)
  assert rounded["rotations"].dtype == jnp.float32
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=0.05), rounded, exact)


def test_unknown_input_is_refused(batch):
  with pytest.raises(ValueError, match="depth"):
    _model(("depth",)).init(jax.random.key(0), batch)
