"""Whatever goes wrong while a file is read becomes one sentence."""

import os
import pathlib

import pytest

from mhmr_jax.errors import InputError
from mhmr_jax.files import untrusted


@pytest.mark.parametrize(
  ("error", "match"),
  [
    (untrusted.RefusedError("a bomb"), r"^w\.npz is refused: it has a bomb; give "),
    (
      untrusted.RefusedError("a name " + "9" * 5000),
      r"it has a name 9+; give a file of",
    ),
    (
      OSError(2, "No such file"),
      r"^w\.npz cannot be read as an \.npz: No such file\.$",
    ),
    (OSError("truncated"), r"^w\.npz cannot be read as an \.npz: truncated\.$"),
    (KeyError("a\nb"), r"^w\.npz cannot be read .* may be damaged \('a\\nb'\): fetch"),
    (ValueError("two\nlines"), r"damaged \(two lines\)"),
    (RecursionError(), r"damaged \(RecursionError\)"),
    (MemoryError(), r"damaged \(MemoryError\)"),
  ],
)
def test_every_error_is_one_sentence(tmp_path, monkeypatch, error, match):
  monkeypatch.chdir(tmp_path)
  pathlib.Path("w.npz").touch()
  with pytest.raises(InputError, match=match) as refused:  # noqa: SIM117
    with untrusted.reading("w.npz", "an .npz"):
      raise error
  assert "\n" not in str(refused.value)
  assert len(str(refused.value)) < 300
  assert refused.value.__cause__ is error


def test_programs_are_still_interrupted(tmp_path):
  (tmp_path / "w.npz").touch()
  with (
    pytest.raises(KeyboardInterrupt),
    untrusted.reading(tmp_path / "w.npz", "an .npz"),
  ):
    raise KeyboardInterrupt


def test_a_sentence_of_a_reader_s_own_is_passed_on(tmp_path):
  (tmp_path / "w.npz").touch()
  with (
    pytest.raises(InputError, match=r"^It has no poses\.$"),
    untrusted.reading(tmp_path / "w.npz", "an .npz"),
  ):
    raise InputError("It has no poses.")


def make_pipe(path):
  os.mkfifo(path)


def make_link_to_a_device(path):
  path.symlink_to("/dev/zero")


def make_dangling_link(path):
  path.symlink_to(path.with_name("nowhere"))


def make_loop(path):
  path.symlink_to(path)


@pytest.mark.parametrize(
  ("make", "match"),
  [
    (make_pipe, "it is a pipe or a device, not a file"),
    (make_link_to_a_device, "it is a pipe or a device, not a file"),
    (make_dangling_link, "No such file"),
    (make_loop, "Too many levels of symbolic links"),
    (pathlib.Path.mkdir, "it is a folder, not a file"),
  ],
)
def test_only_regular_files_are_opened(tmp_path, make, match):
  path = tmp_path / "w.json"
  make(path)
  with pytest.raises(InputError, match=match):
    untrusted.read_json(path)


def test_the_size_is_checked_before_the_file_is_read(tmp_path):
  path = tmp_path / "w.json"
  with path.open("wb") as file:
    file.truncate(2**40)  # Sparse: it takes no room.
  with pytest.raises(InputError, match="it has 1,099,511,627,776 bytes"):
    untrusted.read_json(path)


@pytest.mark.parametrize("unit", [b"{},", b"[],", b'{"a":1},', b"1.5,", b'"ab",'])
def test_json_whose_objects_fill_the_memory_is_refused(monkeypatch, unit):
  data = b"[" + 1000 * unit + b"0]"
  assert len(untrusted.parse_json(data)) == 1001
  monkeypatch.setattr(untrusted, "_MAX_JSON", 30_000)
  with pytest.raises(untrusted.RefusedError, match="so many objects"):
    untrusted.parse_json(data)


def test_an_hour_of_one_person_fits_into_json():
  numbers = b", ".join([b"1234.567890123"] * 51)
  entry = b'{"image_id": 107999, "keypoints": [' + numbers + b"]},"
  cost = sum(entry.count(sign) * size for sign, size in untrusted._JSON_COSTS.items())
  assert 108_000 * cost < untrusted._MAX_JSON


@pytest.mark.parametrize(
  "text", ["[" * 100_000, '{"a":' * 100_000, "1" * 5000, "[1", "", "\x00", "NaNa"]
)
def test_json_that_cannot_be_parsed_is_one_sentence(tmp_path, text):
  path = tmp_path / "w.json"
  path.write_text(text)
  with pytest.raises(InputError, match="cannot be read as JSON") as refused:
    untrusted.read_json(path)
  assert len(str(refused.value)) < 400
