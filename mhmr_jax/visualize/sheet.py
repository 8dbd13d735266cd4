"""Contact sheets of stored clips: what the network is shown, and what it is told."""

from collections.abc import Sequence

import cv2
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from mhmr_jax.batch import Clip
from mhmr_jax.flow import dis, images
from mhmr_jax.keypoints import heatmaps
from mhmr_jax.visualize import overlay

CAPTIONS = ("frame", "keypoints", "heatmaps", "DIS flow", "exact flow", "mask")
_CAPTION_HEIGHT = 16
_GAP = 4
_HEATMAP_SIGMA = 0.02  # Of the frame's side.


def clip_sheet(
  clips: Sequence[Clip], times: int = 3, columns: int = 2
) -> UInt8[np.ndarray, "height width 3"]:
  """An RGB picture with one row of panels a moment, some moments a clip.

  Args:
    clips: of equally large, square frames, with flow and masks.
    times: moments of each clip, spread over it.
    columns: clips side by side.
  """
  blocks = [_block(clip, times) for clip in clips]
  blank = np.full_like(blocks[0], 255)
  blocks += [blank] * (-len(blocks) % columns)
  rows = [
    np.concatenate(_spaced(blocks[i : i + columns], 1), 1)
    for i in range(0, len(blocks), columns)
  ]
  return np.concatenate([_captions(rows[0], columns), *_spaced(rows, 0)])


def _block(clip: Clip, times: int) -> UInt8[np.ndarray, "height width 3"]:
  # The first frame has no flow.
  moments = np.linspace(1, len(clip["frames"]) - 1, times).round().astype(int)
  flows = [images.decode_png(clip["flow"][t]) for t in moments]
  # One scale for a clip, and for both kinds of flow: its fastest motion, but for
  # the fastest hundredth of its pixels.
  speed = max(float(np.quantile(np.linalg.norm(flow, axis=-1), 0.99)) for flow in flows)
  estimate = dis.DisFlow("medium")
  rows = []
  for t, flow in zip(moments, flows, strict=True):
    before, frame, mask = (
      _decode(data) for data in (*clip["frames"][t - 1 : t + 1], clip["mask"][t])
    )
    keypoints = clip["keypoints_image"][t]
    panels = [
      frame,
      overlay.draw_skeleton(frame, keypoints),
      heatmap_image(keypoints, len(frame)),
      images.colour(estimate(before, frame), speed),
      images.colour(flow, speed),
      mask,
    ]
    rows.append(np.concatenate(panels, 1))
  return np.concatenate(rows)


def heatmap_image(
  keypoints: Float[np.ndarray, "points 3"], size: int
) -> UInt8[np.ndarray, "size size 3"]:
  """All heatmaps in one RGB picture, each keypoint in a hue of its own."""
  planes = np.asarray(
    heatmaps.draw(jnp.asarray(keypoints), size, _HEATMAP_SIGMA * size)
  )
  count = len(keypoints)
  hsv = np.full((1, count, 3), 255, np.uint8)
  hsv[0, :, 0] = np.arange(count) * 180 // count
  hues = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0]
  return np.clip(planes @ hues.astype(np.float32), 0, 255).astype(np.uint8)


def _decode(data: bytes) -> UInt8[np.ndarray, "size size 3"]:
  image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
  if image is None:
    raise ValueError("a stored frame or mask is no image")
  return image.astype(np.uint8, copy=False)


def _spaced(pictures: list[np.ndarray], axis: int) -> list[np.ndarray]:
  """White gaps between the pictures."""
  shape = list(pictures[0].shape)
  shape[axis] = _GAP
  gap = np.full(shape, 255, np.uint8)
  return [part for picture in pictures for part in (picture, gap)][:-1]


def _captions(row: np.ndarray, columns: int) -> UInt8[np.ndarray, "height width 3"]:
  strip = np.full((_CAPTION_HEIGHT, *row.shape[1:]), 255, np.uint8)
  block = (row.shape[1] + _GAP) // columns
  panel = (block - _GAP) // len(CAPTIONS)
  for column in range(columns):
    for number, caption in enumerate(CAPTIONS):
      place = (column * block + number * panel + 2, _CAPTION_HEIGHT - 4)
      font = cv2.FONT_HERSHEY_SIMPLEX
      cv2.putText(strip, caption, place, font, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
  return strip
