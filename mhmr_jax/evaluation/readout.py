"""Reads a protocol's joints from bodies or vertices, in blocks of frames.

Which joints a protocol compares depends on it alone: SMPL's own, or those that a
regressor takes from the vertices. Points are always the protocol's joints followed by
its root.
"""

import dataclasses

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float, Int

from mhmr_jax.body import posed_frames, smpl
from mhmr_jax.evaluation.protocols import Protocol

# The vertices of two bodies in this many frames stay in a core's cache.
SURFACE_BLOCK = {"steps": 32, "size": 32}
JOINT_BLOCK = {"steps": 1, "size": 4096}

Frames = Int[np.ndarray, "some"]  # Indices of the frames to compute; others are 0.


@dataclasses.dataclass(frozen=True)
class Readout:
  """How a protocol's joints are obtained.

  Attributes:
    protocol: chooses the joints and the root.
    regressor: takes joints from vertices; None if the protocol needs none.
    mesh: the devices that the frames are divided over.
  """

  protocol: Protocol
  regressor: Float[np.ndarray, "K V"] | None
  mesh: Mesh

  def pose(
    self,
    body: smpl.SmplModel,
    rotations: Float[np.ndarray, "rows 24 3 3"],
    betas: Float[np.ndarray, "rows 10"],
    frames: Frames,
  ) -> posed_frames.Posed:
    """Poses the bones of a body."""
    transforms, joints = posed_frames.in_blocks(
      posed_frames.bones, (body,), (rotations, betas), frames, self.mesh, **JOINT_BLOCK
    )
    return posed_frames.Posed(rotations, betas, transforms, joints)

  def of_bodies(
    self, body: smpl.SmplModel, posed: posed_frames.Posed, frames: Frames
  ) -> Float[np.ndarray, "rows n 3"]:
    """Reads the points of posed bodies."""
    if self.regressor is None:
      rows = [*self.protocol.rows, *self.protocol.root_rows]
      return np.asarray(posed.joints)[:, rows]
    restricted = smpl.restrict(body, self.protocol.readout(self.regressor))
    points: np.ndarray = posed_frames.in_blocks(
      posed_frames.regressed, (restricted,), (posed,), frames, self.mesh,
      **SURFACE_BLOCK,
    )  # fmt: skip
    return points

  def of_vertices(
    self,
    body: smpl.SmplModel,
    vertices: Float[np.ndarray, "rows V 3"],
    frames: Frames,
  ) -> Float[np.ndarray, "rows n 3"]:
    """Reads the points of a body's vertices."""
    regressor = self.regressor
    if regressor is None:
      # SMPL's own regressor is exact at rest; on posed vertices it finds the joints to
      # within some millimetres.
      regressor = np.asarray(body.J_regressor)
    readout = self.protocol.readout(regressor).astype(np.float32)
    points: np.ndarray = posed_frames.in_blocks(
      posed_frames.read, (readout,), (vertices,), frames, self.mesh, **SURFACE_BLOCK
    )
    return points
