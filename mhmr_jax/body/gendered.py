"""The bodies of an evaluation: one for predictions, and one a gender for labels."""

import pathlib
from typing import NamedTuple

from mhmr_jax.body import smpl


class Bodies(NamedTuple):
  """The neutral body, which predictions pose, and those of the labels' genders."""

  neutral: smpl.SmplModel
  male: smpl.SmplModel | None = None
  female: smpl.SmplModel | None = None

  @classmethod
  def load(cls, neutral: str = "", male: str = "", female: str = "") -> "Bodies":
    """Reads the files. Without a neutral file, the neutral body is the free body."""
    return cls(_load(neutral) or smpl.load(), *(_load(path) for path in (male, female)))

  def of(self, gender: str) -> smpl.SmplModel | None:
    """Returns the body for a clip's gender, or None if its file was not named."""
    return {"male": self.male, "female": self.female}.get(gender, self.neutral)


def _load(path: str) -> smpl.SmplModel | None:
  return smpl.load(pathlib.Path(path).expanduser()) if path else None
