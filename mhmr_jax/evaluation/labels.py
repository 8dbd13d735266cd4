"""The labels' bodies and joints in the frames that a protocol counts."""

import dataclasses
import functools
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Int

from mhmr_jax.body import posed_frames, smpl
from mhmr_jax.body.gendered import Bodies
from mhmr_jax.errors import InputError
from mhmr_jax.evaluation.readout import Readout
from mhmr_jax.evaluation.truth import Truth

_LABEL_TOLERANCE_MM = 5.0


@dataclasses.dataclass(frozen=True)
class Labels:
  """Poses the labels with the body of each person's gender, once for all predictions.

  Attributes:
    truth: the labels.
    bodies: by gender; those whose file was not named are missing.
    readout: how the protocol's joints are obtained.
  """

  truth: Truth
  bodies: Bodies
  readout: Readout

  @functools.cached_property
  def counted(self) -> Bool[np.ndarray, "frames"]:
    """The frames that the protocol counts; InputError if there are none."""
    protocol = self.readout.protocol
    counted = protocol.counted(self.truth.valid, self.truth.keypoints)
    if not counted.any():
      raise InputError(
        f"Protocol {protocol.name} counts no frame of that split: there is nothing "
        "to score."
      )
    return counted

  @functools.cached_property
  def joints(self) -> Float[np.ndarray, "frames n 3"]:
    """The true joints relative to the root, metres; 0 in frames that do not count.

    Raises:
      InputError: the body of a person's gender is missing, or is not the one that the
        labels were made with.
    """
    protocol = self.readout.protocol
    for gender, frames, body in self.by_gender(self.counted):
      if body is not None:
        self._check(gender, frames)
      elif self.readout.regressor is not None:
        raise InputError(
          f"Protocol {protocol.name} takes the labels' joints from the {gender} body: "
          f"name its file by config.body.{gender}."
        )
    if self.readout.regressor is None:
      points = self.truth.joints_camera[:, [*range(24), 0]]
    else:
      points = self._points
    relative = points[:, :-1] - points[:, -1:]
    return np.where(self.counted[:, None, None], relative, 0).astype(np.float32)

  @functools.cached_property
  def posed(self) -> posed_frames.Posed:
    """The bodies in the frames that count, where the body of the gender is present."""
    rotations = posed_frames.matrices(self.truth.pose)
    betas = self.truth.betas.astype(np.float32)
    transforms = np.zeros((len(betas), 24, 3, 4), np.float32)
    joints = np.zeros((len(betas), 24, 3), np.float32)
    for _, frames, body in self.by_gender(self.counted):
      if body is not None:
        posed = self.readout.pose(body, rotations, betas, frames)
        transforms[frames] = posed.transforms[frames]
        joints[frames] = posed.joints[frames]
    return posed_frames.Posed(rotations, betas, transforms, joints)

  @property
  def root(self) -> Float[np.ndarray, "frames 3"]:
    """The root of `posed`."""
    return self._points[:, -1]

  @functools.cached_property
  def _points(self) -> Float[np.ndarray, "frames n 3"]:
    num_points = len(self.readout.protocol.rows) + 1
    points = np.zeros((self.truth.num_frames, num_points, 3), np.float32)
    for _, frames, body in self.by_gender(self.counted):
      if body is not None:
        read = self.readout.of_bodies(body, self.posed, frames)
        points[frames] = read[frames]
    return points

  def by_gender(
    self, used: Bool[np.ndarray, "frames"]
  ) -> Iterator[tuple[str, Int[np.ndarray, "some"], smpl.SmplModel | None]]:
    """Yields each gender, those of the used frames that have it, and its body."""
    genders = np.repeat(np.array(self.truth.genders), self.truth.lengths)
    for gender in sorted(set(self.truth.genders)):
      frames = np.flatnonzero(used & (genders == gender))
      if len(frames):
        yield gender, frames, self.bodies.of(gender)

  def _check(self, gender: str, frames: Int[np.ndarray, "some"]) -> None:
    frames = frames[self.truth.valid[frames]]
    label, joints = self.truth.joints_camera[frames], self.posed.joints[frames]
    gap = np.linalg.norm(joints - joints[:, :1] - label + label[:, :1], axis=-1)
    if gap.max(initial=0) > _LABEL_TOLERANCE_MM / 1000:
      key = gender if gender in ("male", "female") else "path"
      raise InputError(
        f"The labels' joints lie up to {1000 * gap.max():.0f} mm from those of the "
        f"body that config.body.{key} names: evaluate with the body that the clips "
        "were made with."
      )
