"""How far a glTF file's skinned vertices are from those of the body layer.

  python -m tests.benchmarks.gltf_skinning [--body=SMPL_NEUTRAL.pkl]

The file has at most four joints a vertex and no pose blend shapes. Ten generated
motions of 40 frames are written, read back and skinned.
"""

import argparse
import json
import pathlib
import tempfile

import jax
import numpy as np

from mhmr_jax.body import smpl
from mhmr_jax.export import gltf
from tests import motions
from tests.export import glb

_MOTIONS = 10


def distances(body: smpl.SmplModel, seed: int) -> np.ndarray:
  """The distances of the vertices in a generated motion, mm, [frames, vertices]."""
  motion = motions.walking(body, seed)
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "motion.glb"
    gltf.write(path, [motion], body)
    found = glb.vertices(glb.read(path), 0, motion.times)
  parameters = (motion.pose_world, motion.betas, motion.transl_world)
  expected, _ = jax.jit(smpl.forward)(body, *parameters)
  return 1000 * np.linalg.norm(found - np.asarray(expected), axis=-1)


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--body", help="SMPL's .pkl or .npz; the free body by default")
  body = smpl.load(parser.parse_args().body)
  apart = np.concatenate([distances(body, seed) for seed in range(_MOTIONS)])
  worst = int(apart.max(axis=0).argmax())
  place = np.round(np.asarray(body.v_template, float)[worst], 2).tolist()
  print(
    f"{len(apart)} frames, {apart.shape[1]} vertices; the worst is {place} at rest."
  )
  figures = {
    "mean_mm": apart.mean(),
    "share_over_1_mm": (apart > 1).mean(),
    "max_mm": apart.max(),
  }
  print(json.dumps({name: round(float(value), 4) for name, value in figures.items()}))


if __name__ == "__main__":
  main()
