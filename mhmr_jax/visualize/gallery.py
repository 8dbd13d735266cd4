"""Pictures of evaluated sequences: what went in, the truth and the prediction."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8
from ml_collections import ConfigDict

from mhmr_jax.body import smpl
from mhmr_jax.body.gendered import Bodies
from mhmr_jax.data import device_flow, examples, flow_cache, sources
from mhmr_jax.data.chunks import Chunk
from mhmr_jax.data.input_spec import InputSpec
from mhmr_jax.files import jpeg, video_writer
from mhmr_jax.geometry import pinhole, rotations, windows
from mhmr_jax.inference.sequences import SequencePrediction
from mhmr_jax.keypoints import heatmaps
from mhmr_jax.schema import Batch, Clip
from mhmr_jax.visualize import flow_colours, overlay, panels
from mhmr_jax.visualize.report import Picture, Pictures

Image = UInt8[np.ndarray, "_ _ 3"]

_PREDICTION = (122, 168, 214)
_TRUTH = (206, 184, 140)
_SIDE_VIEW_METRES = 2.4  # What a side view's panel spans.

_vertices = jax.jit(smpl.forward_matrices)


@dataclasses.dataclass(frozen=True)
class Gallery:
  """Draws from what an evaluation kept; frames are read again."""

  bodies: Bodies
  config: ConfigDict
  source: sources.ClipSource
  predictions: Sequence[SequencePrediction]
  per_sequence: Sequence[Mapping[str, Any]]

  def pictures(self, examples: int = 5, worst: int = 4) -> Pictures:
    """Inputs of the median sequence and it; examples from good to bad; the worst."""
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
    """Writes sequences from good to bad, each from its start."""
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
    """Sequences that were scored, best first."""
    scored = [i for i, row in enumerate(self.per_sequence) if row["num_frames"]]
    return sorted(scored, key=lambda i: self.per_sequence[i]["pa_mpjpe_mm"])

  def _caption(self, index: int) -> str:
    row = self.per_sequence[index]
    return f"{row['sequence']}: PA-MPJPE {row['pa_mpjpe_mm']:.1f} mm"

  def _rows(self, index: int, rows: int = 3, size: int = 192) -> Picture:
    """Frames from the whole sequence, a row each."""
    clip = self.source[index]
    valid = np.flatnonzero(clip["valid"])
    frames = valid[(np.arange(rows) * 2 + 1) * len(valid) // (2 * rows)]
    strips = [
      list(self._views(clip, index, int(frame), size).values())
      for frame in dict.fromkeys(frames)
    ]
    return Picture(panels.grid(strips), self._caption(index))

  def _views(self, clip: Clip, index: int, frame: int, size: int) -> dict[str, Image]:
    """Square pictures of one frame in the window that the network saw."""
    said = self.predictions[index]
    box = said.box[frame]
    image = jpeg.decode(clip["frames"][frame], colour=True)
    crop = windows.crop_image(image, box, size)
    body = self.bodies.neutral
    # Without its own body's file a label is drawn by the one that there is.
    label_body = self.bodies.of(clip.get("gender", "neutral")) or body

    matrices = said.rotations[frame]
    predicted = _pelvis_relative(body, matrices, said.betas[frame])
    placed, intrinsics = panels.weak_perspective_view(
      predicted, said.camera[frame], size
    )
    truth_matrices = np.asarray(
      rotations.axis_angle_to_matrix(jnp.asarray(clip["pose"][frame]))
    )
    truth = _pelvis_relative(label_body, truth_matrices, clip["betas"])
    if "intrinsics" in clip:
      truth_placed = truth + clip["joints_camera"][frame, 0]
      truth_intrinsics = pinhole.crop_intrinsics(
        clip["intrinsics"], box[:2], size / float(box[2] - box[0])
      )
    else:
      camera = panels.crop_camera(clip["camera_image"][frame], box)
      truth_placed, truth_intrinsics = panels.weak_perspective_view(truth, camera, size)

    faces, label_faces = np.asarray(body.faces), np.asarray(label_body.faces)
    views = {
      "input": self._input_panel(crop, said, frame),
      "truth": overlay.draw_mesh(
        crop, truth_placed, label_faces, truth_intrinsics, _TRUTH
      ),
      "prediction": overlay.draw_mesh(crop, placed, faces, intrinsics, _PREDICTION),
    }
    for name, vertices, triangles, colour in (
      ("truth_side", truth, label_faces, _TRUTH),
      ("side", predicted, faces, _PREDICTION),
    ):
      camera = np.array([2 / _SIDE_VIEW_METRES, 0, 0], np.float32)
      side = panels.from_the_side(vertices)
      turned, view = panels.weak_perspective_view(side, camera, size)
      blank = np.full((size, size, 3), 255, np.uint8)
      views[name] = overlay.draw_mesh(blank, turned, triangles, view, colour)
    return views

  def _input_panel(self, crop: Image, said: SequencePrediction, frame: int) -> Image:
    if said.keypoints is None:
      return crop
    scale = crop.shape[0] / self.config.data.size
    return overlay.draw_skeleton(crop, said.keypoints[frame] * [scale, scale, 1])

  def _inputs(self, index: int, columns: int = 6, size: int = 144) -> Picture:
    """The frames around the middle as the network sees them, a row a cue."""
    clip = flow_cache.opened(self.source, self.config)[index]
    said = self.predictions[index]
    spec = InputSpec.from_config(self.config)
    start = len(clip["frames"]) // 2 // spec.window * spec.window
    span = slice(start, min(start + spec.window, len(clip["frames"])))
    spec = dataclasses.replace(spec, inputs=(*spec.inputs, "rgb"))
    frames = np.arange(span.start, span.stop)
    chunk = Chunk(frames, clip["keypoints_image"][span], said.box[start])
    seen = examples.clip_example(clip, chunk, spec, continues=True)
    images = {key: seen[key][None] for key in seen.keys() & {"rgb", "rgb_before"}}
    given = self._with_flow(cast(Batch, images))
    if "flow" in given:
      seen["flow"] = np.asarray(given["flow"])[0]
    rows, names = [seen["rgb"]], ["the frames"]
    if "rgb" not in self.config.model.inputs:
      names = ["the frames (not given to it)"]
    if "flow" in seen:
      flow = seen["flow"].astype(np.float32)
      rows.append(flow_colours.colour(flow))
      names.append("flow (hue: direction, saturation: speed)")
    if said.keypoints is not None:
      heat = self._heatmaps(said.keypoints[span])
      rows.append(panels.colour_heatmaps(heat))
      names.append("keypoint heatmaps (a hue a joint)")
    # The first frame of a sequence has no flow to show.
    chosen = np.linspace(1, len(seen["rgb"]) - 1, columns).round().astype(int)
    strips = [
      [panels.enlarge(row[frame], size) for frame in dict.fromkeys(chosen)]
      for row in rows
    ]
    caption = f"{self.per_sequence[index]['sequence']}, from top: {', '.join(names)}."
    return Picture(panels.grid(strips), caption)

  @functools.cached_property
  def _with_flow(self) -> Callable[[Batch], Batch]:
    return device_flow.make(self.config)

  def _heatmaps(self, keypoints: Float[np.ndarray, "time 17 3"]) -> np.ndarray:
    size = self.config.data.size
    sigma = self.config.model.heatmap_sigma * size
    return np.asarray(heatmaps.draw(jnp.asarray(keypoints), size, sigma))


def _pelvis_relative(
  body: smpl.SmplModel,
  matrices: Float[np.ndarray, "24 3 3"],
  betas: Float[np.ndarray, "10"],
) -> Float[np.ndarray, "V 3"]:
  origin = np.zeros(3, np.float32)
  vertices, joints = _vertices(body, matrices, betas, origin)
  return np.asarray(vertices - joints[:1])


def _spread(order: Sequence[int], count: int) -> list[int]:
  """Evenly spaced members, the first and the last left out where there are enough."""
  positions = (np.arange(count) * 2 + 1) * len(order) // (2 * count)
  return [order[i] for i in dict.fromkeys(positions.tolist())] if order else []
