"""Draws a body model in random shapes and poses, to be inspected by eye.

python -m mhmr_jax.visualize.body_sheet --motion=FOLDER --out=docs/body_sheet.jpg
"""

import argparse
import pathlib

import jax
import numpy as np
from jaxtyping import Float, UInt8

from mhmr_jax.body import joints, smpl
from mhmr_jax.errors import InputError
from mhmr_jax.files import atomic
from mhmr_jax.motion import library
from mhmr_jax.visualize import overlay, panels

COLUMNS, SHAPE_ROWS, POSE_ROWS = 9, 2, 5
CELL = (240, 176)  # Height and width, pixels.
DISTANCE = 6.0  # Metres to the camera.
METRES_ACROSS = 2.35  # The height that a cell shows.
BACKGROUND = 232
SEED = 0


_forward = jax.jit(smpl.forward)


def draw(
  body: smpl.SmplModel, motions: library.MotionSource
) -> UInt8[np.ndarray, "height width 3"]:
  """Draws rows of random shapes: first standing, then in poses from motion data."""
  rng = np.random.default_rng(SEED)
  rows = []
  for row in range(SHAPE_ROWS + POSE_ROWS):
    betas = rng.normal(size=(COLUMNS, 10)).astype(np.float32)
    if row < SHAPE_ROWS:
      pose = np.tile(_standing(), (COLUMNS, 1, 1))
      pose[:, 0, 1] = np.linspace(-np.pi, np.pi, COLUMNS) if row % 2 else 0.4
    else:
      drawn = [motions.sample(rng, "train", 1) for _ in range(COLUMNS)]
      pose = np.concatenate([motion.pose for motion in drawn])
    vertices, _ = _forward(body, pose, betas, np.zeros(3, np.float32))
    rows.append([_cell(np.asarray(v), np.asarray(body.faces)) for v in vertices])
  return np.concatenate([np.concatenate(row, axis=1) for row in rows])


def _standing() -> Float[np.ndarray, "24 3"]:
  pose = np.zeros((24, 3), np.float32)
  pose[joints.SMPL_JOINTS.index("left_shoulder"), 2] = -1.2
  pose[joints.SMPL_JOINTS.index("right_shoulder"), 2] = 1.2
  return pose


def _cell(
  vertices: Float[np.ndarray, "V 3"], faces: np.ndarray
) -> UInt8[np.ndarray, "height width 3"]:
  height, width = CELL
  focal = height * DISTANCE / METRES_ACROSS
  intrinsics = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
  middle = (vertices.min(0) + vertices.max(0)) / 2
  vertices_camera = (vertices - middle) * np.array([1, -1, -1]) + [0, 0, DISTANCE]
  image = np.full((height, width, 3), BACKGROUND, np.uint8)
  return overlay.draw_mesh(image, vertices_camera, faces, intrinsics, (196, 164, 148))


def main() -> None:
  """Parses the flags and writes the picture."""
  parser = argparse.ArgumentParser(description="Draws a body's shapes and poses.")
  parser.add_argument("--out", type=pathlib.Path, required=True)
  parser.add_argument(
    "--body", default=None, help="a .pkl or .npz of SMPL; by default the free body"
  )
  parser.add_argument(
    "--motion",
    default="",
    help="a folder of CMU, BVH or AMASS files; by default procedural motion",
  )
  args = parser.parse_args()
  try:
    sheet = draw(smpl.load(args.body), library.open_motions(args.motion))
    atomic.write(args.out, panels.encode_jpeg(sheet, quality=88))
  except InputError as error:
    raise SystemExit(str(error)) from error


if __name__ == "__main__":
  main()
