"""Stored JPEG frames: their pixels, and their sizes without decoding."""

import io
import struct

import cv2
import numpy as np
import pytest
from PIL import Image

from mhmr_jax.errors import InputError
from mhmr_jax.files import jpeg


def encoded(height: int, width: int, orientation: int | None = None) -> bytes:
  pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
  exif = Image.Exif()
  if orientation is not None:
    exif[0x0112] = orientation
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, "JPEG", exif=exif)
  return file.getvalue()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (37, 53), (16, 8), (241, 99)])
@pytest.mark.parametrize("orientation", [None, *range(10)])
def test_the_size_is_that_of_the_decoded_image(height, width, orientation):
  data = encoded(height, width, orientation)
  columns, rows = jpeg.size(data)
  assert jpeg.decode(data, colour=True).shape == (rows, columns, 3)
  assert jpeg.decode(data, colour=False).shape == (rows, columns)


def test_colours_are_rgb():
  data = cv2.imencode(".jpg", np.full((8, 8, 3), [0, 0, 255], np.uint8))[1].tobytes()
  pixels = jpeg.decode(data, colour=True)
  np.testing.assert_allclose(pixels.mean((0, 1)), [255, 0, 0], atol=3)


def test_the_size_is_read_from_the_header_alone():
  data = encoded(241, 99)
  # The compressed pixels follow this marker and the 12 bytes of its segment.
  header = data[: data.index(b"\xff\xda") + 14]
  assert jpeg.size(header) == (99, 241)
  with pytest.raises(InputError):
    jpeg.decode(header, colour=True)


def test_claims_of_many_pixels_are_refused_before_room_is_made():
  data = encoded(20, 30)
  place = data.index(b"\xff\xc0") + 5
  assert data[place : place + 4] == struct.pack(">2H", 20, 30)
  wide = data[:place] + struct.pack(">2H", 60_000, 50_000) + data[place + 4 :]
  for colour in (True, False):
    with pytest.raises(InputError, match="claims 50000x60000 pixels: the clip is dam"):
      jpeg.decode(wide, colour)


def test_masks_are_read_and_bounded():
  mask = np.zeros((20, 30), np.uint8)
  mask[5:] = 255
  data = cv2.imencode(".png", mask)[1].tobytes()
  np.testing.assert_array_equal(jpeg.decode(data, colour=False), mask)
  wide = data[:16] + struct.pack(">2I", 60_000, 50_000) + data[24:]
  with pytest.raises(InputError, match="claims 60000x50000 pixels"):
    jpeg.decode(wide, colour=True)


def test_progressive_images_and_filled_headers_are_read():
  pixels = np.zeros((9, 17, 3), np.uint8)
  for flags in ([], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]):
    data = cv2.imencode(".jpg", pixels, flags)[1].tobytes()
    assert jpeg.decode(data, colour=True).shape == (9, 17, 3)
    filled = data[:2] + b"\xff\xff" + data[2:]
    assert jpeg.decode(filled, colour=True).shape == (9, 17, 3)


def test_an_endless_header_is_refused():
  for data in (b"\xff\xd8" + b"\xff\xe1\x00\x00" * 99, b"\xff\xd8" + b"\xff" * 99):
    with pytest.raises(InputError, match="not a JPEG image"):
      jpeg.decode(data, colour=False)


@pytest.mark.parametrize(
  "data",
  [
    b"",
    b"no image",
    encoded(20, 30)[:100],
    cv2.imencode(".jpg", np.zeros((8, 8), np.uint8))[1].tobytes()[1:],
  ],
)
def test_damaged_frames_are_named_alike(data):
  sentences = set()
  for read in (jpeg.size, lambda data: jpeg.decode(data, colour=False)):
    with pytest.raises(InputError, match="not a JPEG image") as refused:
      read(data)
    sentences.add(str(refused.value))
  assert len(sentences) == 1
