"""The flags by which processes find each other."""

import pytest
from absl import logging
from absl.testing import flagsaver

from mhmr_jax.errors import InputError
from mhmr_jax.runtime import process_flags, processes

COMPLETE = {"coordinator": "host:1", "num_processes": 2, "process_id": 1}


@pytest.fixture
def joined(monkeypatch):
  """What processes.connect was called with."""
  calls = []
  monkeypatch.setattr(processes, "connect", lambda *arguments: calls.append(arguments))
  return calls


def test_a_process_alone_joins_nothing(joined):
  process_flags.connect()
  assert joined == []


@pytest.mark.parametrize("absent", COMPLETE)
@pytest.mark.parametrize("alone", [False, True])
def test_incomplete_flags_are_refused(joined, absent, alone):
  given = {key: value for key, value in COMPLETE.items() if (key == absent) == alone}
  with (
    flagsaver.flagsaver(**given),
    pytest.raises(InputError, match=r"^--coordinator, .* go together: give all three"),
  ):
    process_flags.connect()
  assert joined == []


@pytest.mark.parametrize("given", [COMPLETE, {}, {"num_processes": 4}])
def test_the_environment_gives_what_flags_do_not(joined, given):
  with flagsaver.flagsaver(distributed=True, **given):
    process_flags.connect()
  assert joined == [tuple(given.get(key) for key in COMPLETE)]


def test_complete_flags_are_passed_on(joined):
  with flagsaver.flagsaver(**COMPLETE):
    process_flags.connect()
  assert joined == [("host:1", 2, 1)]


@pytest.mark.parametrize("is_first", [True, False])
def test_only_the_first_process_logs(joined, monkeypatch, is_first):
  monkeypatch.setattr(processes, "is_first", lambda: is_first)
  before = logging.get_verbosity()
  logging.set_verbosity(logging.INFO)
  try:
    with flagsaver.flagsaver(**COMPLETE):
      process_flags.connect()
      level = logging.get_verbosity()
    assert level == (logging.INFO if is_first else logging.WARNING)
  finally:
    logging.set_verbosity(before)
