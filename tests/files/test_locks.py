"""Locks that keep out other processes."""

import fcntl
import threading

import pytest

from mhmr_jax.errors import InputError
from mhmr_jax.files import locks


def test_the_second_waits_for_the_first(tmp_path):
  folder = tmp_path / "made" / "deeper"
  entered, order = threading.Event(), []

  def second():
    entered.set()
    with locks.exclusive(folder) as is_held:
      order.append(("second", is_held))

  with locks.exclusive(folder) as is_held:
    thread = threading.Thread(target=second)
    thread.start()
    assert entered.wait(30)
    order.append(("first", is_held))
  thread.join(30)
  assert order == [("first", True), ("second", True)]


def test_file_systems_without_locks_are_told(tmp_path, monkeypatch):
  def refuse(*_):
    raise OSError(38, "Function not implemented")

  monkeypatch.setattr(fcntl, "flock", refuse)
  with locks.exclusive(tmp_path) as is_held:
    assert not is_held


def test_folders_that_cannot_be_written_are_named(tmp_path):
  (tmp_path / "file").touch()
  with (
    pytest.raises(InputError, match=r"file cannot be written .*: name another folder"),
    locks.exclusive(tmp_path / "file"),
  ):
    pass
  (tmp_path / ".lock").mkdir()
  with (
    pytest.raises(InputError, match="cannot be written"),
    locks.exclusive(tmp_path),
  ):
    pass
  with (
    pytest.raises(InputError, match=r"cannot be written .*: name another --workdir"),
    locks.claimed(tmp_path, "name another --workdir"),
  ):
    pass
