import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from mhmr_jax.errors import InputError
from mhmr_jax.keypoints import heatmaps
from mhmr_jax.models import motion_hmr
from mhmr_jax.schema import INPUT_CHANNELS, Batch
from tests import drawn, tiny

SIZE, TIME = 16, 4
# Changes the last frame's flow.
_LATER = np.array([1, 1, 1, -1], np.float32)[:, None, None, None]


def _model(inputs=("flow", "keypoints"), form="heatmaps", **changes):
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
  config = dict(model=model, data=dict(size=SIZE), keypoints=dict(form=form))
  return motion_hmr.from_config(ConfigDict(config))


@pytest.fixture(scope="module")
def batch():
  rng = np.random.default_rng(0)
  shape = (2, TIME, SIZE, SIZE)
  keypoints = rng.uniform(0.1, 1, (2, TIME, 17, 3)) * [SIZE, SIZE, 1]
  return Batch(
    rgb=rng.integers(0, 256, (*shape, 3), np.uint8),
    flow=rng.normal(size=(*shape, 2)).astype(np.float32),
    keypoints=keypoints.astype(np.float32),
    valid=np.ones((2, TIME), bool),
  )


@pytest.mark.parametrize("inputs", [("rgb",), ("keypoints",), ("flow", "keypoints")])
def test_shapes_for_any_inputs(batch, inputs):
  model = _model(inputs)
  needed = Batch({name: batch[name] for name in inputs})
  (prediction, carry), variables = jax.eval_shape(
    model.init_with_output, jax.random.key(0), needed
  )
  channels = sum(INPUT_CHANNELS[name] for name in inputs)
  assert variables["params"]["encoder"]["stem"]["kernel"].shape == (4, 4, channels, 8)
  assert prediction["rotations"].shape == (2, TIME, 24, 3, 3)
  assert prediction["betas"].shape == (2, TIME, 10)
  assert prediction["camera"].shape == (2, TIME, 3)
  assert {leaf.dtype for leaf in prediction.values()} == {jnp.dtype("float32")}
  assert [leaf.shape for leaf in carry.memory] == [(2, 8)] * 2
  assert carry.crop is None


def test_joints_are_seen_in_training_alone(batch):
  model = _model(("flow",), encoder=dict(joints=True, norm="group", norm_groups=4))
  needed = Batch({"flow": batch["flow"]})

  def predict(train):
    def run(needed):
      variables = model.init(jax.random.key(0), needed)
      rngs = {"dropout": jax.random.key(1)}
      return model.apply(variables, needed, train=train, rngs=rngs)[0]

    return jax.eval_shape(run, needed)

  seen = predict(True)
  assert seen["joints_seen"].shape == (2, TIME, 24, 2)
  assert seen["joint_heatmaps"].shape[:2] == (2, TIME)
  assert not {"joints_seen", "joint_heatmaps"} & predict(False).keys()


@pytest.mark.parametrize("form", ["dots", "fused"])
def test_channels_are_in_the_order_and_units_that_are_told(batch, form):
  model = _model(("rgb", "keypoints", "flow"), encoder=dict(conv_form=form))
  channels = jax.jit(model.channels)
  stack = np.asarray(channels(batch))
  draw = jax.jit(heatmaps.draw, static_argnums=(1, 2))
  maps = draw(batch["keypoints"], SIZE, 0.05 * SIZE)
  np.testing.assert_allclose(stack[..., 3:20], maps, atol=1e-6)
  np.testing.assert_allclose(
    (stack[..., :3] + 1) * 127.5, batch["rgb"], rtol=1e-5, atol=1e-4
  )
  # Motion by a twentieth of the crop's width is 1.
  np.testing.assert_allclose(stack[..., 20:] * 0.05 * SIZE, batch["flow"], rtol=1e-5)


def test_standardised_flow_knows_neither_the_camera_nor_the_speed(batch):
  flow = np.asarray(batch["flow"])
  channels = jax.jit(_model(("flow",), flow_standardised=True).channels)
  stack = channels(Batch({"flow": batch["flow"]}))
  centred = flow - flow.mean((2, 3), keepdims=True)
  size = np.sqrt(np.mean(centred**2, axis=(2, 3, 4), keepdims=True))
  np.testing.assert_allclose(stack, centred / size, rtol=2e-3, atol=2e-3)
  # Another camera's motion, and a person twice as fast.
  other = 2 * flow + np.float32([3.0, -1.0])
  moved = channels(Batch({"flow": other}))
  np.testing.assert_allclose(moved, stack, atol=3e-3)
  # A still scene is no noise, and has a gradient.
  still = np.zeros_like(flow)
  np.testing.assert_array_equal(channels(Batch({"flow": still})), still)
  gradient = jax.grad(lambda flow: motion_hmr.standardised(flow)[..., 3, 3, 0].sum())
  assert np.isfinite(jax.jit(gradient)(still)).all()
  noise = np.asarray(channels(Batch({"flow": np.float32(0.001 * SIZE) * flow})))
  assert 0.3 < np.sqrt(np.mean(noise**2)) < 0.5


def test_streaming_in_chunks_equals_the_whole(batch):
  model = _model()
  apply = jax.jit(model.apply)
  variables = drawn.variables(model.init, batch)
  whole, last = apply(variables, batch)
  carry, chunks = model.initial_carry(2), []
  for start, stop in ((0, 2), (2, TIME)):
    chunk = Batch({name: leaf[:, start:stop] for name, leaf in batch.items()})
    prediction, carry = apply(variables, chunk, carry)
    chunks.append(prediction)
  joined = jax.tree.map(lambda *leaves: np.concatenate(leaves, axis=1), *chunks)
  close = lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5)
  jax.tree.map(close, (joined, carry), (whole, last))
  # And the LSTM is not idle.
  alone, _ = apply(variables, Batch({k: v[:, 2:] for k, v in batch.items()}))
  ours, theirs = np.asarray(alone["betas"]), np.asarray(whole["betas"])[:, 2:]
  assert np.abs(ours - theirs).max() > 1e-4


@pytest.mark.parametrize("backward", [False, True])
def test_frames_see_later_ones_with_a_backward_lstm_alone(batch, backward):
  model = _model(lstm_backward=backward)
  variables = drawn.variables(model.init, batch)
  apply = jax.jit(model.apply)
  whole, _ = apply(variables, batch)
  changed, _ = apply(variables, Batch({**batch, "flow": batch["flow"] * _LATER}))
  moved = np.abs(np.asarray(whole["betas"]) - changed["betas"]).max(axis=(0, 2))
  assert (moved[:3] > 1e-4).all() == backward
  assert moved[3] > 1e-4


def test_without_lstm_every_frame_is_on_its_own(batch):
  model = _model(lstm_features=0)
  assert model.initial_carry(2) is None
  variables = drawn.variables(model.init, batch)
  apply = jax.jit(model.apply)
  whole, carry = apply(variables, batch)
  assert carry is None
  backwards = Batch({name: leaf[:, ::-1] for name, leaf in batch.items()})
  reverse, _ = apply(variables, backwards)
  turned = np.asarray(reverse["camera"])[:, ::-1]
  np.testing.assert_allclose(turned, whole["camera"], atol=1e-6)


def test_bfloat16_predicts_nearly_the_same(batch):
  variables = drawn.variables(_model().init, batch)
  exact, _ = jax.jit(_model().apply)(variables, batch)
  rounded, _ = jax.jit(_model(dtype="bfloat16").apply)(variables, batch)
  assert rounded["rotations"].dtype == jnp.float32
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=0.05), rounded, exact)


def test_unknown_input_is_refused(batch):
  with pytest.raises(ValueError, match="depth"):
    jax.eval_shape(_model(("depth",)).init, jax.random.key(0), batch)


WINDOW = np.float32([[0.05, -0.1, 0.4], [0.3, 0.0, 0.2]])


def _coordinates_model(inputs=("keypoints",), **regressor):
  settings = dict(hidden=(16,), rounds=2, pose_representation="6d_camera", **regressor)
  encoder = dict(
    stage_blocks=(1,), stage_widths=(8,), stem_kernel=4, stem_stride=4, features=12
  )
  return _model(inputs, "coordinates", regressor=settings, encoder=encoder)


class _Coordinates:
  """A network with all that coordinates allow, and its jitted application."""

  def __init__(self):
    self.model = _coordinates_model(feedback=True, world=True)
    apply = jax.jit(self.model.apply)
    self.apply = lambda *arguments: jax.device_get(apply(*arguments))
    shapes = Batch(keypoints=jnp.zeros((2, TIME, 17, 3)), window=jnp.zeros((2, 3)))
    init = lambda key: motion_hmr.init_variables(self.model, key, shapes)
    self.variables = drawn.variables(init)


@pytest.fixture(scope="module")
def coordinates():
  return _Coordinates()


@pytest.fixture(scope="module")
def people():
  """Points in the camera, in focal lengths off the principal point, and scores."""
  rng = np.random.default_rng(3)
  body = rng.uniform([-0.1, -0.25], [0.1, 0.25], (2, 1, 17, 2))
  path = np.linspace([0.0, 0.0], [0.1, 0.05], TIME)[:, None]
  place = body + path + rng.normal(0, 0.01, (2, TIME, 17, 2))
  return np.concatenate([place, rng.uniform(0.2, 1, (2, TIME, 17, 1))], axis=-1)


def _seen(people, window=WINDOW):
  """The batch of these people in crop windows."""
  centre, half = window[:, None, None, :2], window[:, None, None, 2:]
  pixels = ((people[..., :2] - centre) / half + 1) * (SIZE / 2)
  keypoints = np.concatenate([pixels, people[..., 2:]], axis=-1).astype(np.float32)
  valid = np.ones(people.shape[:2], bool)
  return Batch(keypoints=keypoints, window=np.float32(window), valid=valid)


def _image_points(prediction, window):
  """Where points of the body's frame are predicted in the camera's image."""
  camera = np.asarray(prediction["camera"])[:, :, None]
  points = np.array([[0, 0], [0.3, -0.5], [-0.2, 0.8]])
  crop = camera[..., :1] * (points + camera[..., 1:])
  return window[:, None, None, :2] + window[:, None, None, 2:] * crop


def test_the_chunks_window_changes_nothing_but_the_cameras_units(coordinates, people):
  first, _ = coordinates.apply(coordinates.variables, _seen(people))
  moved = WINDOW * np.float32([1, 1, 1.5]) + np.float32([0.1, -0.2, 0.0])
  second, _ = coordinates.apply(coordinates.variables, _seen(people, moved))
  for name in ("rotations", "betas", "gravity", "standing_logits"):
    np.testing.assert_allclose(second[name], first[name], atol=1e-4, err_msg=name)
  assert np.abs(second["camera"] - first["camera"]).max() > 0.1
  ours, theirs = _image_points(first, WINDOW), _image_points(second, moved)
  np.testing.assert_allclose(theirs, ours, atol=1e-4)
  # In pixels of a video with a focal length of 1000 px they agree to a tenth.
  assert np.abs(1000 * (theirs - ours)).max() < 0.1


def test_an_untrained_camera_is_the_mean_one_in_the_smooth_crop(coordinates, people):
  """The pelvis is predicted near the centre of the person's box."""
  prediction, _ = coordinates.apply(coordinates.variables, _seen(people))
  pelvis = _image_points(prediction, WINDOW)[:, 0, 0]
  found = people[:, 0, :, :2]
  box = (found.min(axis=1) + found.max(axis=1)) / 2
  side = (found.max(axis=1) - found.min(axis=1)).max()
  assert np.abs(pelvis - box).max() < 0.5 * side


def test_streaming_coordinates_in_chunks_equals_the_whole(coordinates, people):
  whole, last = coordinates.apply(coordinates.variables, _seen(people))
  other = np.float32([[0.1, 0.1, 0.6], [0.0, 0.2, 0.3]])
  carry, chunks = coordinates.model.initial_carry(2), []
  for part, window in ((slice(0, 2), WINDOW), (slice(2, TIME), other)):
    batch = _seen(people[:, part], window)
    prediction, carry = coordinates.apply(coordinates.variables, batch, carry)
    image = _image_points(prediction, window)
    del prediction["camera"]
    chunks.append({**prediction, "image": image})
  joined = jax.tree.map(lambda *leaves: np.concatenate(leaves, axis=1), *chunks)
  expected = {**whole, "image": _image_points(whole, WINDOW)}
  for name, value in joined.items():
    np.testing.assert_allclose(value, expected[name], atol=1e-4, err_msg=name)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), carry, last)
  # And the memory is not idle.
  alone, _ = coordinates.apply(coordinates.variables, _seen(people[:, 2:]))
  assert np.abs(alone["betas"] - whole["betas"][:, 2:]).max() > 1e-4


def test_padded_frames_change_nothing_before_them(coordinates, people):
  batch = _seen(people)
  whole, _ = coordinates.apply(coordinates.variables, batch)
  keypoints, valid = np.array(batch["keypoints"]), np.array(batch["valid"])
  keypoints[:, 3:], valid[:, 3:] = 7.0, False
  padded = Batch(keypoints=keypoints, window=batch["window"], valid=valid)
  prediction, _ = coordinates.apply(coordinates.variables, padded)
  for name, value in prediction.items():
    assert np.isfinite(value).all()
    np.testing.assert_array_equal(value[:, :3], whole[name][:, :3], err_msg=name)


def test_nobody_found_is_finite(coordinates, people):
  prediction, _ = coordinates.apply(coordinates.variables, _seen(0 * people))
  assert all(np.isfinite(leaf).all() for leaf in prediction.values())


@pytest.mark.parametrize("name", ["kp", "flow_kp"])
def test_coordinates_are_an_encoder_beside_that_of_images(name, tmp_path):
  config = tiny.config(tmp_path, name, keypoints__form="coordinates")
  model = motion_hmr.from_config(config)
  shapes = motion_hmr.input_shapes(config)
  assert shapes["window"].shape == (4, 3)
  init = lambda key: motion_hmr.init_variables(model, key, shapes)
  variables = jax.eval_shape(init, jax.random.key(0))
  params = variables["params"]
  assert params["point_encoder"]["hidden1"]["kernel"].shape == (91, 16)
  assert ("encoder" in params) == (name == "flow_kp")
  if name == "flow_kp":
    # The images' encoder gets the flow alone.
    assert params["encoder"]["stem"]["kernel"].shape[2] == 2
  prediction, carry = jax.eval_shape(model.apply, variables, shapes)
  assert prediction["rotations"].shape == (4, 4, 24, 3, 3)
  assert prediction["camera"].shape == (4, 4, 3)
  assert carry.crop.points.shape == (4, 17, 3)


def test_feedback_without_coordinates_is_refused(tmp_path):
  for name, form in (("kp", "heatmaps"), ("flow", "coordinates")):
    config = tiny.config(
      tmp_path, name, keypoints__form=form, model__regressor__feedback=True
    )
    with pytest.raises(InputError, match="feedback needs keypoints as coordinates"):
      motion_hmr.from_config(config)
