"""Draws a stored clip, its inputs and its labels as square panels of one size."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float

from mhmr_jax.body import joints as body_joints
from mhmr_jax.files import flow_images, jpeg
from mhmr_jax.flow import dis
from mhmr_jax.geometry import pinhole, weak_perspective
from mhmr_jax.schema import Clip
from mhmr_jax.visualize import flow_colours, overlay, panels
from mhmr_jax.visualize.panels import Image

CAPTIONS = (
  *("frame", "keypoints", "heatmaps", "DIS flow", "exact flow", "mask"),
  "3D joints",
)
# The keys of a clip that a panel needs; the other panels need only the frames.
_NEEDS = {
  "keypoints": "keypoints_image",
  "heatmaps": "keypoints_image",
  "exact flow": "flow",
  "mask": "mask",
}
_HEATMAP_SIGMA = 0.02  # A share of the panel's side.


def joints_image(clip: Clip) -> Float[np.ndarray, "time 24 2"] | None:
  """The 3D joints in pixels of the frames; None if the clip has no camera.

  Joints that are not in front of the camera are NaN.
  """
  if "joints_camera" not in clip:
    return None
  points = clip["joints_camera"]
  if "intrinsics" in clip:
    pixels, in_front = pinhole.project_in_front(
      points, clip["intrinsics"], min_depth=1e-3
    )
    return np.where(in_front[..., None], pixels, np.nan)
  if "camera_image" in clip:
    return weak_perspective.project(points, clip["camera_image"])
  return None


def frame_shape(clip: Clip) -> tuple[int, int]:
  """The height and width of a clip's frames, in pixels."""
  height, width = jpeg.decode(clip["frames"][0], colour=False).shape
  return int(height), int(width)


class ClipView:
  """Draws a clip, scaled to fit squares of `size` pixels."""

  def __init__(self, clip: Clip, size: int):
    self._clip = clip
    self._size = size
    self._scale = size / max(frame_shape(clip))
    self._joints = joints_image(clip)
    self._estimate = dis.DisFlow("medium")

  @property
  def captions(self) -> tuple[str, ...]:
    """The captions of the panels that this clip has, in the order of `CAPTIONS`."""
    lacking = {name for name, key in _NEEDS.items() if key not in self._clip}
    if self._joints is None:
      lacking.add("3D joints")
    return tuple(name for name in CAPTIONS if name not in lacking)

  def moments(self) -> list[int]:
    """The frames that can be shown with flow: valid frames that follow a valid one."""
    valid = self._valid()
    return (np.flatnonzero(valid[1:] & valid[:-1]) + 1).tolist()

  def spread_moments(self, count: int) -> list[int]:
    """A number of `moments`, evenly spread from the first to the last."""
    moments = self.moments()
    places = np.linspace(0, len(moments) - 1, count).round().astype(int)
    return [moments[place] for place in places] if moments else []

  def panels(self, moments: Sequence[int]) -> list[dict[str, Image]]:
    """Draws the panels of each moment by caption, with one scale for all flow."""
    rows = [self._still(time) for time in moments]
    flows = [self.flows(time) for time in moments]
    # The fastest motion, without the fastest hundredth of the pixels.
    speeds = [
      float(np.quantile(np.linalg.norm(flow, axis=-1), 0.99))
      for shown in flows
      for flow in shown.values()
    ]
    for row, shown in zip(rows, flows, strict=True):
      for name, flow in shown.items():
        row[name] = self._square(flow_colours.colour(flow, max(speeds)))
    return rows

  def flows(self, time: int) -> dict[str, Float[np.ndarray, "height width 2"]]:
    """Flow from the frame before, by caption, in pixels of the panel."""
    flows = {"DIS flow": self._estimate(self._frame(time - 1), self._frame(time))}
    if "flow" in self._clip:
      flow = flow_images.decode_png(self._clip["flow"][time])
      flows["exact flow"] = self._scaled(flow) * np.float32(self._scale)
    return flows

  def _valid(self) -> Bool[np.ndarray, "time"]:
    if "valid" in self._clip:
      return self._clip["valid"]
    return np.ones(len(self._clip["frames"]), bool)

  def _still(self, time: int) -> dict[str, Image]:
    """Draws the panels other than flow, by caption."""
    clip = self._clip
    frame = self._frame(time)
    shown = {"frame": frame}
    if "keypoints_image" in clip:
      keypoints = clip["keypoints_image"][time] * [self._scale, self._scale, 1]
      keypoints = keypoints.astype(np.float32)
      shown["keypoints"] = overlay.draw_skeleton(frame, keypoints)
      sigma = _HEATMAP_SIGMA * self._size
      shown["heatmaps"] = panels.draw_heatmaps(keypoints, self._size, sigma)
    if "mask" in clip:
      mask = jpeg.decode(clip["mask"][time], colour=True)
      shown["mask"] = self._scaled(mask)
    if self._joints is not None:
      pixels = self._joints[time] * self._scale
      score = np.isfinite(pixels).all(-1)
      if "visibility" in clip:
        score &= clip["visibility"][time] > 0
      shown["3D joints"] = overlay.draw_skeleton(
        frame,
        np.column_stack([pixels, score]).astype(np.float32),
        body_joints.SMPL_BONES,
        body_joints.SMPL_JOINTS,
      )
    return {name: self._square(image) for name, image in shown.items()}

  def _frame(self, time: int) -> Image:
    frame = self._clip["frames"][time]
    return self._scaled(jpeg.decode(frame, colour=True))

  def _scaled(self, image: np.ndarray) -> np.ndarray:
    if self._scale == 1:
      return image
    height, width = (max(1, round(side * self._scale)) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)

  def _square(self, image: Image) -> Image:
    """The picture in a white square."""
    height, width = image.shape[:2]
    if height == width == self._size:
      return image
    square = np.full((self._size, self._size, 3), 255, np.uint8)
    square[:height, :width] = image[: self._size, : self._size]
    return square


def all_captions(views: Sequence[ClipView]) -> list[str]:
  """The captions of the panels that any of the clips has, in order."""
  present = {caption for view in views for caption in view.captions}
  return [caption for caption in CAPTIONS if caption in present]


def caption_row(captions: Sequence[str], size: int, height: int = 16) -> Image:
  """A white strip with the captions of a row of panels."""
  row = np.full((height, len(captions) * size, 3), 255, np.uint8)
  for number, caption in enumerate(captions):
    place = (number * size + 2, height - 4)
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(row, caption, place, font, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
  return row
