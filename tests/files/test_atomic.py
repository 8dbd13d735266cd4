"""Files that appear whole or not at all."""

import pathlib

import pytest

from mhmr_jax.errors import InputError
from mhmr_jax.files import atomic


def test_a_file_is_replaced_once_it_is_whole(tmp_path):
  path = tmp_path / "array.npz"
  path.write_text("first")
  with atomic.whole(path) as partial:
    assert partial.suffix == ".npz"
    partial.write_text("second")
    assert path.read_text() == "first"
  assert path.read_text() == "second"
  assert list(tmp_path.iterdir()) == [path]


def _fail_half_way(path):
  with atomic.whole(path) as partial:
    partial.write_text("half")
    raise ZeroDivisionError


def test_a_failure_leaves_the_file_before_and_nothing_else(tmp_path, monkeypatch):
  path = tmp_path / "metrics.json"
  atomic.write(path, "first")
  with pytest.raises(ZeroDivisionError):
    _fail_half_way(path)
  monkeypatch.setattr(
    pathlib.Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "full"))
  )
  with pytest.raises(InputError, match=r"metrics\.json cannot be written \(full\)"):
    atomic.write(path, "second")
  assert path.read_text() == "first"
  assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
  (tmp_path / "file").touch()
  with pytest.raises(InputError, match=r"cannot be written .*: choose another"):
    atomic.make_folder(tmp_path / "file" / "deeper", "choose another")
  with pytest.raises(InputError, match=r"gone.*cannot be written"):
    atomic.write(tmp_path / "gone" / "file.txt", b"text")
