"""Pictures of folders that users name: read, or None where that cannot be."""

import os
import struct
import zlib

import cv2
import numpy as np

from mhmr_jax.synth import picture_files


def test_a_large_picture_is_read_at_half_its_size(tmp_path):
  path = tmp_path / "a.png"
  cv2.imwrite(str(path), np.full((60, 80, 3), 7, np.uint8))
  assert picture_files.read(path, 20.0).shape == (30, 40, 3)
  assert picture_files.read(path, 50.0).shape == (60, 80, 3)


def test_a_claim_of_many_pixels_is_not_believed(tmp_path):
  path = tmp_path / "a.png"
  cv2.imwrite(str(path), np.zeros((4, 4, 3), np.uint8))
  data = path.read_bytes()
  header = b"IHDR" + struct.pack(">2I", 30_000, 30_000) + data[24:29]
  claim = data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]
  path.write_bytes(claim)
  assert picture_files.read(path, 20.0) is None


def test_what_is_no_picture_is_none(tmp_path):
  (tmp_path / "text.png").write_text("no picture")
  (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
  os.mkfifo(tmp_path / "pipe.png")
  (tmp_path / "folder.png").mkdir()
  for path in tmp_path.iterdir():
    assert picture_files.read(path, 20.0) is None
