"""Linear blend skinning of whole clips in NumPy, for the renderer.

It computes the same as `smpl.forward`, without JAX: the processes that render should
not start a compiler, a second pool of threads or an accelerator.
"""

import dataclasses
import functools
import pathlib
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

from mhmr_jax.body import host_joints, posed_frames, smpl
from mhmr_jax.geometry import vectors


class PosedBody(NamedTuple):
  """A body over time, in metres, in the frame of its global orientation."""

  vertices: Float[np.ndarray, "time V 3"]
  normals: Float[np.ndarray, "time V 3"]  # Outwards, of about unit length.
  joints: Float[np.ndarray, "time 24 3"]


@dataclasses.dataclass(frozen=True, eq=False)
class Body:
  """The arrays of a `SmplModel` in NumPy, and what rendering derives from them."""

  v_template: Float[np.ndarray, "V 3"]
  shapedirs: Float[np.ndarray, "V 3 10"]
  posedirs: Float[np.ndarray, "V 3 P"]
  weights: Float[np.ndarray, "V 24"]
  faces: Int[np.ndarray, "F 3"]
  joint_template: Float[np.ndarray, "24 3"]
  joint_shapedirs: Float[np.ndarray, "24 3 10"]
  keypoint_regressor: sparse.csr_array  # [17, V]: COCO-17 from the vertices.

  @functools.cached_property
  def part(self) -> Int[np.ndarray, "V"]:
    """The joint that moves each vertex most."""
    return self.weights.argmax(1)

  @functools.cached_property
  def _faces_of_vertex(self) -> sparse.csr_array:
    count = len(self.faces)
    rows = self.faces.T.ravel()
    columns = np.tile(np.arange(count), 3)
    shape = (len(self.v_template), count)
    return sparse.csr_array((np.ones(3 * count, np.float32), (rows, columns)), shape)

  @functools.cached_property
  def _keypoint_weights(self) -> tuple[np.ndarray, np.ndarray]:
    """The vertices that keypoints depend on, and the regressor's columns for them."""
    regressor = self.keypoint_regressor.toarray()
    vertices = np.flatnonzero(regressor.any(0))
    return vertices, regressor[:, vertices]

  def keypoints(
    self, vertices: Float[np.ndarray, "time V 3"]
  ) -> Float[np.ndarray, "time 17 3"]:
    """COCO-17 keypoints of posed vertices."""
    chosen, weights = self._keypoint_weights
    return weights @ vertices[:, chosen]

  def rest_normals(
    self, vertices: Float[np.ndarray, "V 3"]
  ) -> Float[np.ndarray, "V 3"]:
    """Unit normals: the mean of the adjacent faces' normals, weighted by area."""
    a, b, c = vertices[self.faces].transpose(1, 0, 2)
    return vectors.unit(self._faces_of_vertex @ np.cross(b - a, c - a))

  def shaped(self, betas: Float[np.ndarray, "10"]) -> Float[np.ndarray, "V 3"]:
    """Vertices of the rest pose."""
    return self.v_template + self.shapedirs @ betas

  def rest_joints(self, betas: Float[np.ndarray, "10"]) -> Float[np.ndarray, "24 3"]:
    """Joints of the rest pose."""
    return self.joint_template + self.joint_shapedirs @ betas

  def pose(
    self,
    pose: Float[np.ndarray, "time 24 3"],
    betas: Float[np.ndarray, "10"],
    transl: Float[np.ndarray, "time 3"],
  ) -> PosedBody:
    """Vertices, normals and joints of every frame."""
    R = posed_frames.matrices(pose)
    rest = self.rest_joints(betas)
    global_R, joints = host_joints.kinematic_chain(R, rest)
    shaped = self.shaped(betas)
    shift = joints - np.einsum("tjik,jk->tji", global_R, rest)
    # A vertex is sum_j w_j (R_j v + t_j): one matrix product over (joint, [v, 1]).
    homogeneous = np.append(shaped, np.ones((len(shaped), 1), np.float32), 1)
    transform = np.concatenate([global_R, shift[..., None]], -1)
    vertices = _blend(self.weights, homogeneous, transform)
    if self.posedirs.shape[-1]:
      vertices += self._pose_offsets(R, global_R)
    normals = _blend(self.weights, self.rest_normals(shaped), global_R)
    return PosedBody(vertices + transl[:, None], normals, joints + transl[:, None])

  def _pose_offsets(
    self,
    R: Float[np.ndarray, "time 24 3 3"],
    global_R: Float[np.ndarray, "time 24 3 3"],
  ) -> Float[np.ndarray, "time V 3"]:
    """The pose blend shapes, turned with the skin."""
    feature = (R[:, 1:] - np.eye(3, dtype=np.float32)).reshape(len(R), -1)
    offsets = np.tensordot(feature, self.posedirs, (1, 2))
    blended = np.tensordot(self.weights, global_R, (1, 1))
    return np.einsum("vtik,tvk->tvi", blended, offsets)


@functools.cache
def load(path: str | pathlib.Path | None = None) -> Body:
  """Reads a body model; None or '' means the free body.

  Raises:
    InputError: as `smpl.load`.
  """
  return from_model(smpl.load(path or None))


def from_model(model: smpl.SmplModel) -> Body:
  """Converts a body that was read before."""
  names = [field.name for field in dataclasses.fields(Body)]
  arrays = {name: np.asarray(getattr(model, name)) for name in names}
  arrays["keypoint_regressor"] = sparse.csr_array(arrays["keypoint_regressor"])
  return Body(**arrays)


def _blend(
  weights: Float[np.ndarray, "V 24"],
  values: Float[np.ndarray, "V n"],
  transform: Float[np.ndarray, "time 24 3 n"],
) -> Float[np.ndarray, "time V 3"]:
  """sum_j w_vj transform_j value_v, for all frames in one matrix product.

  In memory the result's coordinates come before its vertices, because the renderer
  works on one coordinate at a time.
  """
  count, frames = len(values), len(transform)
  right = (weights[:, :, None] * values[:, None, :]).reshape(count, -1)
  left = transform.transpose(0, 2, 1, 3).reshape(3 * frames, -1)
  return (left @ right.T).reshape(frames, 3, count).transpose(0, 2, 1)
