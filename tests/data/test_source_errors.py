"""Clips that cannot be written or read: the sentence names the reason, not a guess."""

import errno

import pytest

from mhmr_jax.data import sources
from mhmr_jax.errors import InputError
from tests import tiny


class Builder:
  """A dataset that is not there and cannot be made, or that is and cannot be read."""

  def __init__(self, path, error):
    self.data_path = path
    self._error = error
    self.info = self

  splits = None

  def download_and_prepare(self):
    raise self._error

  def as_data_source(self, split):
    assert split == "train"
    raise self._error


def _open(tmp_path, monkeypatch, error):
  make = lambda config: Builder(tmp_path / "clips", error)
  monkeypatch.setitem(sources._BUILDERS, "synthetic_clips", make)
  with pytest.raises(InputError) as caught:
    sources.open_source(tiny.config(tmp_path), "train")
  return str(caught.value)


def test_no_room_for_the_dataset_is_a_sentence(tmp_path, monkeypatch):
  error = OSError(errno.ENOSPC, "No space left on device")
  assert _open(tmp_path, monkeypatch, error) == (
    f"{tmp_path}/clips cannot be written (No space left on device): make room there, "
    "or name another folder by --config.data.dir."
  )


@pytest.mark.parametrize(
  ("error", "is_damage"),
  [
    (ValueError("Invalid header"), True),
    (MemoryError("no memory"), False),
    (PermissionError(errno.EACCES, "Permission denied"), False),
  ],
)
def test_only_damaged_clips_are_to_be_deleted(tmp_path, monkeypatch, error, is_damage):
  (tmp_path / "clips").mkdir()
  sentence = _open(tmp_path, monkeypatch, error)
  assert ("delete that folder" in sentence) == is_damage
  assert ("mend that and run again" in sentence) != is_damage

  class Records(list):
    def __getitem__(self, index):
      raise error

  source = sources.ClipSource("clips", Records(), "folder")
  with pytest.raises(InputError, match=r"^Clip 0 of folder cannot be read") as caught:
    source[0]
  assert ("delete that folder" in str(caught.value)) == is_damage
