"""Fixtures shared by all tests."""

import pathlib

import pytest
from absl import flags

# Grain's worker processes read absl flags, which pytest never parses.
flags.FLAGS.mark_as_parsed()

_SHARED_DATA = pathlib.Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
  """A folder of real motion capture and video, kept outside the project."""
  if not _SHARED_DATA.is_dir():
    pytest.skip(f"the folder of real data is not at {_SHARED_DATA}")
  return _SHARED_DATA
