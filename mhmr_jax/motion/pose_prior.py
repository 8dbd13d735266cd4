"""A prior of body poses: a mixture of Gaussians, fitted to the poses of motion.

A pose is described by the first two columns of the rotation matrices of its joints,
without the pelvis, whose orientation depends on the camera, and without the hands,
which no keypoint shows. The description is smooth everywhere, so that gradients are
finite for every rotation.
"""

import functools
import math
import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from jaxtyping import Array, Float

from mhmr_jax.body.joints import SMPL_JOINTS
from mhmr_jax.errors import InputError
from mhmr_jax.files import atomic, tensor_files
from mhmr_jax.geometry import rotations as rot

# The prior that comes with the package: `motion.fit_pose_prior` on CMU's subjects.
SHIPPED = pathlib.Path(__file__).parent / "pose_prior.safetensors"

_JOINTS = [
  joint
  for joint, name in enumerate(SMPL_JOINTS)
  if name not in ("pelvis", "left_hand", "right_hand")
]
_SIZE = 6 * len(_JOINTS)
# Added to every standard deviation: about 6 degrees. Captured poses lie in fewer
# dimensions than a pose has, and other people's poses lie beside them.
_SPREAD = 0.1
_ITERATIONS = 40
_ENOUGH = 1e-2  # Nats a pose; a smaller gain ends the fit.
# A TPU would otherwise multiply in bfloat16.
_einsum = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)


class PosePrior(NamedTuple):
  """A mixture of Gaussians over descriptions of poses.

  The density of component k at x is exp(log_factors[k] - |factors[k] (x - means[k])|²
  / 2), up to a constant that all components share; `factors` are lower triangular.
  """

  log_factors: Float[Array, "K"]
  means: Float[Array, "K 126"]
  factors: Float[Array, "K 126 126"]


def negative_log_density(
  prior: PosePrior, rotations: Float[Array, "*batch 24 3 3"]
) -> Float[Array, "*batch"]:
  """The negative log density of poses, nats, up to a constant; it is never negative.

  Args:
    prior: a prior of poses.
    rotations: the rotation of each joint relative to its parent. Those of the pelvis
      and the hands are not read.
  """
  described = _described(rotations)[..., None, :] - prior.means
  whitened = _einsum("kij,...kj->...ki", prior.factors, described)
  logs = prior.log_factors - jnp.sum(jnp.square(whitened), axis=-1) / 2
  highest = jax.nn.logsumexp(prior.log_factors)
  return highest - jax.nn.logsumexp(logs, axis=-1)


def _described(rotations: Float[Array, "*batch 24 3 3"]) -> Float[Array, "*batch 126"]:
  columns = rot.matrix_to_rot6d(rotations[..., _JOINTS, :, :])
  return columns.reshape(*columns.shape[:-2], _SIZE)


def fit(
  pose: Float[np.ndarray, "poses 24 3"], components: int, rng: np.random.Generator
) -> PosePrior:
  """Fits a mixture to poses by expectation maximisation (Dempster et al. 1977).

  Args:
    pose: axis-angle.
    components: how many Gaussians to fit; there are more poses than that.
    rng: chooses the poses that the components start from (k-means++, Arthur and
      Vassilvitskii 2007).
  """
  matrices = jax.jit(rot.axis_angle_to_matrix)(jnp.asarray(pose, jnp.float32))
  x = np.asarray(_described(matrices), np.float64)
  share = _first_shares(x, components, rng)
  before = -np.inf
  for _ in range(_ITERATIONS):
    logs, prior = _maximised(x, share)
    total = np.logaddexp.reduce(logs, axis=1)
    share = np.exp(logs - total[:, None])
    if total.mean() - before < _ENOUGH:
      break
    before = total.mean()
  return prior


def _first_shares(
  x: Float[np.ndarray, "poses 126"], components: int, rng: np.random.Generator
) -> Float[np.ndarray, "poses K"]:
  """Gives each pose to the nearest of some that lie far from each other."""
  distance = np.full((len(x), components), np.inf)
  chance = np.ones(len(x))
  for k in range(components):
    # All poses may be equal: then every one is as good.
    total = chance.sum()
    start = rng.choice(len(x), p=chance / total if total else None)
    distance[:, k] = np.square(x - x[start]).sum(axis=1)
    chance = distance.min(axis=1)
  return np.eye(components)[distance.argmin(axis=1)]


def _maximised(
  x: Float[np.ndarray, "poses 126"], share: Float[np.ndarray, "poses K"]
) -> tuple[Float[np.ndarray, "poses K"], PosePrior]:
  """The mixture for these shares, and its components' log densities at the poses."""
  # No component vanishes, even if no pose is its own.
  counts = share.sum(axis=0) + 1e-3
  means = share.T @ x / counts[:, None]
  logs, log_factors, factors = [], [], []
  for own, count, mean in zip(share.T, counts, means, strict=True):
    centred = x - mean
    covariance = (centred * own[:, None]).T @ centred / count
    lower = np.linalg.cholesky(covariance + _SPREAD**2 * np.eye(_SIZE))
    factor = np.linalg.inv(lower)
    log_factor = math.log(count / counts.sum()) + np.log(np.diag(factor)).sum()
    logs.append(log_factor - np.square(centred @ factor.T).sum(axis=1) / 2)
    log_factors.append(log_factor)
    factors.append(np.tril(factor))
  return np.stack(logs, 1), _prior_of(log_factors, means, np.stack(factors))


def _prior_of(*arrays: np.ndarray | list[float]) -> PosePrior:
  """Converts to float32 by NumPy: JAX would compile a program for each shape."""
  converted = (np.asarray(array, np.float32) for array in arrays)
  return PosePrior(*(jnp.asarray(array, jnp.float32) for array in converted))


def write(path: pathlib.Path, prior: PosePrior) -> None:
  """Writes a prior as .safetensors; of each factor, only the lower triangle.

  Raises:
    InputError: the file cannot be written.
  """
  rows, columns = np.tril_indices(_SIZE)
  arrays = {
    "log_factors": np.asarray(prior.log_factors),
    "means": np.asarray(prior.means),
    "factors": np.asarray(prior.factors)[:, rows, columns],
  }
  content = safetensors.numpy.save(arrays)
  atomic.write(path, content, "name another file by --out")


def read(path: pathlib.Path) -> PosePrior:
  """Reads what `write` wrote.

  Raises:
    InputError: the file is missing or damaged, or holds something else.
  """
  arrays = tensor_files.read(path)
  rows, columns = np.tril_indices(_SIZE)
  count = len(arrays["log_factors"]) if np.ndim(arrays.get("log_factors", 0)) else 0
  shapes = {
    "log_factors": (count,),
    "means": (count, _SIZE),
    "factors": (count, len(rows)),
  }
  for name, shape in shapes.items():
    array = arrays.get(name)
    if array is None or array.shape != shape or not count or array.dtype.kind != "f":
      raise InputError(
        f"{path} has no {name} of a pose prior: make the file with "
        "mhmr_jax.motion.fit_pose_prior."
      )
    # Beyond float32 they are not finite either; NaN compares as False.
    if not (np.abs(array) <= np.finfo(np.float32).max).all():
      raise InputError(f"{name} of {path} is not finite: make the file again.")
  factors = np.zeros((count, _SIZE, _SIZE), np.float32)
  factors[:, rows, columns] = arrays["factors"]
  return _prior_of(arrays["log_factors"], arrays["means"], factors)
