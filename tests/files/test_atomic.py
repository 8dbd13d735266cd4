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


def _content(folder):
  files = (path for path in folder.rglob("*") if path.is_file())
  return {str(path.relative_to(folder)): path.read_text() for path in files}


def _write_results(folder):
  with atomic.together(folder) as new:
    (new / "a.txt").write_text("new")
    (new / "person" / "deep").mkdir(parents=True)
    (new / "person" / "b.txt").write_text("new")
    (new / "person" / "deep" / "c.txt").write_text("new")


_NEW = {name: "new" for name in ("a.txt", "person/b.txt", "person/deep/c.txt")}


def test_files_appear_together_and_others_stay(tmp_path):
  (tmp_path / "person").mkdir()
  for name in ("a.txt", "other.txt", "person/other.txt"):
    (tmp_path / name).write_text("before")
  _write_results(tmp_path)
  others = {"other.txt": "before", "person/other.txt": "before"}
  assert _content(tmp_path) == _NEW | others
  assert {path.name for path in tmp_path.iterdir()} == {"a.txt", "other.txt", "person"}


def _fail_among_results(folder):
  with atomic.together(folder) as new:
    (new / "a.txt").write_text("half")
    raise ZeroDivisionError


def test_a_failed_block_leaves_the_files_before(tmp_path):
  (tmp_path / "a.txt").write_text("before")
  with pytest.raises(ZeroDivisionError):
    _fail_among_results(tmp_path)
  assert _content(tmp_path) == {"a.txt": "before"}


@pytest.mark.parametrize("succeeding", range(4))
def test_a_file_that_cannot_be_moved_puts_all_others_back(
  tmp_path, monkeypatch, succeeding
):
  (tmp_path / "a.txt").write_text("before")
  rename, calls = pathlib.Path.rename, []

  def full(path, target):
    calls.append(path)
    if len(calls) == succeeding + 1:
      raise OSError(28, "full")
    return rename(path, target)

  monkeypatch.setattr(pathlib.Path, "rename", full)
  with pytest.raises(InputError, match=r"cannot be written \(full\)"):
    _write_results(tmp_path)
  assert _content(tmp_path) == {"a.txt": "before"}
  assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_in_a_files_place_is_named_and_nothing_moves(tmp_path):
  (tmp_path / "person" / "b.txt").mkdir(parents=True)
  with pytest.raises(
    InputError, match=r"b\.txt is a folder: remove it or name another"
  ):
    _write_results(tmp_path)
  assert _content(tmp_path) == {}


def _earlier(folder):
  for name in ("p0/a.txt", "p1/a.txt", "p1/own.txt", "p2/a.txt", "kept/a.txt"):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("before")
  return [pathlib.Path(name) for name in ("p0/a.txt", "p1/a.txt", "p2/a.txt", "p9/a")]


def test_stale_files_go_when_new_ones_come_and_nothing_else(tmp_path):
  stale = _earlier(tmp_path)
  with atomic.together(tmp_path, stale=stale) as new:
    (new / "p0").mkdir()
    (new / "p0" / "a.txt").write_text("new")
  assert _content(tmp_path) == {
    "p0/a.txt": "new",
    "p1/own.txt": "before",
    "kept/a.txt": "before",
  }
  assert {path.name for path in tmp_path.iterdir()} == {"p0", "p1", "kept"}


@pytest.mark.parametrize("succeeding", range(4))
def test_stale_files_stay_if_the_new_ones_cannot_come(
  tmp_path, monkeypatch, succeeding
):
  stale = _earlier(tmp_path)
  before = _content(tmp_path)
  rename, calls = pathlib.Path.rename, []

  def full(path, target):
    calls.append(path)
    if len(calls) == succeeding + 1:
      raise OSError(28, "full")
    return rename(path, target)

  def write():
    with atomic.together(tmp_path, stale=stale) as new:
      (new / "p0").mkdir()
      (new / "p0" / "a.txt").write_text("new")

  monkeypatch.setattr(pathlib.Path, "rename", full)
  with pytest.raises(InputError, match=r"cannot be written \(full\)"):
    write()
  assert _content(tmp_path) == before


def test_a_place_for_a_file_is_checked_before_the_work(tmp_path):
  atomic.check_free(tmp_path / "new.npz")
  (tmp_path / "old.npz").touch()
  atomic.check_free(tmp_path / "old.npz")
  with pytest.raises(InputError, match=r"is a folder: name another file by --out\.$"):
    atomic.check_free(tmp_path)
  for missing in (tmp_path / "gone" / "a.npz", tmp_path / "old.npz" / "a.npz"):
    with pytest.raises(InputError, match="is not in a folder that exists"):
      atomic.check_free(missing)
