"""The bodies that an evaluation poses: the prediction's and the labels'."""

import pathlib
from typing import NamedTuple

from mhmr_jax.body import smpl


class Bodies(NamedTuple):
  """Predictions are of the neutral body, labels of one of their person's gender."""

  neutral: smpl.SmplModel
  male: smpl.SmplModel | None = None
  female: smpl.SmplModel | None = None

  @classmethod
  def load(cls, neutral: str = "", male: str = "", female: str = "") -> "Bodies":
    """Reads the files; an empty neutral one is the free body, other empty ones none."""
    return cls(_load(neutral) or smpl.load(), *(_load(path) for path in (male, female)))

  def of(self, gender: str) -> smpl.SmplModel | None:
    """The body of a clip's gender; None if its file was not named."""
    return {"male": self.male, "female": self.female}.get(gender, self.neutral)


def _load(path: str) -> smpl.SmplModel | None:
  return smpl.load(pathlib.Path(path).expanduser()) if path else None
