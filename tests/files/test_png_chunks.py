"""Chunks of PNGs that claim to be longer than their file, and whoever reads PNGs."""

import struct

import cv2
import numpy as np
import pytest

from mhmr_jax.errors import InputError
from mhmr_jax.files import flow_images, jpeg, png_chunks
from mhmr_jax.synth import picture_files


def picture() -> bytes:
  pixels = np.random.default_rng(0).integers(0, 255, (9, 7, 3), np.uint8)
  return cv2.imencode(".png", pixels)[1].tobytes()


def with_length(data: bytes, length: int) -> bytes:
  """The PNG, whose pixels' chunk states that length."""
  place = data.index(b"IDAT") - 4
  return data[:place] + struct.pack(">I", length) + data[place + 4 :]


def test_whole_files_are_within_and_parts_are_not():
  data = picture()
  assert png_chunks.are_within(data)
  for cut in range(len(data)):
    assert not png_chunks.are_within(data[:cut])


@pytest.mark.parametrize("length", [2**32 - 237, 2**31, 10_000])
def test_no_reader_hands_opencv_a_chunk_longer_than_the_file(
  length, monkeypatch, tmp_path
):
  for reader in ("imdecode", "imread"):
    monkeypatch.setattr(cv2, reader, lambda *_: pytest.fail("OpenCV was asked"))
  damaged = with_length(picture(), length)
  assert not png_chunks.are_within(damaged)
  with pytest.raises(InputError, match="the clip is damaged"):
    jpeg.decode(damaged, colour=False)
  (tmp_path / "a.png").write_bytes(damaged)
  assert picture_files.read(tmp_path / "a.png", 4.0) is None
  flow = flow_images.encode_png(np.zeros((9, 7, 2), np.float32))
  with pytest.raises(ValueError, match="16-bit"):
    flow_images.decode_png(with_length(flow, length))
