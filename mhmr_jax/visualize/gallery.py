"""Pictures of evaluated sequences: the inputs, the truth and the prediction."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import jax
import numpy as np
from jaxtyping import Float, Int
from ml_collections import ConfigDict

from mhmr_jax.body import posed_frames, smpl
from mhmr_jax.body.gendered import Bodies
from mhmr_jax.data import device_flow, examples, flow_cache, sources
from mhmr_jax.data.chunks import Chunk
from mhmr_jax.data.input_spec import InputSpec
from mhmr_jax.evaluation.means import ClipMeans
from mhmr_jax.files import jpeg, video_writer
from mhmr_jax.geometry import pinhole, windows
from mhmr_jax.inference.sequences import SequencePrediction
from mhmr_jax.schema import Batch, Clip, HostBatch
from mhmr_jax.visualize import flow_colours, overlay, panels
from mhmr_jax.visualize.panels import Image
from mhmr_jax.visualize.report import Picture, Pictures

_PREDICTION = (122, 168, 214)
_TRUTH = (206, 184, 140)
_SIDE_VIEW_METRES = 2.4  # The height and width of a side view.

_vertices = jax.jit(smpl.forward_matrices)


@dataclasses.dataclass(frozen=True)
class Gallery:
  """Draws an evaluation's sequences, whose frames it reads again.

  Attributes:
    bodies: the bodies of the predictions (neutral) and of the labels (by gender).
    config: the config of the run.
    source: the clips.
    predictions: for each clip.
    per_sequence: the figures of each clip.
  """

  bodies: Bodies
  config: ConfigDict
  source: sources.ClipSource
  predictions: Sequence[SequencePrediction]
  per_sequence: Sequence[ClipMeans]

  def pictures(self, examples: int = 5, worst: int = 4) -> Pictures:
    """Draws the median sequence, its inputs, examples from good to bad, the worst."""
    order = self.order()
    middle = order[len(order) // 2 :][:1]
    spread = _spread(order, examples)
    return Pictures(
      inputs=[self._inputs(index) for index in middle],
      examples=[self._rows(index) for index in spread],
      median=[self._rows(index, rows=5) for index in middle],
      worst=[self._rows(index) for index in order[::-1][:worst]],
    )

  def write_video(
    self, path: pathlib.Path, count: int = 5, most_frames: int = 150, size: int = 336
  ) -> None:
    """Writes a video of sequences from good to bad, each from its start."""
    chosen = _spread(self.order(), count)
    if not chosen:
      return
    fps = float(self.source[chosen[0]]["fps"])
    with video_writer.writing(path, fps) as writer:
      for index in chosen:
        clip = self.source[index]
        for frame in range(min(len(clip["frames"]), most_frames)):
          views = self._views(clip, index, frame, size)
          row = [views[name] for name in ("input", "prediction", "side")]
          shown = panels.grid([row])
          bar = panels.text_bar(self._caption(index), shown.shape[1])
          writer.write(np.vstack([shown, bar]))

  def order(self) -> list[int]:
    """The indices of the sequences that were scored, best first."""
    errors = [row["pa_mpjpe_mm"] for row in self.per_sequence]
    scored = {i: error for i, error in enumerate(errors) if error is not None}
    return sorted(scored, key=scored.__getitem__)

  def _caption(self, index: int) -> str:
    row = self.per_sequence[index]
    return f"{row['sequence']}: PA-MPJPE {row['pa_mpjpe_mm']:.1f} mm"

  def _rows(self, index: int, rows: int = 3, size: int = 192) -> Picture:
    """Draws frames from the whole sequence, one in each row."""
    clip = self.source[index]
    valid = np.flatnonzero(clip["valid"])
    if not len(valid):  # Some predictions are shown without a truth that is known.
      valid = np.arange(len(clip["frames"]))
    frames = valid[(np.arange(rows) * 2 + 1) * len(valid) // (2 * rows)]
    strips = [
      list(self._views(clip, index, int(frame), size).values())
      for frame in dict.fromkeys(frames)
    ]
    return Picture(panels.grid(strips), self._caption(index))

  def _views(self, clip: Clip, index: int, frame: int, size: int) -> dict[str, Image]:
    """Draws one frame as square pictures, in the network's input window."""
    prediction = self.predictions[index]
    image = jpeg.decode(clip["frames"][frame], colour=True)
    crop = windows.crop_image(image, prediction.box[frame], size)
    predicted = _pelvis_relative(
      self.bodies.neutral, prediction.rotations[frame], prediction.betas[frame]
    )
    view = panels.weak_perspective_view(
      predicted.vertices, prediction.camera[frame], size
    )
    truth = self._truth(clip, frame)
    true_view = _true_view(clip, frame, truth.vertices, prediction.box[frame], size)
    return {
      "input": self._input_panel(crop, prediction, frame),
      "truth": _draw(crop, truth, true_view, _TRUTH),
      "prediction": _draw(crop, predicted, view, _PREDICTION),
      "truth_side": _from_the_side(truth, size, _TRUTH),
      "side": _from_the_side(predicted, size, _PREDICTION),
    }

  def _truth(self, clip: Clip, frame: int) -> "_Mesh":
    # Where the file of its own body was not named, the neutral one is drawn.
    body = self.bodies.of(clip.get("gender", "neutral")) or self.bodies.neutral
    (matrices,) = posed_frames.matrices(clip["pose"][frame : frame + 1])
    return _pelvis_relative(body, matrices, clip["betas"])

  def _input_panel(
    self, crop: Image, prediction: SequencePrediction, frame: int
  ) -> Image:
    if prediction.keypoints is None:
      return crop
    scale = crop.shape[0] / self.config.data.size
    return overlay.draw_skeleton(crop, prediction.keypoints[frame] * [scale, scale, 1])

  def _inputs(self, index: int, columns: int = 6, size: int = 144) -> Picture:
    """Draws the network's inputs around the middle frame, a row for each cue."""
    span, inputs = self._middle_inputs(index)
    rows, names = [inputs["rgb"]], ["the frames"]
    if "rgb" not in self.config.model.inputs:
      names = ["the frames (not given to it)"]
    if "flow" in inputs:
      rows.append(flow_colours.colour(inputs["flow"].astype(np.float32)))
      names.append("flow (hue: direction, saturation: speed)")
    keypoints = self.predictions[index].keypoints
    if keypoints is not None:
      side = self.config.data.size
      sigma = self.config.model.heatmap_sigma * side
      rows.append(panels.draw_heatmaps(keypoints[span], side, sigma))
      names.append("keypoint heatmaps (a hue for each joint)")
    # The first frame of a sequence has no flow to show.
    chosen = np.linspace(1, len(inputs["rgb"]) - 1, columns).round().astype(int)
    strips = [
      [panels.enlarge(row[frame], size) for frame in dict.fromkeys(chosen)]
      for row in rows
    ]
    caption = f"{self.per_sequence[index]['sequence']}, from top: {', '.join(names)}."
    return Picture(panels.grid(strips), caption)

  def _middle_inputs(self, index: int) -> tuple[slice, HostBatch]:
    """The window around a sequence's middle: its frames and the network's inputs.

    The frames' images are always among them.
    """
    clip = flow_cache.opened(self.source, self.config)[index]
    spec = InputSpec.from_config(self.config)
    start = len(clip["frames"]) // 2 // spec.window * spec.window
    span = slice(start, min(start + spec.window, len(clip["frames"])))
    spec = dataclasses.replace(spec, inputs=(*spec.inputs, "rgb"))
    frames = np.arange(span.start, span.stop)
    box = self.predictions[index].box[start]
    chunk = Chunk(frames, clip["keypoints_image"][span], box)
    inputs = examples.clip_example(clip, chunk, spec, continues=True)
    needed = {"rgb", "rgb_before", "flow_scale"}
    images = {key: inputs[key][None] for key in inputs.keys() & needed}
    with_flow = self._with_flow(cast(Batch, images))
    if "flow" in with_flow:
      inputs["flow"] = np.asarray(with_flow["flow"])[0]
    return span, inputs

  @functools.cached_property
  def _with_flow(self) -> Callable[[Batch], Batch]:
    return device_flow.make(self.config)


class _Mesh(NamedTuple):
  vertices: Float[np.ndarray, "V 3"]  # Relative to the pelvis, camera axes, metres.
  faces: Int[np.ndarray, "F 3"]


def _pelvis_relative(
  body: smpl.SmplModel,
  matrices: Float[np.ndarray, "24 3 3"],
  betas: Float[np.ndarray, "10"],
) -> _Mesh:
  origin = np.zeros(3, np.float32)
  vertices, joints = map(np.asarray, _vertices(body, matrices, betas, origin))
  return _Mesh(vertices - joints[:1], np.asarray(body.faces))


def _true_view(
  clip: Clip,
  frame: int,
  vertices: Float[np.ndarray, "V 3"],
  box: Float[np.ndarray, "4"],
  size: int,
) -> panels.View:
  """The true body in the crop, by the pinhole camera if it is known."""
  if "intrinsics" not in clip:
    camera = panels.crop_camera(clip["camera_image"][frame], box)
    return panels.weak_perspective_view(vertices, camera, size)
  intrinsics = pinhole.crop_intrinsics(
    clip["intrinsics"], box[:2], size / float(box[2] - box[0])
  )
  return vertices + clip["joints_camera"][frame, 0], intrinsics


def _from_the_side(mesh: _Mesh, size: int, colour: overlay.Colour) -> Image:
  camera = np.array([2 / _SIDE_VIEW_METRES, 0, 0], np.float32)
  turned = panels.from_the_side(mesh.vertices)
  view = panels.weak_perspective_view(turned, camera, size)
  return _draw(np.full((size, size, 3), 255, np.uint8), mesh, view, colour)


def _draw(
  image: Image, mesh: _Mesh, view: panels.View, colour: overlay.Colour
) -> Image:
  placed, intrinsics = view
  return overlay.draw_mesh(image, placed, mesh.faces, intrinsics, colour)


def _spread(order: Sequence[int], count: int) -> list[int]:
  """Evenly spaced members, without the first and the last if there are enough."""
  positions = (np.arange(count) * 2 + 1) * len(order) // (2 * count)
  return [order[i] for i in dict.fromkeys(positions.tolist())] if order else []
