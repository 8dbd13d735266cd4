"""End-point error and time of optical flow: DIS against networks.

  python -m tests.benchmarks.flow --flownets=DIR --raft=DIR

Of held-out clips (test split, 16 frames, of 128 x 128 pixels unless --size says another
number) of the variants `full`, which the networks were trained on, and `shifted`, which
they never saw: over all pixels whose flow is known, over the person's, and over the
person's where each frame's flow is taken less its mean there, which leaves how the
limbs move against each other. A network whose weights are not given has no row. Times
are CPU seconds of estimates alone, a clip at a time, in turns.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import cv2
import jax
import numpy as np
from absl import app, flags, logging

from mhmr_jax.data import flow_pairs
from mhmr_jax.flow import dis, learned
from mhmr_jax.synth import clips

FRAMES, SEED = 16, 0
VARIANTS = ("full", "shifted")
PARTS = ("all", "person", "limbs")

_CLIPS = flags.DEFINE_integer("clips", 32, "Clips of each variant.")
_SIZE = flags.DEFINE_integer("size", 128, "The side of a frame, px.")
_FLOWNETS = flags.DEFINE_string("flownets", None, "Its weights.")
_RAFT = flags.DEFINE_string("raft", None, "Its weights.")

Images = np.ndarray
Estimate = Callable[[Images, Images], np.ndarray]


def by_dis(preset: str) -> Estimate:
  estimate = dis.DisFlow(preset)
  return lambda first, second: np.stack(list(map(estimate, first, second)))


def by_network(kind: str, weights: str) -> Estimate:
  model, variables = learned.load(kind, weights)
  jitted = jax.jit(lambda *images: learned.estimate(model, variables, *images))
  return lambda first, second: np.asarray(jitted(first, second))


def estimators() -> dict[str, Estimate]:
  rows: dict[str, Estimate] = {
    "zero": lambda first, _: np.zeros((*first.shape[:3], 2), np.float32),
    "dis fast": by_dis("fast"),
    "dis medium": by_dis("medium"),
  }
  for kind, weights in (("flownets", _FLOWNETS.value), ("raft", _RAFT.value)):
    if weights is not None:
      rows[kind] = by_network(kind, weights)
  return rows


def held_out(variant: str) -> Iterator[tuple[flow_pairs.Pair, np.ndarray]]:
  """The pairs of a clip, stacked, and the person's pixels in the first frames."""
  spec = clips.ClipSpec(seed=SEED, frames=FRAMES, size=_SIZE.value, variant=variant)
  maker = clips.ClipMaker(spec)
  for index in range(_CLIPS.value):
    clip, _ = maker.make("test", index)
    read = [flow_pairs.read(clip, frame) for frame in range(1, FRAMES)]
    masks = [cv2.imdecode(np.frombuffer(m, np.uint8), 0) for m in clip["mask"][:-1]]
    stacked = flow_pairs.Pair(*(np.stack(field) for field in zip(*read, strict=True)))
    yield stacked, np.stack(masks) > 0


def limb_errors(difference: np.ndarray, person: np.ndarray) -> np.ndarray:
  """The error on the person's pixels, less each frame's mean difference there."""
  seen = [own[of] for own, of in zip(difference, person, strict=True) if of.any()]
  return np.linalg.norm(np.concatenate([own - own.mean(0) for own in seen]), axis=-1)


def main(argv: list[str]) -> None:
  del argv
  logging.set_verbosity(logging.WARNING)  # Orbax says how it restores.
  cv2.setNumThreads(1)
  rows = estimators()
  seconds = dict.fromkeys(rows, 0.0)
  errors: dict[str, list[float]] = {name: [] for name in rows}
  blank = np.zeros((FRAMES - 1, _SIZE.value, _SIZE.value, 3), np.uint8)
  for estimate in rows.values():
    estimate(blank, blank)  # Compiles.
  for variant in VARIANTS:
    # Sums of distances and numbers of pixels, in the order of PARTS.
    sums = {name: np.zeros(3) for name in rows}
    counts = np.zeros(3)
    for number, (pair, person) in enumerate(held_out(variant)):
      counts += pair.valid.sum(), person.sum(), person.sum()
      for name in np.roll(list(rows), number):
        start = time.process_time()
        flow = rows[name](pair.first, pair.second)
        seconds[name] += time.process_time() - start
        difference = flow - pair.flow
        error = np.linalg.norm(difference, axis=-1)
        sums[name] += (
          error[pair.valid].sum(),
          error[person].sum(),
          limb_errors(difference, person).sum(),
        )
      print(f"\r{variant}: {number + 1} clips", end="", file=sys.stderr)
    for name in rows:
      errors[name] += (sums[name] / counts).tolist()
  print(file=sys.stderr)
  show(errors, seconds)


def show(errors: dict[str, list[float]], seconds: dict[str, float]) -> None:
  """Prints the table, and the networks' ratios to DIS."""
  columns = [f"{v} {part}" for v in VARIANTS for part in PARTS]
  frames = len(VARIANTS) * _CLIPS.value * (FRAMES - 1)
  milliseconds = {name: 1e3 * spent / frames for name, spent in seconds.items()}
  head = [*columns, "CPU ms a frame"]
  print(f"{'end-point error, px':<20}" + "".join(f"{name:>16}" for name in head))
  for name, values in errors.items():
    cells = [f"{value:16.3f}" for value in (*values, milliseconds[name])]
    print(f"{name:<20}" + "".join(cells))
  ratios = {}
  for name in errors.keys() & set(learned.KINDS):
    for preset in ("fast", "medium"):
      against = f"dis {preset}"
      pairs_of = zip(columns, errors[name], errors[against], strict=True)
      for column, ours, theirs in pairs_of:
        key = f"flow_{name}_over_dis_{preset}_{column.replace(' ', '_')}"
        ratios[key] = round(ours / theirs, 3)
      key = f"flow_{name}_over_dis_{preset}_cpu_time"
      ratios[key] = round(milliseconds[name] / milliseconds[against], 2)
  print(json.dumps(dict(sorted(ratios.items()))))


if __name__ == "__main__":
  app.run(main)
