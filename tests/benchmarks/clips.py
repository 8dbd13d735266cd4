"""Time of synthetic clips, stage by stage, against the least that any would take.

  python -m tests.benchmarks.clips

Clips of 32 frames of 224 x 224 pixels, variant `full`, on one core. The floor is what
no renderer of flow can leave out, on the same people in the same frames: one pass of
OpenCV's rasteriser for colour and one for the motion of the vertices, the flow in
pixels, and the JPEG of the very frames; for comparison, also with the flow stored as
this project stores it. Clip and floor take turns. Times are CPU seconds, so that other
processes on the machine change little, and medians over the rounds.
"""

import contextlib
import json
import os
import statistics
import time
from typing import Any
from unittest import mock

# Read when NumPy is loaded.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import cv2
import numpy as np

from mhmr_jax.files import flow_images, jpeg
from mhmr_jax.geometry import pinhole
from mhmr_jax.runtime.stage_times import StageTimes
from mhmr_jax.synth import backgrounds, clips, composite, distractors, people, render

SIZE, FRAMES, CLIPS, ROUNDS = 224, 32, 16, 3
JPEG = (cv2.IMWRITE_JPEG_QUALITY, 95)
FAR = 1000.0


def watched(maker: clips.ClipMaker, stages: StageTimes) -> contextlib.ExitStack:
  """Times the stages of clips from outside for as long as it is open."""
  domain = maker._domain
  maker._domain = domain._replace(
    sensor=stages.running("composite and sensor")(domain.sensor)
  )
  stack = contextlib.ExitStack()
  stack.callback(setattr, maker, "_domain", domain)
  for stage, owner, name in (
    ("motion", type(maker._motions), "sample"),
    ("render the person", people.Actor, "film"),
    ("background", type(maker._scenes), "draw"),
    ("background", backgrounds, "film"),
    ("other people", distractors, "film"),
    ("occluders", clips.ClipMaker, "_film_occluders"),
    ("composite and sensor", composite, "composite"),
    ("encode", clips, "_encode"),
  ):
    replaced = stages.running(stage)(getattr(owner, name))
    stack.enter_context(mock.patch.object(owner, name, replaced))
  return stack


class Subject:
  """A clip's person as triangles, and its frames: what the floor is measured on."""

  def __init__(self, maker: clips.ClipMaker, index: int):
    surfaces: list[tuple[np.ndarray, np.ndarray]] = []
    rasterise = render.Mesh.rasterise

    def record(mesh: render.Mesh, vertices: np.ndarray, K: np.ndarray, shape: Any):
      if mesh is maker._actor._mesh:
        surfaces.append((np.ascontiguousarray(vertices), K))
      return rasterise(mesh, vertices, K, shape)

    with mock.patch.object(render.Mesh, "rasterise", record):
      clip, _ = maker.make("train", index)
    self.faces = np.ascontiguousarray(maker._actor._body.faces, np.int32)
    self.frames = [jpeg.decode(data, colour=True) for data in clip["frames"]]
    self.surfaces = [vertices for vertices, _ in surfaces]
    self.intrinsics = surfaces[0][1]
    self.masks = [cv2.imdecode(np.frombuffer(m, np.uint8), 0) for m in clip["mask"]]
    self.colours = np.random.default_rng(0).random(self.surfaces[0].shape, np.float32)

  def draw(self, vertices: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, ...]:
    """Values of the vertices at pixels' centres, and the depth."""
    K = self.intrinsics
    placed = np.array(vertices, np.float32)
    placed[:, :2] += (K[:2, 2] - SIZE / 2) / K[[0, 1], [0, 1]] * vertices[:, 2:]
    placed[:, 1:] *= -1
    seen = np.zeros((SIZE, SIZE, 3), np.float32)
    depth = np.full((SIZE, SIZE), FAR, np.float32)
    settings = cv2.TriangleRasterizeSettings()
    settings.setCullingMode(cv2.RASTERIZE_CULLING_CW)
    settings.setShadingType(cv2.RASTERIZE_SHADING_SHADED)
    fov = 2 * np.arctan(SIZE / 2 / float(K[1, 1]))
    near = render.NEAR / 2
    eye = np.eye(4, dtype=np.float32)
    cv2.triangleRasterize(
      placed, self.faces, values, seen, depth, eye, fov, near, FAR, settings
    )
    return seen, depth

  def check(self) -> None:
    """The floor covers the pixels that the clip says its person covers."""
    drawn = [self.draw(s, self.colours)[1] < FAR * 0.99 for s in self.surfaces]
    mask = np.array(self.masks) > 0
    missed = (mask & ~np.array(drawn)).sum() / max(mask.sum(), 1)
    if not missed < 0.02:
      raise AssertionError(f"The floor misses {missed:.1%} of the person's pixels.")

  def floor(self, stages: StageTimes) -> None:
    """The least work for the clip's frames and flow."""
    pixels = [pinhole.project(surface, self.intrinsics) for surface in self.surfaces]
    for time_, surface in enumerate(self.surfaces):
      with stages.running("rasterise"):
        self.draw(surface, self.colours)
      with stages.running("flow"):
        after = pixels[min(time_ + 1, len(pixels) - 1)]
        moved = np.zeros_like(surface, np.float32)
        moved[:, :2] = after - pixels[time_]
        seen, depth = self.draw(surface, moved)
        flow = seen[..., :2] * (depth < FAR * 0.99)[..., None]
      with stages.running("JPEG"):
        cv2.imencode(".jpg", self.frames[time_], JPEG)
      with stages.running("flow as PNG"):
        flow_images.encode_png(flow)


def table(title: str, rounds: list[dict[str, float]]) -> dict[str, float]:
  """Prints milliseconds a frame by stage; returns their medians."""
  count = CLIPS * FRAMES
  medians = {
    stage: statistics.median(each[stage] for each in rounds) / count * 1e3
    for stage in rounds[0]
  }
  print(f"\n{title:<26}{'ms a frame':>12}")
  for stage, value in medians.items():
    print(f"  {stage:<24}{value:>12.2f}")
  total = sum(medians.values())
  print(f"  {'all':<24}{total:>12.2f}{1e3 / total:>10.1f} frames/s a core")
  return medians


def main() -> None:
  cv2.setNumThreads(1)
  spec = clips.ClipSpec(seed=0, frames=FRAMES, size=SIZE, variant="full")
  maker = clips.ClipMaker(spec)
  subjects = [Subject(maker, index) for index in range(CLIPS)]  # And warms up.
  for subject in subjects:
    subject.check()
  full, least = [], []
  for _ in range(ROUNDS):
    made, floor = StageTimes(time.process_time), StageTimes(time.process_time)
    for index, subject in enumerate(subjects):
      with watched(maker, made), made.running("the rest"):
        maker.make("train", index)
      subject.floor(floor)
    full.append(dict(made.seconds))
    least.append(dict(floor.seconds))
  whole = sum(table(f"full, {SIZE} x {SIZE}", full).values())
  parts = table("floor", least)
  stored = sum(parts.values())
  floor_ms = stored - parts["flow as PNG"]
  print(f"  {'without the PNG':<24}{floor_ms:>12.2f}{1e3 / floor_ms:>10.1f} frames/s\n")
  results = {
    "clips_full_over_floor": round(whole / floor_ms, 2),
    "clips_full_over_floor_with_flow_stored": round(whole / stored, 2),
    "clips_full_frames_per_second_a_core": round(1e3 / whole, 1),
  }
  print(json.dumps(results))


if __name__ == "__main__":
  main()
