"""Stored JPEG frames: their pixels, and their sizes without decoding."""

import io

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
