"""Blender itself opens what we write; skipped where its module `bpy` is missing.

It is a gigabyte, and for one version of Python each: `pip install 'bpy==4.2.*'` with
Python 3.11, here or in an environment whose Python MHMR_JAX_BPY_PYTHON names.
"""

import importlib.util
import os
import pathlib
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from mhmr_jax.body import smpl
from mhmr_jax.body.joints import SMPL_JOINTS
from mhmr_jax.export import bvh, gltf
from tests import test_docs, tiny

_OTHER_PYTHON = os.environ.get("MHMR_JAX_BPY_PYTHON")
_SCRIPT = pathlib.Path(__file__).with_name("blender_joints.py")
_FPS = 30

pytestmark = [
  pytest.mark.slow,
  pytest.mark.skipif(
    not (_OTHER_PYTHON or importlib.util.find_spec("bpy")),
    reason="Blender's module bpy is not installed",
  ),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, walks, body):
  folder = tmp_path_factory.mktemp("blender")
  gltf.write(folder / "motion.glb", walks, body)
  bvh.write(folder / "motion.bvh", walks[1], body)
  return folder


def _run(folder, *words):
  done = subprocess.run(
    [_OTHER_PYTHON or sys.executable, *map(str, words)],
    cwd=folder,
    capture_output=True,
    text=True,
    timeout=300,
  )
  assert done.returncode == 0, done.stdout + done.stderr
  print(done.stdout)


def _opened(folder, name, frames):
  """What Blender finds in a file at frames of a scene of 30 a second."""
  out = folder / f"{name}.npz"
  _run(folder, _SCRIPT, name, out, _FPS, *frames)
  with np.load(out, allow_pickle=False) as file:
    return dict(file)


def _y_up(places):
  x, y, z = np.moveaxis(places, -1, 0)
  return np.stack([x, z, -y], axis=-1)


def _joints(found, person):
  """The joints in SMPL's order, with y up as in the motion's world."""
  names = found[f"names {person}"].tolist()
  order = [names.index(name) for name in SMPL_JOINTS]
  return _y_up(found[f"joints {person}"])[:, order]


def _check_people(found, walks, millimetres):
  for person, walk in enumerate(walks):
    joints = _joints(found, f"person_{person:02d}")
    apart = 1000 * np.linalg.norm(joints - walk.joints_world, axis=-1)
    print(f"person {person}: {apart.max():.4f} mm at most")
    assert apart.max() < millimetres


def test_the_glb_opens_with_everybody_in_place(folder, walks, body):
  found = _opened(folder, "motion.glb", walks[0].times * _FPS)
  _check_people(found, walks, millimetres=1)
  heads = found["joints person_00"][..., 2]
  names = found["names person_00"].tolist()
  assert (heads[:, names.index("head")] > heads[:, names.index("left_foot")] + 1).all()
  for person, walk in enumerate(walks):
    parameters = (walk.pose_world, walk.betas, walk.transl_world)
    vertices, _ = smpl.forward(body, *(jnp.asarray(part[-1:]) for part in parameters))
    skinned = _y_up(found[f"vertices person_{person:02d}"])
    apart = 1000 * np.linalg.norm(skinned - np.asarray(vertices)[0], axis=-1)
    assert apart.mean() < 0.1
    assert apart.max() < 25


def test_nobody_is_seen_before_they_come(folder):
  found = _opened(folder, "motion.glb", [0])
  for person in ("person_00", "person_01"):
    assert np.ptp(found[f"vertices {person}"], axis=0).max() < 1e-3


def test_the_bvh_opens_in_place(folder, walks):
  # Blender puts the first row at frame 1.
  found = _opened(folder, "motion.bvh", range(1, 41))
  joints = _joints(found, "motion")
  apart = 1000 * np.linalg.norm(joints - walks[1].joints_world, axis=-1)
  print(f"{apart.max():.4f} mm at most")
  assert apart.max() < 5


def test_the_command_of_the_docs_makes_an_fbx_of_the_glb(folder, walks):
  page = tiny.ROOT / "docs" / "export.md"
  (words,) = (
    command.words
    for command in test_docs.read_commands(page)
    if command.words[:2] == ("python", "-c")
  )
  _run(folder, *words[1:])
  # Blender's reader of FBX puts the time 0 at frame 1.
  found = _opened(folder, "motion.fbx", walks[0].times * _FPS + 1)
  _check_people(found, walks, millimetres=1)
