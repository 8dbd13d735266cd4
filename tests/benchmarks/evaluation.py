"""Time of an evaluation of 3DPW's size, stage by stage, against loading its frames.

  python -m tests.benchmarks.evaluation [frames]

35,000 made-up frames of 500 to a sequence, protocol smpl24, the free body, the default
`flow_kp` model. Loading (decoding, cropping, optical flow) and the model are timed on
a part of the frames and scaled up; everything else is timed on all of them, what is
compiled included. `metrics` are those of joints that are posed already; `surfaces`
poses the predictions and the labels and compares their vertices. Beside the seconds on
the wall are those of the cores: where others use the machine too, these compare.
"""

import functools
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from configs import flow_kp
from mhmr_jax.body import smpl
from mhmr_jax.body.gendered import Bodies
from mhmr_jax.data import lanes
from mhmr_jax.data.sources import ClipSource
from mhmr_jax.evaluation import baselines, intervals, means, protocols, results
from mhmr_jax.evaluation.scores import Scorer
from mhmr_jax.evaluation.truth import Predicted, Truth
from mhmr_jax.geometry import rotations
from mhmr_jax.inference import eval_step
from mhmr_jax.models import motion_hmr
from mhmr_jax.runtime import sharding
from mhmr_jax.training import train_step
from mhmr_jax.visualize.report import number

FRAMES = 35_000
LENGTH = 500
LOADED = 1_600  # Loading and the model are timed on these.
LANES = 8
SIZE = 320  # The size of stored frames.


def make_clips(body: smpl.SmplModel, frames: int) -> list[dict[str, Any]]:
  """Sequences of random walks in pose, all with the same pictures of blurred noise."""
  rng = np.random.default_rng(0)
  noise = rng.integers(0, 255, (2 * SIZE, 2 * SIZE, 3), dtype=np.uint8)
  texture = cv2.GaussianBlur(noise, (0, 0), 2)
  pictures = [
    cv2.imencode(".jpg", texture[i : i + SIZE, i : i + SIZE])[1].tobytes()
    for i in range(32)
  ]
  joints = jax.jit(smpl.joints)
  clips = []
  for start in range(0, frames, LENGTH):
    length = min(LENGTH, frames - start)
    pose = np.cumsum(rng.normal(0, 0.02, (LENGTH, 24, 3)), axis=0).astype(np.float32)
    betas = rng.normal(0, 0.5, 10).astype(np.float32)
    transl = np.tile(np.float32([0, 0, 4]), (LENGTH, 1))
    label = np.asarray(joints(body, pose, np.tile(betas, (LENGTH, 1)), transl))
    keypoints = rng.uniform(0.3, 0.7, (LENGTH, 17, 3)) * [SIZE, SIZE, 1]
    clips.append(
      {
        "frames": [pictures[i % len(pictures)] for i in range(length)],
        "pose": pose[:length],
        "betas": betas,
        "transl": transl[:length],
        "joints_camera": label[:length],
        "keypoints_image": keypoints[:length].astype(np.float32),
        "visibility": np.ones((length, 24), np.float32),
        "intrinsics": np.float32([[300, 0, 160], [0, 300, 160], [0, 0, 1]]),
        "valid": np.ones(length, bool),
        "frame_index": np.arange(length),
        "fps": 30.0,
        "sequence": f"made_{start // LENGTH:03d}_0",
      }
    )
  return clips


class Seconds(NamedTuple):
  """Wall-clock seconds, and CPU seconds of all cores together."""

  wall: float
  cpu: float

  def __add__(self, other: "Seconds") -> "Seconds":  # type: ignore[override]
    return Seconds(self.wall + other.wall, self.cpu + other.cpu)

  def scaled(self, factor: float) -> "Seconds":
    return Seconds(factor * self.wall, factor * self.cpu)

  @classmethod
  def now(cls) -> "Seconds":
    return cls(time.perf_counter(), time.process_time())


def timed(run: Callable[[], Any]) -> tuple[Seconds, Any]:
  start = Seconds.now()
  result = jax.block_until_ready(run())
  return Seconds.now() + start.scaled(-1), result


def time_loading(clips: list[dict[str, Any]], scale: float) -> dict[str, Seconds]:
  """Seconds of loading and of the model, scaled up."""
  config = flow_kp.get_config()
  source = ClipSource("made", clips, "/made")
  load = lambda: [
    chunk for group in lanes.evaluation_groups(source, config, LANES) for chunk in group
  ]
  loading, chunks = timed(load)

  model = motion_hmr.from_config(config)
  first = {key: chunks[0].batch[key] for key in (*config.model.inputs, "valid")}
  step = jax.jit(functools.partial(eval_step.run_chunk, model=model))
  shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), first)
  optimizer = train_step.make_optimizer(config.train)
  state = train_step.init_state(jax.random.key(0), shapes, model, optimizer)
  variables = {"params": state.params, "batch_stats": state.batch_stats}
  carry = model.initial_carry(LANES)
  jax.block_until_ready(step(variables, first, carry))

  def run() -> Any:
    out = None
    for chunk in chunks:
      batch = {key: chunk.batch[key] for key in first}
      out = step(variables, batch, carry)
      jax.block_until_ready(out)
    return out

  return {"loading": loading.scaled(scale), "model": timed(run)[0].scaled(scale)}


def time_scoring(
  clips: list[dict[str, Any]], body: smpl.SmplModel
) -> dict[str, Seconds]:
  """Seconds of everything that follows the model."""
  truth = Truth.of(clips, "threedpw")
  scorer = Scorer(protocols.SMPL24, None, Bodies(body), truth, sharding.make_mesh())
  seconds = {"labels": timed(lambda: scorer.labels.joints)[0]}
  rng = np.random.default_rng(1)
  pose = truth.pose + rng.normal(0, 0.1, truth.pose.shape).astype(np.float32)
  matrices = np.asarray(jax.jit(rotations.axis_angle_to_matrix)(jnp.asarray(pose)))
  noise = rng.normal(0, 0.05, truth.joints_camera.shape).astype(np.float32)
  points = (truth.joints_camera + noise)[:, [*range(24), 0]]

  joints = Predicted({"points": points}, np.ones(len(points), bool))
  seconds["metrics"], errors = timed(lambda: scorer.score(joints))
  summarise = lambda: (
    means.overall(errors, truth.sequences, scorer.protocol),
    intervals.bootstrap(errors, truth.sequences, scorer.protocol),
    means.per_joint(errors, truth.sequences, scorer.protocol),
    means.per_clip(errors, truth.names, scorer.protocol),
  )
  seconds["metrics"] += timed(summarise)[0]
  bodies = Predicted.of_bodies(matrices, truth.betas)
  seconds["surfaces"] = timed(lambda: scorer.score(bodies))[0]
  mean_seconds, mean_pose = timed(lambda: baselines.mean_pose(clips))
  base, _ = timed(lambda: results.score_baselines(scorer, mean_pose))
  seconds["baselines"] = mean_seconds + base
  return seconds


def main() -> None:
  frames = int(sys.argv[1]) if len(sys.argv) > 1 else FRAMES
  body = smpl.load()
  clips = make_clips(body, frames)
  loaded = min(LOADED, frames) // LANES
  part = [
    {k: v[:loaded] if np.ndim(v) and len(v) == len(clip["frames"]) else v
     for k, v in clip.items()}
    for clip in clips[:LANES]
  ]  # fmt: skip
  count = sum(len(clip["frames"]) for clip in part)
  seconds = time_loading(part, frames / count) | time_scoring(clips, body)
  print(f"{frames:,} frames, {os.cpu_count()} CPUs; seconds{'wall':>12}{'CPU':>10}")
  for name, taken in seconds.items():
    print(f"{name:28}{number(taken.wall):>12}{number(taken.cpu):>10}")
  nothing = Seconds(0, 0)
  before = ("loading", "model")
  after = sum((v for k, v in seconds.items() if k not in before), nothing)
  ratios = {
    "metrics_over_two_seconds": seconds["metrics"].wall / 2,
    "metrics_cpu_over_four_seconds": seconds["metrics"].cpu / 4,
    "after_the_model_over_loading": after.wall / seconds["loading"].wall,
    "after_the_model_over_loading_cpu": after.cpu / seconds["loading"].cpu,
    "model_over_loading": seconds["model"].wall / seconds["loading"].wall,
  }
  print(json.dumps({name: round(value, 3) for name, value in ratios.items()}))


if __name__ == "__main__":
  main()
