import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mhmr_jax import scores, sharding
from mhmr_jax.body import smpl
from mhmr_jax.errors import InputError
from mhmr_jax.geometry import rotations

FPS = (30.0, 25.0, 30.0)
LENGTHS = (7, 12, 3)


@pytest.fixture(scope="module")
def body():
  return smpl.load()


@pytest.fixture(scope="module")
def mesh():
  return sharding.make_mesh()


@pytest.fixture(scope="module")
def clips(body):
  rng = np.random.default_rng(0)
  pose = rng.normal(0, 0.4, (sum(LENGTHS), 24, 3)).astype(np.float32)
  betas = rng.normal(size=(len(LENGTHS), 10)).astype(np.float32)
  transl = np.tile(np.float32([0.2, 0.1, 4.0]), (len(pose), 1))
  joints = jax.jit(smpl.joints)(body, pose, np.repeat(betas, LENGTHS, axis=0), transl)
  borders = np.cumsum(LENGTHS)[:-1]
  made = [
    {
      "pose": np.split(pose, borders)[number],
      "betas": betas[number],
      "joints_camera": np.split(np.array(joints), borders)[number],
      "valid": np.ones(length, bool),
      "frame_index": np.arange(length),
      "fps": FPS[number],
      "sequence": f"clip_{number}",
    }
    for number, length in enumerate(LENGTHS)
  ]
  made[1]["valid"][[4, 11]] = False
  made[1]["joints_camera"][4] += 50.0  # An invalid frame may hold anything.
  return made


def _prediction(clips, error, seed=1):
  rng = np.random.default_rng(seed)
  pose = np.concatenate([clip["pose"] for clip in clips])
  pose = pose + rng.normal(0, error, pose.shape).astype(np.float32)
  betas = np.repeat([clip["betas"] for clip in clips], LENGTHS, axis=0)
  return np.asarray(
    rotations.axis_angle_to_matrix(jnp.asarray(pose))
  ), betas + np.float32(error)


def _aligned(points, target):
  """Umeyama's similarity in float64, one frame."""
  a, b = points - points.mean(0), target - target.mean(0)
  U, D, Vt = np.linalg.svd(b.T @ a)
  S = np.diag([1, 1, np.sign(np.linalg.det(U) * np.linalg.det(Vt))])
  scale = np.trace(np.diag(D) @ S) / (a**2).sum()
  return scale * a @ (U @ S @ Vt).T + target.mean(0)


def _reference(body, matrices, betas, clips):
  """Every measure by loops over single frames, in NumPy; sequences of lists."""
  origin = np.zeros((len(betas), 3), np.float32)
  vertices, joints = jax.device_get(
    jax.jit(smpl.forward_matrices)(body, matrices, betas, origin)
  )
  surface, label = jax.device_get(
    jax.jit(smpl.forward)(
      body,
      np.concatenate([clip["pose"] for clip in clips]),
      np.repeat([clip["betas"] for clip in clips], LENGTHS, axis=0),
      origin,
    )
  )
  out, frame = [], 0
  for clip in clips:
    row = {"pa_mpjpe_mm": [], "mpjpe_mm": [], "pve_mm": [], "accel_mm_s2": []}
    length = len(clip["pose"])
    said = joints[frame : frame + length].astype(np.float64)
    said = said - said[:, :1]
    truth = clip["joints_camera"].astype(np.float64)
    truth = truth - truth[:, :1]
    for t in np.flatnonzero(clip["valid"]):
      error = np.linalg.norm(_aligned(said[t], truth[t]) - truth[t], axis=-1)
      row["pa_mpjpe_mm"].append(1000 * error.mean())
      error = np.linalg.norm(said[t] - truth[t], axis=-1)
      row["mpjpe_mm"].append(1000 * error.mean())
      a = vertices[frame + t] - joints[frame + t, 0]
      b = surface[frame + t] - label[frame + t, 0]
      row["pve_mm"].append(1000 * np.linalg.norm(a - b, axis=-1).mean())
    for t in range(1, length - 1):
      if clip["valid"][t - 1 : t + 2].all():
        d = said[t - 1 : t + 2] - truth[t - 1 : t + 2]
        error = np.linalg.norm(d[0] - 2 * d[1] + d[2], axis=-1).mean()
        row["accel_mm_s2"].append(1000 * error * clip["fps"] ** 2)
    out.append(row)
    frame += length
  return out


def test_errors_equal_plain_numpy_loops(body, mesh, clips, monkeypatch):
  # Blocks that don't divide the frames.
  monkeypatch.setattr(scores, "_FRAMES_AT_ONCE", 5)
  matrices, betas = _prediction(clips, 0.2)
  found = scores.score(body, matrices, betas, scores.Truth.of(clips), mesh)
  reference = _reference(body, matrices, betas, clips)
  assert len(found[1]["pa_mpjpe_mm"]) == 10
  for ours, theirs in zip(found, reference, strict=True):
    assert ours.keys() == theirs.keys()
    for name, values in theirs.items():
      np.testing.assert_allclose(ours[name], values, rtol=2e-4, atol=0.01)


def test_mean_is_per_frame_not_per_sequence(body, mesh, clips):
  matrices, betas = _prediction(clips, 0.2)
  found = scores.score(body, matrices, betas, scores.Truth.of(clips), mesh)
  reference = _reference(body, matrices, betas, clips)
  means = scores.mean_per_frame(found)
  for name, value in means.items():
    everything = np.concatenate([row[name] for row in reference])
    assert value == pytest.approx(everything.mean(), rel=1e-4)


def test_perfect_prediction_scores_zero(body, mesh, clips):
  matrices, betas = _prediction(clips, 0.0)
  found = scores.score(body, matrices, betas, scores.Truth.of(clips), mesh)
  means = scores.mean_per_frame(found)
  assert means["accel_mm_s2"] < 5  # Rounding, a ten-thousandth of a body's.
  assert max(means[k] for k in ("pa_mpjpe_mm", "mpjpe_mm", "pve_mm")) < 0.01


def test_oracle_is_constant_and_no_worse_than_a_frame_of_the_truth(clips):
  truth = scores.Truth.of(clips)
  oracle = scores.mean_per_frame(scores.score_oracle(truth))
  assert oracle["pve_mm"] is None
  for frame in truth.joints[truth.valid][::3]:
    still = np.broadcast_to(frame, truth.joints.shape)
    mpjpe = 1000 * np.linalg.norm(still - truth.joints, axis=-1).mean(-1)
    assert oracle["mpjpe_mm"] < mpjpe[truth.valid].mean()
    aligned = [_aligned(frame, target) for target in truth.joints[truth.valid]]
    error = np.linalg.norm(aligned - truth.joints[truth.valid], axis=-1).mean()
    assert oracle["pa_mpjpe_mm"] < 1000 * error
  # Standing still, the error is the truth's own acceleration.
  mute = scores.by_sequence(0 * truth.joints, {}, truth)
  assert oracle["accel_mm_s2"] == pytest.approx(
    scores.mean_per_frame(mute)["accel_mm_s2"], rel=1e-4
  )


def test_labels_of_another_body_are_refused(body, mesh, clips):
  matrices, betas = _prediction(clips, 0.0)
  other = [dict(clip, betas=clip["betas"] + 2) for clip in clips]
  with pytest.raises(InputError, match=r"config\.body\.path"):
    scores.score(body, matrices, betas, scores.Truth.of(other), mesh)


def test_predictions_that_are_not_finite_are_refused(body, mesh, clips):
  matrices, betas = _prediction(clips, 0.0)
  betas = betas.copy()
  betas[3, 1] = np.nan
  with pytest.raises(InputError, match="not finite"):
    scores.score(body, matrices, betas, scores.Truth.of(clips), mesh)


def test_sequences_too_short_for_acceleration_have_none(clips):
  truth = scores.Truth.of(clips[2:])
  truth = truth._replace(valid=np.array([True, True, False]))
  means = scores.mean_per_frame(scores.score_oracle(truth))
  assert means["accel_mm_s2"] is None
  assert means["pa_mpjpe_mm"] < 1000
