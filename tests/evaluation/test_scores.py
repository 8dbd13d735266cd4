"""Every protocol's figures against plain loops over single frames in float64."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mhmr_jax.body import joints as body_joints
from mhmr_jax.body import smpl
from mhmr_jax.body.gendered import Bodies
from mhmr_jax.errors import InputError
from mhmr_jax.evaluation import means, protocols, readout
from mhmr_jax.evaluation.scores import Scorer
from mhmr_jax.evaluation.truth import Predicted, Truth
from mhmr_jax.geometry import rotations
from mhmr_jax.runtime import sharding
from tests.body.made_up_regressors import made_up
from tests.evaluation import reference

FPS = (30.0, 25.0, 30.0, 30.0)
LENGTHS = (7, 12, 3, 9)
NAMES = ("street_00_0", "street_00_1", "park_01_0", "yard_02_0")
GENDERS = ("male", "female", "female", "male")
MEASURES = {
  *("pa_mpjpe_mm", "mpjpe_mm", "pve_mm", "accel_mm_s2"),
  *("pck_150mm_percent", "auc_150mm_percent"),
}


_matrices = jax.jit(rotations.axis_angle_to_matrix)


def _grown(body, factor):
  changed = {
    name: getattr(body, name) * jnp.asarray([factor, 1, 1 / factor], jnp.float32)
    for name in ("v_template", "joint_template")
  }
  return dataclasses.replace(body, **changed)


@pytest.fixture(scope="module")
def bodies():
  body = smpl.load()
  return Bodies(body, _grown(body, 1.1), _grown(body, 0.9))


@pytest.fixture(scope="module")
def mesh():
  return sharding.make_mesh()


@pytest.fixture(scope="module")
def clips(bodies):
  rng = np.random.default_rng(0)
  made = []
  for number, length in enumerate(LENGTHS):
    pose = rng.normal(0, 0.4, (length, 24, 3)).astype(np.float32)
    betas = rng.normal(size=10).astype(np.float32)
    transl = np.tile(np.float32([0.2, 0.1, 4.0]), (length, 1))
    body = bodies.of(GENDERS[number])
    label = jax.jit(smpl.joints)(body, pose, np.tile(betas, (length, 1)), transl)
    made.append(
      {
        "pose": pose,
        "betas": betas,
        "joints_camera": np.array(label),
        "keypoints_image": rng.uniform(1, 9, (length, 17, 3)).astype(np.float32),
        "valid": np.ones(length, bool),
        "frame_index": np.arange(length),
        "fps": FPS[number],
        "sequence": NAMES[number],
        "gender": GENDERS[number],
      }
    )
  made[1]["valid"][[4, 11]] = False
  made[3]["frame_index"][5:] += 6
  made[1]["keypoints_image"][8] = 0
  made[3]["keypoints_image"][3] = 0
  # Six are visible: one hip short of enough. Then seven, one of which is the neck.
  for frame, visible in ((1, [9, 10, 11, 13, 14, 15]), (2, [5, 6, 7, 8, 9, 10])):
    made[3]["keypoints_image"][frame] = 0
    made[3]["keypoints_image"][frame, visible] = 1
  return made


def _prediction(clips, error, seed=1):
  rng = np.random.default_rng(seed)
  pose = np.concatenate([clip["pose"] for clip in clips])
  pose = pose + rng.normal(0, error, pose.shape).astype(np.float32)
  betas = np.repeat([clip["betas"] for clip in clips], _lengths(clips), axis=0)
  matrices = np.asarray(_matrices(pose))
  return Predicted.of_bodies(matrices, betas + np.float32(error))


def _lengths(clips):
  return [len(clip["pose"]) for clip in clips]


def _scorer(name, clips, bodies, mesh, dataset="threedpw"):
  protocol = protocols.get(name)
  regressor = None
  if protocol.regressor:
    kinds = {"h36m": body_joints.H36M_JOINTS, "cocoplus": body_joints.COCOPLUS_JOINTS}
    regressor = made_up(bodies.neutral, kinds[protocol.regressor])
  return Scorer(protocol, regressor, bodies, Truth.of(clips, dataset), mesh)


def _points(name, regressor, vertices, own_joints):
  """All rows that the protocol's joints and root are taken from."""
  return own_joints if name == "smpl24" else regressor @ vertices


def _counts(name, clip, t):
  keypoints = clip["keypoints_image"][t]
  if name == "spin":
    return clip["valid"][t]
  if name == "smpl24":
    return clip["valid"][t] and keypoints.any()
  visible = keypoints[:, 2] > 0
  return clip["valid"][t] and visible[5:].sum() + (visible[5] and visible[6]) > 6


def _reference(name, scorer, predicted, clips):
  """Every measure by loops; for each clip lists of the frames that count."""
  regressor, bodies = scorer.regressor, scorer.bodies
  matrices, betas = predicted.arrays["rotations"], predicted.arrays["betas"]
  origin = np.zeros((len(betas), 3), np.float32)
  forward, plain = jax.jit(smpl.forward_matrices), jax.jit(smpl.forward)
  surface, own = (
    np.asarray(x, np.float64) for x in forward(bodies.neutral, matrices, betas, origin)
  )
  out, start = [], 0
  for clip in clips:
    body = bodies.of(clip["gender"])
    length = len(clip["pose"])
    label = plain(
      body, clip["pose"], np.tile(clip["betas"], (length, 1)), origin[:length]
    )
    label_surface, label_own = (np.asarray(x, np.float64) for x in label)
    row = {measure: [] for measure in MEASURES}
    row |= {"joints_mm": [], "joints_pa_mm": []}
    ours, true = {}, {}
    for t in range(length):
      if not (_counts(name, clip, t) and predicted.present[start + t]):
        continue
      points = _points(name, regressor, surface[start + t], own[start + t])
      ours[t], root = reference.joints_and_root(name, points)
      points = _points(name, regressor, label_surface[t], label_own[t])
      true[t], goal = reference.joints_and_root(name, points)
      aligned = reference.aligned(ours[t], true[t])
      error = reference.distances_mm(aligned, true[t])
      row["joints_pa_mm"].append(error)
      row["pa_mpjpe_mm"].append(error.mean())
      error = reference.distances_mm(ours[t], true[t])
      row["joints_mm"].append(error)
      row["mpjpe_mm"].append(error.mean())
      row["pck_150mm_percent"].append(100 * (error < 150).mean())
      area = np.mean([(error < mm).mean() for mm in range(0, 151, 5)])
      row["auc_150mm_percent"].append(100 * area)
      error = reference.distances_mm(surface[start + t] - root, label_surface[t] - goal)
      row["pve_mm"].append(error.mean())
    index = clip["frame_index"]
    for t in range(1, length - 1):
      three = (t - 1, t, t + 1)
      if set(three) <= ours.keys() and index[t + 1] - index[t - 1] == 2:
        pair = ([joints[i] for i in three] for joints in (ours, true))
        error = reference.acceleration_error(*pair, clip["fps"])
        row["accel_mm_s2"].append(error)
    out.append(row)
    start += length
  return out


@pytest.mark.parametrize("name", ["spin", "hmmr", "smpl24"])
def test_errors_equal_plain_numpy_loops(name, bodies, mesh, clips, monkeypatch):
  # Blocks that don't divide the frames.
  monkeypatch.setattr(readout, "SURFACE_BLOCK", {"steps": 2, "size": 3})
  monkeypatch.setattr(readout, "JOINT_BLOCK", {"steps": 1, "size": 8})
  scorer = _scorer(name, clips, bodies, mesh)
  predicted = _prediction(clips, 0.2)
  predicted.present[[3, 20]] = False
  found = scorer.score(predicted)
  expected_errors = _reference(name, scorer, predicted, clips)
  for ours, theirs in zip(found, expected_errors, strict=True):
    assert ours.keys() == theirs.keys()
    for measure, values in theirs.items():
      assert len(ours[measure]) == len(values)
      if values and "percent" not in measure:
        np.testing.assert_allclose(ours[measure], values, rtol=2e-4, atol=0.01)
  counted = {"spin": 29, "hmmr": 26, "smpl24": 27}[name]
  assert scorer.counted.sum() == counted

  sequences = scorer.truth.sequences
  assert sequences == ("street_00", "street_00", "park_01", "yard_02")
  figures = means.overall(found, sequences, scorer.protocol)
  assert figures.keys() == MEASURES
  for measure, value in figures.items():
    parts = [row[measure] for row in expected_errors]
    parts = [parts[0] + parts[1], *parts[2:]]
    expected = np.mean(list(itertools.chain.from_iterable(parts)))
    if name == "hmmr":
      expected = np.mean([np.mean(part) for part in parts if part])
    tolerance = 0.1 if "percent" in measure else 0.02  # An error on a threshold.
    assert value == pytest.approx(expected, rel=2e-4, abs=tolerance)
  rows = means.per_joint(found, sequences, scorer.protocol)
  assert [row["joint"] for row in rows] == list(scorer.protocol.joints)
  parts = [np.array(row["joints_mm"]).reshape(-1, len(rows)) for row in expected_errors]
  parts = [np.concatenate(parts[:2]), *parts[2:]]
  expected = np.concatenate(parts).mean(0)
  if name == "hmmr":
    expected = np.mean([part.mean(0) for part in parts], axis=0)
  np.testing.assert_allclose([row["mpjpe_mm"] for row in rows], expected, rtol=2e-4)


_joints = jax.jit(smpl.joints)


@pytest.mark.parametrize("name", ["spin", "hmmr", "smpl24"])
def test_the_labels_themselves_score_zero(name, bodies, mesh, clips):
  same = [dict(clip, gender="neutral") for clip in clips]
  for clip in same:
    length = len(clip["pose"])
    betas = np.tile(clip["betas"], (length, 1))
    origin = jnp.zeros((length, 3))
    label = _joints(bodies.neutral, *map(jnp.asarray, (clip["pose"], betas)), origin)
    clip["joints_camera"] = np.array(label)
  scorer = _scorer(name, same, bodies, mesh)
  figures = means.overall(
    scorer.score(_prediction(same, 0.0)), scorer.truth.sequences, scorer.protocol
  )
  assert figures["accel_mm_s2"] < 5  # Rounding, a ten-thousandth of a body's.
  assert max(figures[k] for k in ("pa_mpjpe_mm", "mpjpe_mm", "pve_mm")) < 0.02
  assert figures["pck_150mm_percent"] == pytest.approx(100)
  assert figures["auc_150mm_percent"] > 96.7


@pytest.mark.parametrize("name", ["spin", "smpl24"])
def test_one_row_stands_for_all_frames(name, bodies, mesh, clips):
  scorer = _scorer(name, clips, bodies, mesh)
  first = {k: v[0] for k, v in _prediction(clips, 0.2).arrays.items()}
  repeated = {k: np.repeat(v[None], 31, axis=0) for k, v in first.items()}
  expected = scorer.score(Predicted.of_bodies(**repeated))
  found = scorer.score(Predicted.constant(**first, frames=31))
  for ours, theirs in zip(found, expected, strict=True):
    assert ours.keys() == theirs.keys()
    for measure in ("pa_mpjpe_mm", "pve_mm", "accel_mm_s2"):
      np.testing.assert_allclose(ours[measure], theirs[measure], rtol=1e-3, atol=0.01)


def test_vertices_and_joints_score_as_the_body_that_they_are_of(bodies, mesh, clips):
  scorer = _scorer("spin", clips, bodies, mesh)
  predicted = _prediction(clips, 0.2)
  expected = scorer.score(predicted)
  arrays = predicted.arrays
  vertices, _ = jax.jit(smpl.forward_matrices)(
    bodies.neutral, arrays["rotations"], arrays["betas"], np.ones((31, 3), np.float32)
  )
  vertices = np.asarray(vertices)
  points = np.einsum("nv,fvc->fnc", scorer.protocol.readout(scorer.regressor), vertices)
  of_vertices = scorer.score(Predicted({"vertices": vertices}, predicted.present))
  of_points = scorer.score(Predicted({"points": points}, predicted.present))
  for row, with_surface, without in zip(expected, of_vertices, of_points, strict=True):
    assert "pve_mm" not in without
    for measure in ("pa_mpjpe_mm", "mpjpe_mm", "pve_mm"):
      np.testing.assert_allclose(with_surface[measure], row[measure], atol=0.01)
      if measure in without:
        np.testing.assert_allclose(without[measure], row[measure], atol=0.01)


@pytest.mark.parametrize("name", ["smpl24", "hmmr"])
def test_oracle_is_constant_and_no_worse_than_a_frame_of_the_truth(
  name, bodies, mesh, clips
):
  scorer = _scorer(name, clips, bodies, mesh)

  def figures(joints):
    points = np.append(joints, np.zeros((1, 3)), axis=0)
    still = np.broadcast_to(points, (31, *points.shape))
    errors = scorer.score(Predicted({"points": still}, np.ones(31, bool)))
    return means.overall(errors, scorer.truth.sequences, scorer.protocol)

  oracle = means.overall(scorer.score_oracle(), scorer.truth.sequences, scorer.protocol)
  assert oracle["pve_mm"] is None
  for frame in scorer.labels.joints[scorer.counted][::4]:
    other = figures(frame)
    assert oracle["mpjpe_mm"] < other["mpjpe_mm"]
    assert oracle["pa_mpjpe_mm"] < other["pa_mpjpe_mm"]
    # Standing still, the error is the truth's own acceleration.
    assert oracle["accel_mm_s2"] == pytest.approx(other["accel_mm_s2"], rel=1e-4)


def test_labels_of_another_body_are_refused(bodies, mesh, clips):
  with pytest.raises(InputError, match=r"config\.body\.female"):
    _ = _scorer(
      "smpl24", clips, bodies._replace(female=bodies.male), mesh
    ).labels.joints
  neutral = [dict(clip, gender="neutral") for clip in clips]
  with pytest.raises(InputError, match=r"config\.body\.path"):
    _ = _scorer("smpl24", neutral, bodies, mesh).labels.joints


def test_a_missing_body_leaves_the_surface_out_or_is_asked_for(bodies, mesh, clips):
  without = bodies._replace(male=None)
  scorer = _scorer("smpl24", clips, without, mesh)
  figures = means.overall(
    scorer.score(_prediction(clips, 0.2)), scorer.truth.sequences, scorer.protocol
  )
  assert figures["pve_mm"] is None
  whole = _scorer("smpl24", clips, bodies, mesh)
  expected = means.overall(
    whole.score(_prediction(clips, 0.2)), whole.truth.sequences, whole.protocol
  )
  assert figures["mpjpe_mm"] == pytest.approx(expected["mpjpe_mm"], rel=1e-4)
  with pytest.raises(InputError, match=r"config\.body\.male"):
    _ = _scorer("spin", clips, without, mesh).labels.joints


def test_predictions_that_are_not_finite_are_refused(bodies, mesh, clips):
  predicted = _prediction(clips, 0.0)
  predicted.arrays["betas"][3, 1] = np.nan
  with pytest.raises(InputError, match="not all finite"):
    _scorer("smpl24", clips, bodies, mesh).score(predicted)


def test_frames_that_do_not_count_may_hold_anything(bodies, mesh, clips):
  predicted = _prediction(clips, 0.1)
  scorer = _scorer("smpl24", clips, bodies, mesh)
  expected = scorer.score(predicted)
  predicted.arrays["betas"][7 + 4] = np.nan
  odd = [dict(clip) for clip in clips]
  odd[1]["joints_camera"] = odd[1]["joints_camera"] + 50 * (
    ~odd[1]["valid"][:, None, None]
  ).astype(np.float32)
  found = _scorer("smpl24", odd, bodies, mesh).score(predicted)
  np.testing.assert_array_equal(found[1]["mpjpe_mm"], expected[1]["mpjpe_mm"])


def test_a_split_in_which_no_frame_counts_is_refused(bodies, mesh, clips):
  none = [dict(clip, valid=np.zeros(len(clip["valid"]), bool)) for clip in clips]
  with pytest.raises(InputError, match="counts no frame"):
    _ = _scorer("spin", none, bodies, mesh).counted
  bare = [{k: v for k, v in c.items() if k != "keypoints_image"} for c in clips]
  with pytest.raises(InputError, match="no keypoints"):
    _ = _scorer("hmmr", bare, bodies, mesh).counted
  with pytest.raises(InputError, match="no clips"):
    Truth.of([], "threedpw")
