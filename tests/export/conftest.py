"""The free body and two people's motions, which all tests of the exporters read."""

import pytest

from mhmr_jax.body import smpl
from mhmr_jax.schema import Motion
from tests import motions


@pytest.fixture(scope="session")
def body() -> smpl.SmplModel:
  return smpl.load()


@pytest.fixture(scope="session")
def walks(body) -> list[Motion]:
  """Two people side by side, 40 frames each at 30 a second; the first is at frame 3."""
  return [motions.walking(body, seed) for seed in range(2)]
