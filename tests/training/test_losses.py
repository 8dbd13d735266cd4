import jax
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mhmr_jax.body import smpl
from mhmr_jax.geometry import rotations
from mhmr_jax.models.predicted_joints import predicted_joints
from mhmr_jax.schema import Batch, Prediction
from mhmr_jax.training import losses

FRAMES = (2, 3)
ALL = dict.fromkeys(losses.DEFAULT_WEIGHTS, 1.0)


@pytest.fixture(scope="module")
def body():
  return smpl.load()


@pytest.fixture(scope="module")
def loss(body):
  return jax.jit(
    lambda prediction, batch: losses.motion_hmr_loss(body, prediction, batch, ALL)
  )


_matrices = jax.jit(rotations.axis_angle_to_matrix)
_predicted_joints = jax.jit(predicted_joints)


def _prediction(seed):
  rng = np.random.default_rng(seed)
  pose = rng.normal(0, 0.4, (*FRAMES, 24, 3)).astype(np.float32)
  betas = rng.normal(size=(FRAMES[0], 10)).astype(np.float32)
  camera = rng.uniform(0.5, 1, (*FRAMES, 3)).astype(np.float32)
  prediction = Prediction(
    rotations=np.array(_matrices(pose)),
    betas=np.repeat(betas[:, None], FRAMES[1], axis=1),
    camera=camera,
  )
  return prediction, pose, betas


def _own_loss(body, prediction, batch, *weights):
  """Compiled for these weights alone."""
  run = jax.jit(lambda *arrays: losses.motion_hmr_loss(*arrays, *weights))
  return run(body, prediction, batch)


def _value_and_gradient(loss):
  """Its results are NumPy's: each slice of JAX's would be a program of its own."""
  run = jax.jit(jax.value_and_grad(loss, has_aux=True))
  return lambda *arguments: jax.device_get(run(*arguments))


def _terms(body, prediction, batch, *weights):
  """Which terms there are, without computing them."""
  run = lambda *arrays: losses.motion_hmr_loss(*arrays, *weights)
  return jax.eval_shape(run, body, prediction, batch)[1].keys()


@pytest.fixture(scope="module")
def batch(body):
  """Targets that agree with `_prediction(0)`, with the body elsewhere."""
  prediction, pose, betas = _prediction(0)
  joints, joints_crop = _predicted_joints(body, prediction)
  return Batch(
    pose=pose,
    betas=betas,
    joints_camera=np.asarray(joints) + np.float32([0.3, 0.1, 4.0]),
    joints_crop=np.asarray(joints_crop),
    visibility=np.ones((*FRAMES, 24), np.float32),
    valid=np.ones(FRAMES, bool),
  )


def _changed(batch, **fields):
  return Batch({**batch, **fields})


def test_zero_at_the_truth(loss, batch):
  _, terms = loss(_prediction(0)[0], batch)
  unaligned = ("joints_relative", "joints_velocity", "rotations_camera")
  for name in ("joints_3d", "joints_2d", "rotations", "betas", *unaligned):
    assert terms[name] == pytest.approx(0, abs=1e-6), name


def test_joints_are_relative_to_the_pelvis(body):
  joints, joints_crop = map(np.asarray, _predicted_joints(body, _prediction(0)[0]))
  np.testing.assert_allclose(joints[..., 0, :], 0, atol=1e-7)
  s, t = np.split(np.asarray(_prediction(0)[0]["camera"]), [1], axis=-1)
  np.testing.assert_allclose(joints_crop[..., 0, :], s * t, atol=1e-6)


def test_terms_agree_with_numpy_and_scipy(loss, batch, body):
  """Both compute in float64."""
  prediction = _prediction(1)[0]
  _, terms = loss(prediction, batch)
  joints, joints_crop = map(np.asarray, _predicted_joints(body, prediction))
  errors = []
  for points, target in zip(
    joints.reshape(-1, 24, 3),
    batch["joints_camera"].reshape(-1, 24, 3).astype(np.float64),
    strict=True,
  ):
    centred, goal = points - points.mean(0), target - target.mean(0)
    moved = Rotation.align_vectors(goal, centred)[0].apply(centred)
    moved *= (moved * goal).sum() / (moved**2).sum()
    square = ((moved - goal) ** 2).sum(-1)
    errors.append((np.sqrt(square + 1e-6) - 1e-3).mean())
  assert terms["joints_3d"] == pytest.approx(np.mean(errors), rel=1e-4)
  error_2d = np.abs(joints_crop - batch["joints_crop"]).sum(-1).mean()
  assert terms["joints_2d"] == pytest.approx(error_2d, rel=1e-4)
  truth = _matrices(batch["pose"])
  error = np.square(prediction["rotations"] - truth).mean()
  assert terms["rotations"] == pytest.approx(error, rel=1e-4)
  error = np.square(prediction["betas"] - batch["betas"][:, None]).mean()
  assert terms["betas"] == pytest.approx(error, rel=1e-4)
  size = np.square(prediction["betas"]).mean()
  assert terms["betas_prior"] == pytest.approx(size, rel=1e-4)


def test_joints_3d_is_blind_to_a_similarity_of_the_target_but_scale(loss, batch):
  prediction = _prediction(1)[0]
  before = loss(prediction, batch)[1]["joints_3d"]
  turn = Rotation.from_rotvec([0.3, -1.0, 2.0]).as_matrix().astype(np.float32)
  moved = batch["joints_camera"] @ turn.T + np.float32([1, 2, 3])
  after = loss(prediction, _changed(batch, joints_camera=moved))[1]["joints_3d"]
  assert after == pytest.approx(float(before), rel=1e-3)
  # And to the prediction's own orientation.
  root = np.einsum("ij,btjk->btik", turn, prediction["rotations"][:, :, 0])
  turned = prediction["rotations"].copy()
  turned[:, :, 0] = root
  turned_prediction = Prediction({**prediction, "rotations": turned})
  after = loss(turned_prediction, batch)[1]["joints_3d"]
  assert after == pytest.approx(float(before), rel=1e-3)


def test_hidden_joints_do_not_count_in_2d(loss, batch):
  visibility = batch["visibility"].copy()
  visibility[..., 20:] = 0
  joints_crop = batch["joints_crop"].copy()
  joints_crop[..., 20:, :] = np.nan
  hidden = _changed(batch, visibility=visibility, joints_crop=joints_crop)
  assert loss(_prediction(0)[0], hidden)[1]["joints_2d"] == pytest.approx(0, abs=1e-6)
  nothing = _changed(batch, visibility=np.zeros_like(visibility))
  assert loss(_prediction(1)[0], nothing)[1]["joints_2d"] == 0


def test_joints_that_are_seen_count_where_they_are_visible(loss, batch):
  visibility = batch["visibility"].copy()
  visibility[..., 12:] = 0
  seen = batch["joints_crop"] + np.float32([0.3, -0.1])
  seen[..., 12:, :] = 7
  prediction = Prediction({**_prediction(0)[0], "joints_seen": seen})
  total, terms = loss(prediction, _changed(batch, visibility=visibility))
  assert terms["joints_seen"] == pytest.approx(0.4, rel=1e-5)
  without, others = loss(_prediction(0)[0], _changed(batch, visibility=visibility))
  assert "joints_seen" not in others
  assert total - without == pytest.approx(0.4, rel=1e-4)


def test_heatmaps_count_where_joints_are_visible_and_within_reach(body, batch):
  rng = np.random.default_rng(0)
  shape = batch["joints_crop"].shape[:2]
  target = rng.uniform(-1.2, 1.2, (*shape, 24, 2)).astype(np.float32)
  target[..., 3, :] = 1.3  # Beyond the heatmap's cells.
  target[..., 20:, :] = np.nan
  visibility = np.ones((*shape, 24), np.float32)
  visibility[..., 20:] = 0
  logits = rng.normal(size=(*shape, 4, 6, 24))
  logs = logits - np.log(np.exp(logits).sum((2, 3), keepdims=True))
  entropies = []
  for clip, time, joint in np.ndindex(*shape, 20):
    if joint == 3:
      continue
    x, y = target[clip, time, joint].astype(float)
    expected = np.zeros((4, 6))
    for row, column in np.ndindex(4, 6):
      cell = 1.25 * ((2 * column + 1) / 6 - 1), 1.25 * ((2 * row + 1) / 4 - 1)
      expected[row, column] = np.exp(
        -((cell[0] - x) ** 2 + (cell[1] - y) ** 2) / (2 * 0.12**2)
      )
    expected /= expected.sum()
    entropies.append(-(expected * logs[clip, time, :, :, joint]).sum())
  prediction = Prediction(
    {**_prediction(0)[0], "joint_heatmaps": logs.astype(np.float32)}
  )
  changed = _changed(batch, visibility=visibility, joints_crop=target)

  _, terms = _own_loss(body, prediction, changed, {"joint_heatmaps": 1.0})
  assert terms["joint_heatmaps"] == pytest.approx(np.mean(entropies), rel=1e-4)


def test_gradients_are_finite_at_degenerate_joints(body, batch):
  # A body without extent: all joints at one point.
  collapsed = body.replace(
    joint_template=jax.device_put(np.zeros((24, 3), np.float32)),
    joint_shapedirs=jax.device_put(np.zeros((24, 3, 10), np.float32)),
  )
  point = _changed(batch, joints_camera=np.full((*FRAMES, 24, 3), 2.0, np.float32))

  @jax.jit
  def gradient(body, batch, prediction):
    value = lambda p: losses.motion_hmr_loss(body, p, batch, ALL)[0]
    return jax.grad(value)(prediction)

  for case in ((collapsed, batch), (body, point), (collapsed, point), (body, batch)):
    for leaf in jax.tree.leaves(gradient(*case, _prediction(0)[0])):
      assert np.isfinite(leaf).all()


def test_targets_may_be_absent(body, batch):
  only_2d = Batch(joints_crop=batch["joints_crop"])
  value, terms = _own_loss(body, _prediction(1)[0], only_2d)
  assert set(terms) == {"joints_2d", "betas_prior"}
  assert value == pytest.approx(float(terms["joints_2d"]))
  with pytest.raises(ValueError, match="no target"):
    _terms(body, _prediction(1)[0], Batch(valid=batch["valid"]))


def test_weights_scale_terms_and_unknown_ones_are_refused(body, batch):
  prediction = _prediction(1)[0]
  weights = {"joints_3d": 2.0, "joints_2d": 0.0, "betas": 0.5}
  value, terms = _own_loss(body, prediction, batch, weights)
  expected = 2 * terms["joints_3d"] + 0.5 * terms["betas"]
  assert value == pytest.approx(float(expected), rel=1e-6)
  with pytest.raises(ValueError, match="joint_3d"):
    _terms(body, prediction, batch, {"joint_3d": 1.0})


def _joined(left, right):
  return {key: np.concatenate([left[key], right[key]]) for key in left}


def test_clips_of_the_target_domain_count_for_nothing_but_their_domain(loss, batch):
  """Neither the values in place of their labels nor their predictions matter."""
  prediction = _prediction(1)[0]
  doubled = _joined(prediction, _prediction(2)[0])
  wrong = {key: np.full_like(value, 9.0) for key, value in batch.items()}
  both = _joined(batch, {**wrong, "valid": batch["valid"]})
  both["labelled"] = np.repeat([True, False], FRAMES[0])
  expected, terms = loss(prediction, batch)
  value = _value_and_gradient(loss)
  (total, both_terms), gradient = value(doubled, both)
  np.testing.assert_allclose(total, expected, rtol=1e-6)
  for name in terms:
    np.testing.assert_allclose(both_terms[name], terms[name], rtol=1e-6, err_msg=name)
  for key, leaf in gradient.items():
    assert np.any(leaf[: FRAMES[0]]), key
    assert not np.any(leaf[FRAMES[0] :]), key


def test_domain_loss_is_the_cross_entropy_of_valid_frames(loss, batch):
  rng = np.random.default_rng(3)
  logits = rng.normal(size=FRAMES)
  valid = np.ones(FRAMES, bool)
  valid[0, 1] = False
  labelled = np.array([True, False])
  prediction = {**_prediction(1)[0], "domain_logits": np.float32(logits)}
  total, terms = loss(prediction, _changed(batch, valid=valid, labelled=labelled))
  told = 1 / (1 + np.exp(-logits))
  right = np.where(labelled[:, None], told, 1 - told)
  assert terms["domain_loss"] == pytest.approx(-np.log(right[valid]).mean(), rel=1e-5)
  np.testing.assert_allclose(total, sum(terms.values()), rtol=1e-6)


def _down():
  down = np.random.default_rng(5).normal(size=(*FRAMES, 3)).astype(np.float32)
  return down / np.linalg.norm(down, axis=-1, keepdims=True)


def _in_the_world(prediction, gravity, logits):
  logits = np.broadcast_to(np.float32(logits), (*FRAMES, 2))
  return {**prediction, "gravity": gravity, "standing_logits": logits}


def _world(batch):
  standing = np.random.default_rng(6).random((*FRAMES, 2)) < 0.5
  return _changed(batch, gravity=_down(), standing=standing)


def test_matrices_stand_in_for_axis_angles(loss, batch):
  matrices = _matrices(batch["pose"])
  fields = {key: value for key, value in batch.items() if key != "pose"}
  _, expected = loss(_prediction(1)[0], batch)
  _, terms = loss(_prediction(1)[0], Batch(**fields, rotations=matrices))
  for name in ("rotations", "rotations_camera"):
    assert terms[name] == pytest.approx(float(expected[name]), rel=1e-4)
    assert terms[name] > 1e-3


def test_unaligned_joints_have_the_error_of_their_distances(loss, batch, body):
  prediction = _prediction(1)[0]
  _, terms = loss(prediction, batch)
  joints, _ = _predicted_joints(body, prediction)
  target = batch["joints_camera"].astype(np.float64)
  difference = np.asarray(joints) - (target - target[..., :1, :])
  knee = 1e-3
  length = lambda x: (np.sqrt((x**2).sum(-1) + knee**2) - knee).mean()
  assert terms["joints_relative"] == pytest.approx(length(difference), rel=1e-4)
  change = np.diff(difference, axis=1)
  assert terms["joints_velocity"] == pytest.approx(length(change), rel=1e-4)
  # A body elsewhere is as good, a larger one is not, and has a constant error.
  moved = _changed(batch, joints_camera=batch["joints_camera"] + np.float32([1, 2, 3]))
  _, elsewhere = loss(prediction, moved)
  expected = float(terms["joints_relative"])
  assert elsewhere["joints_relative"] == pytest.approx(expected, rel=1e-3)
  still = np.zeros((*FRAMES, 24, 3), np.float32)
  still[..., 1:, 0] = 0.5
  one = jax.tree.map(lambda leaf: leaf[:, :1].repeat(FRAMES[1], 1), prediction)
  _, constant = loss(one, _changed(batch, joints_camera=still))
  assert constant["joints_velocity"] == pytest.approx(0, abs=1e-6)
  assert constant["joints_relative"] > 0.1


def test_a_turn_of_the_whole_body_counts_once_relative_to_the_parent(loss, batch):
  truth = _prediction(0)[0]
  turn = Rotation.from_rotvec([0, 0, 0.2]).as_matrix()
  turned = {**truth, "rotations": truth["rotations"].copy()}
  root = np.einsum("ij,btjk->btik", turn, truth["rotations"][:, :, 0])
  turned["rotations"][:, :, 0] = root
  _, terms = loss(turned, batch)
  # The squared Frobenius norm of R - I is 4 (1 - cos), of 9 entries.
  error = 4 * (1 - np.cos(0.2)) / 9
  assert terms["rotations"] == pytest.approx(error / 24, rel=1e-3)
  assert terms["rotations_camera"] == pytest.approx(error, rel=1e-3)


def test_gravity_and_standing_feet_have_known_errors(loss, batch):
  truth, world = _prediction(0)[0], _world(batch)
  sure = np.where(world["standing"], 30.0, -30.0)
  _, terms = loss(_in_the_world(truth, world["gravity"], sure), world)
  assert terms["gravity"] == pytest.approx(0, abs=1e-7)
  assert terms["standing"] == pytest.approx(0, abs=1e-6)
  _, terms = loss(_in_the_world(truth, -world["gravity"], 0.0), world)
  assert terms["gravity"] == pytest.approx(4, rel=1e-5)
  assert terms["standing"] == pytest.approx(np.log(2), rel=1e-5)
  _, terms = loss(_in_the_world(truth, world["gravity"], -sure), world)
  assert terms["standing"] == pytest.approx(30, rel=1e-5)


def test_the_new_terms_are_left_out_without_target_or_weight(body, batch):
  world = _world(batch)
  prediction = _in_the_world(_prediction(1)[0], world["gravity"], 0.0)
  terms = _terms(body, prediction, world)
  # Those of weight 0 that cost time are left out, others are reported.
  assert not terms & {"joints_relative", "joints_velocity", "rotations_camera"}
  assert {"gravity", "standing"} <= terms
  assert not _terms(body, prediction, batch, ALL) & {"gravity", "standing"}
  only_2d = Batch(joints_crop=batch["joints_crop"])
  terms = _terms(body, _prediction(1)[0], only_2d, ALL)
  assert terms == {"joints_2d", "betas_prior"}
  weights = {"gravity": 3.0, "joints_velocity": 2.0, "joints_3d": 0.0, "joints_2d": 0.0}
  off = _in_the_world(_prediction(1)[0], -world["gravity"], 0.0)
  value, terms = _own_loss(body, off, world, weights)
  expected = 3 * terms["gravity"] + 2 * terms["joints_velocity"]
  assert value == pytest.approx(float(expected), rel=1e-5)


def test_garbage_in_invalid_frames_changes_nothing(loss, batch):
  valid = np.ones(FRAMES, bool)
  valid[0, 1] = False
  clean = {**_world(batch), "valid": valid}
  clean["rotations"] = np.array(_matrices(clean.pop("pose")))
  prediction = _in_the_world(_prediction(1)[0], -_down(), 0.3)
  value = _value_and_gradient(loss)
  (_, expected), gradient = value(prediction, Batch(clean))
  fields = {name: np.array(leaf) for name, leaf in clean.items()}
  for name in (
    *("rotations", "joints_camera", "joints_crop", "visibility", "gravity"),
  ):
    fields[name][0, 1] = np.nan
  fields["standing"][0, 1] = ~fields["standing"][0, 1]
  (_, terms), again = value(prediction, Batch(fields))
  for name in terms:
    assert terms[name] == pytest.approx(float(expected[name]), rel=1e-5), name
  close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
  jax.tree.map(close, again, gradient)
  assert not any(np.any(leaf[0, 1]) for leaf in jax.tree.leaves(again))
  assert all(np.any(leaf[0, 0]) for leaf in jax.tree.leaves(again))
  # The change into an invalid frame, and out of it, does not count either.
  assert terms["joints_velocity"] > 0
  middle = np.zeros(FRAMES, bool)
  middle[:, 1] = True
  single = value(prediction, Batch({**clean, "valid": middle}))[0][1]
  assert single["joints_velocity"] == 0
  assert single["joints_relative"] > 0
