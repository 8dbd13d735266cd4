"""Colours of decoded frames, against BT.2100's formulas and another reader."""

import av
import numpy as np
import pytest

from mhmr_jax.files import shown_frames, video

_WIDTH, _HEIGHT = 128, 32
_TO_BT2020 = np.array(
  [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]
)
# BT.2020's luminance, of non-constant luminance.
_LUMA = np.array([0.2627, 0.6780, 0.0593])


def _srgb_to_linear(value):
  return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def _hlg(nits):
  scene = (nits / 1000) ** (1 / 1.2)
  a, b, c = 0.17883277, 0.28466892, 0.55991073
  return np.where(
    scene <= 1 / 12,
    np.sqrt(3 * scene),
    a * np.log(np.maximum(12 * scene - b, 1e-9)) + c,
  )


def _pq(nits):
  power = (nits / 10_000) ** 0.1593017578125
  return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def _hdr_frame(signal, transfer):
  """A 10-bit frame of an RGB signal in BT.2020, from 0 to 1."""
  luma = signal @ _LUMA
  blue = (signal[..., 2] - luma) / 1.8814
  red = (signal[..., 0] - luma) / 1.4746
  planes = (64 + 876 * luma, 512 + 896 * blue[::2, ::2], 512 + 896 * red[::2, ::2])
  frame = av.VideoFrame(_WIDTH, _HEIGHT, "yuv420p10le")
  for plane, values in zip(frame.planes, planes, strict=True):
    padded = np.zeros((values.shape[0], plane.line_size // 2), np.uint16)
    padded[:, : values.shape[1]] = np.round(values)
    plane.update(padded.tobytes())
  frame.color_trc, frame.color_primaries, frame.colorspace = transfer, 9, 9
  frame.color_range = 1
  return frame


def _sdr_picture():
  """Dull colours, up to grey that is darker than where tones are compressed."""
  rng = np.random.default_rng(0)
  colours = 90 + rng.integers(-40, 40, (8, 16, 3))
  return colours.repeat(_HEIGHT // 8, 0).repeat(_WIDTH // 16, 1)


@pytest.mark.parametrize(("transfer", "encode"), [(18, _hlg), (16, _pq)])
def test_hdr_of_an_sdr_picture_looks_like_it(transfer, encode):
  """White is at 203 cd/m², as BT.2408 puts SDR into HDR."""
  expected = _sdr_picture()
  light = 203 * _srgb_to_linear(expected / 255) @ _TO_BT2020.T
  frame = _hdr_frame(encode(light), transfer)
  found = shown_frames.picture(frame, shown_frames.layout(frame, 0.0))
  error = np.abs(found.astype(int) - expected)[2::4, 3::8]
  assert error.mean() < 5
  assert np.percentile(error, 95) < 14


@pytest.mark.parametrize(("transfer", "encode"), [(18, _hlg), (16, _pq)])
def test_hdr_highlights_stay_apart(transfer, encode):
  nits = np.linspace(0, 800, _WIDTH)
  signal = np.broadcast_to(encode(nits)[None, :, None], (_HEIGHT, _WIDTH, 3))
  frame = _hdr_frame(signal, transfer)
  found = shown_frames.picture(frame, shown_frames.layout(frame, 0.0))
  levels = found[0, :, 1].astype(int)
  assert (np.diff(levels) >= -1).all()
  paper, bulb = (levels[np.searchsorted(nits, value)] for value in (203, 600))
  assert 225 < paper < bulb - 8
  assert bulb > 248
  # Greys stay grey.
  assert np.ptp(found[0].astype(int), axis=-1).max() <= 4


def test_ten_bit_file_of_hlg_is_read_in_its_colours(tmp_path):
  expected = _sdr_picture()
  light = 203 * _srgb_to_linear(expected / 255) @ _TO_BT2020.T
  path = tmp_path / "phone.mov"
  with av.open(str(path), "w") as container:
    # One frame needs no threads, with which the packets were once refused.
    options = {"x265-params": "log-level=none:crf=4:pools=none:frame-threads=1"}
    stream = container.add_stream("libx265", rate=30, options=options)
    stream.width, stream.height, stream.pix_fmt = _WIDTH, _HEIGHT, "yuv420p10le"
    context = stream.codec_context
    context.color_trc, context.color_primaries, context.colorspace = 18, 9, 9
    container.mux(stream.encode(_hdr_frame(_hlg(light), 18)))
    container.mux(stream.encode())
  (found,) = video.read_frames(path)
  assert np.abs(found.astype(int) - expected)[2::4, 3::8].mean() < 5


def test_sdr_colours_are_left_alone(tmp_path):
  rgb = np.full((32, 32, 3), [200, 120, 60], np.uint8)
  frame = av.VideoFrame.from_ndarray(rgb, "rgb24")
  for matrix in (1, 5):  # Of HD and of SD.
    encoded = frame.reformat(format="yuv444p", dst_colorspace=matrix)
    found = shown_frames.picture(encoded, shown_frames.layout(encoded, 1.0))
    np.testing.assert_allclose(found, rgb, atol=3)
