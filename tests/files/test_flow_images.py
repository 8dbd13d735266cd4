"""Flow as KITTI's PNG images."""

import struct

import cv2
import numpy as np
import pytest

from mhmr_jax.files import flow_images


def test_png_round_trip_is_within_half_a_step():
  flow = np.random.default_rng(0).normal(0, 40, (37, 53, 2)).astype(np.float32)
  flow[0, 0] = [511.9, -511.9]
  back = flow_images.decode_png(flow_images.encode_png(flow))
  assert back.dtype == np.float32
  assert np.abs(back - flow).max() <= 1 / 128


def test_png_has_the_layout_of_kitti():
  flow = np.zeros((4, 5, 2), np.float32)
  flow[1, 2] = [3.0, -2.0]
  valid = np.ones((4, 5), bool)
  valid[0] = False
  data = flow_images.encode_png(flow, valid)
  blue, green, red = cv2.split(
    cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
  )
  assert red[1, 2] == 2**15 + 3 * 64
  assert green[1, 2] == 2**15 - 2 * 64
  np.testing.assert_array_equal(blue, valid)
  back, known = flow_images.decode_png_with_valid(data)
  np.testing.assert_array_equal(back, flow)
  np.testing.assert_array_equal(known, valid)


def test_flow_beyond_the_range_is_clipped_not_wrapped():
  back = flow_images.decode_png(
    flow_images.encode_png(np.full((2, 2, 2), 9000, np.float32))
  )
  assert (back > 511).all()


def test_a_claim_of_many_pixels_is_refused_before_room_is_made():
  data = flow_images.encode_png(np.zeros((4, 4, 2), np.float32))
  for width, height in ((30_000, 30_000), (0, 4), (4096, 4096), (4, 5000)):
    size = struct.pack(">2I", width, height)
    with pytest.raises(ValueError, match="16-bit"):
      flow_images.decode_png(data[:16] + size + data[24:])
  with pytest.raises(ValueError, match="16-bit"):
    flow_images.decode_png(data[:20])


def test_large_images_of_no_motion_are_read():
  """Nothing compresses better."""
  data = flow_images.encode_png(np.zeros((2000, 1500, 2), np.float32))
  assert flow_images.decode_png(data).shape == (2000, 1500, 2)


@pytest.mark.parametrize(
  "image", [np.zeros((3, 3), np.uint16), np.zeros((3, 3, 3), np.uint8)]
)
def test_other_images_are_refused(image):
  data = cv2.imencode(".png", image)[1].tobytes()
  with pytest.raises(ValueError, match="16-bit"):
    flow_images.decode_png(data)


@pytest.mark.parametrize("size", [(37, 53), (1, 1), (2, 300), (128, 16)])
def test_own_files_are_read_as_opencv_reads_them(size):
  rng = np.random.default_rng(1)
  flow = rng.normal(0, 40, (*size, 2)).astype(np.float32)
  valid = rng.random(size) < 0.5
  data = flow_images.encode_png(flow, valid)
  assert flow_images._pixels_of_encoder(data, size[1], size[0]) is not None
  image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
  own, known = flow_images.decode_png_with_valid(data)
  # OpenCV filters each line as it likes.
  other = cv2.imencode(".png", image)[1].tobytes()
  assert flow_images._pixels_of_encoder(other, size[1], size[0]) is None
  expected, also_known = flow_images.decode_png_with_valid(other)
  np.testing.assert_array_equal(own, expected)
  np.testing.assert_array_equal(own, (image[..., :0:-1] - np.float32(2**15)) / 64)
  np.testing.assert_array_equal(known, valid)
  np.testing.assert_array_equal(also_known, valid)


def test_damaged_pixels_are_refused():
  flow = np.random.default_rng(2).normal(0, 40, (20, 30, 2)).astype(np.float32)
  data = flow_images.encode_png(flow)
  for place in (60, len(data) - 18):  # Among the pixels, and in their checksum.
    damaged = bytearray(data)
    damaged[place] ^= 0x55
    with pytest.raises(ValueError, match="16-bit"):
      flow_images.decode_png(bytes(damaged))
  with pytest.raises(ValueError, match="16-bit"):
    flow_images.decode_png(data[: len(data) // 2])
