"""The pose prior: its density, its fit, its file and its command."""

import jax
import numpy as np
import pytest
import safetensors.numpy
from absl.testing import flagsaver
from scipy.spatial.transform import Rotation

from mhmr_jax.errors import InputError
from mhmr_jax.motion import fit_pose_prior, library, pose_prior
from mhmr_jax.runtime import program


@pytest.fixture(scope="module")
def poses():
  rng = np.random.default_rng(0)
  centres = rng.normal(0, 0.4, (2, 24, 3))
  return (centres[np.arange(400) % 2] + rng.normal(0, 0.1, (400, 24, 3))).astype(
    np.float32
  )


@pytest.fixture(scope="module")
def prior(poses):
  return pose_prior.fit(poses, 2, np.random.default_rng(0))


def _matrices(pose):
  matrices = Rotation.from_rotvec(pose.reshape(-1, 3)).as_matrix()
  return matrices.reshape(*pose.shape, 3).astype(np.float32)


def test_the_density_is_that_of_a_mixture(poses, prior):
  from scipy import stats  # It takes a second, which one process spends.

  some = _matrices(poses[:5])
  columns = np.concatenate([some[:, 1:22, :, 0], some[:, 1:22, :, 1]], -1)
  x = columns.reshape(5, 126)
  density = 0
  for log_factor, mean, factor in zip(*map(np.asarray, prior), strict=True):
    covariance = np.linalg.inv(factor.T.astype(float) @ factor)
    share = np.exp(log_factor - np.log(np.diag(factor)).sum())
    normal = stats.multivariate_normal(mean, covariance)
    density = density + share * np.exp(normal.logpdf(x))
  found = jax.jit(pose_prior.negative_log_density)(prior, some)
  np.testing.assert_allclose(
    np.diff(found), -np.diff(np.log(density)), rtol=1e-2, atol=0.05
  )
  assert (np.asarray(found) >= 0).all()


def test_each_component_takes_its_own_poses(poses, prior):
  expected = [_matrices(poses[half::2])[:, 1:22, :, 0].mean(0) for half in (0, 1)]
  found = np.asarray(prior.means).reshape(2, 21, 6)[..., :3]
  pairs = [[np.abs(f - e).max() for e in expected] for f in found]
  assert max(min(row) for row in pairs) < 0.02


def test_the_gradient_is_finite_at_every_rotation(prior):
  rotations = np.broadcast_to(np.eye(3, dtype=np.float32), (3, 24, 3, 3)).copy()
  rotations[1] = np.diag([-1.0, -1.0, 1.0])
  rotations[2] = 0
  gradient = jax.grad(lambda r: pose_prior.negative_log_density(prior, r).sum())
  assert np.isfinite(jax.jit(gradient)(rotations)).all()


def test_equal_poses_can_be_fitted():
  still = np.zeros((20, 24, 3), np.float32)
  prior = pose_prior.fit(still, 3, np.random.default_rng(0))
  for array in prior:
    assert np.isfinite(array).all()


def test_a_file_gives_the_same_prior(tmp_path, prior):
  path = tmp_path / "prior.safetensors"
  pose_prior.write(path, prior)
  for found, expected in zip(pose_prior.read(path), prior, strict=True):
    np.testing.assert_array_equal(found, expected)
  assert pose_prior.SHIPPED.stat().st_size < 300_000


@pytest.mark.parametrize(
  "change",
  [
    {"means": None},
    {"means": np.zeros((2, 3), np.float32)},
    {"log_factors": np.zeros((), np.float32)},
    {"log_factors": np.zeros(0, np.float32)},
    {"factors": np.full((2, 8001), np.nan, np.float32)},
    {"factors": np.zeros((2, 8001), np.int32)},
  ],
)
def test_a_damaged_file_is_refused_in_one_sentence(tmp_path, prior, change):
  path = tmp_path / "prior.safetensors"
  pose_prior.write(path, prior)
  arrays = {**safetensors.numpy.load_file(path), **change}
  kept = {name: array for name, array in arrays.items() if array is not None}
  safetensors.numpy.save_file(kept, path)
  with pytest.raises(InputError, match="make the file"):
    pose_prior.read(path)


def test_poses_are_drawn_of_one_split_and_mirrored():
  motions = library.open_motions("")
  rng = np.random.default_rng(0)
  poses = fit_pose_prior.draw_poses(motions, "train", 15, rng)
  assert poses.shape == (30, 24, 3)
  left, right = poses[:15, 18], poses[15:, 19]  # Elbows.
  np.testing.assert_allclose(left * [1, -1, -1], right, atol=1e-6)


def test_the_command_writes_a_prior_of_procedural_motion(tmp_path, capsys):
  out = tmp_path / "prior.safetensors"
  flag = {program.OUT.name: str(out), "poses": 100}
  with flagsaver.flagsaver(**flag):
    fit_pose_prior.main([])
  assert "held-out poses" in capsys.readouterr().out
  assert len(pose_prior.read(out).means) == 8
