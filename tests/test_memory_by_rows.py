"""What each stage of a prediction takes in memory for each further row of the motion.

NumPy tells `tracemalloc` of its arrays, so nothing is measured here that depends on the
machine.
"""

import functools
import tracemalloc

import numpy as np
import pytest

from mhmr_jax.body import smpl
from mhmr_jax.export import amass_npz, bvh, gltf, prediction_npz
from mhmr_jax.geometry import pinhole
from mhmr_jax.inference import placement, sampling, smoothing, world
from mhmr_jax.inference.streaming import CropOutputs
from mhmr_jax.keypoints import outliers, swaps
from mhmr_jax.keypoints.tracking import Track
from mhmr_jax.visualize import viewer
from tests import motions

_FEW, _MANY = 1100, 2200  # More than any stage works on at once.


@pytest.fixture(scope="module")
def body():
  return smpl.load()


@pytest.fixture(scope="module")
def motion(body):
  return motions.walking(body, 0)


def _track(rows):
  keypoints = np.random.default_rng(0).uniform(0, 100, (rows, 17, 3))
  return Track(np.arange(rows), keypoints.astype(np.float32))


def _outputs(rows):
  rotations = np.tile(np.eye(3, dtype=np.float32), (rows, 24, 1, 1))
  rotations[:, 0] *= np.float32([1, -1, -1])[:, None]
  constant = lambda *values: np.tile(np.float32(values), (rows, 1))
  return CropOutputs(
    times=np.arange(rows) / 30,
    segment=np.zeros(rows, int),
    rotations=rotations,
    betas=np.zeros((rows, 10), np.float32),
    camera=constant(0.9, 0, 0),
    box=constant(100, 50, 300, 250),
    gravity=constant(0, 1, 0),
    standing=constant(0.5, 0.5),
  )


def _find_outliers(rows):
  keypoints = _track(rows).keypoints
  return lambda: outliers.of_track(keypoints)


def _undo_swaps(rows):
  track = _track(rows)
  return lambda: swaps.undo(track, 30.0)


def _sample(rows):
  track, times = _track(rows), np.arange(rows) / 25
  return lambda: sampling.samples(track, times, 0, rows - 1)


def _smooth(rows):
  outputs = _outputs(rows)
  return lambda: smoothing.smooth(outputs)


def _place(body, rows):
  outputs, matrix = _outputs(rows), pinhole.centred_intrinsics(640, 480)
  followed = sampling.rows(_track(rows), np.arange(rows) / 30)
  return lambda: placement.place(body, outputs, followed, matrix)


def _into_world(body, rows):
  person = _place(body, rows)().seen
  return lambda: world.place([person], body)


def _longer(motion, rows):
  """A motion with more rows, by repetition."""
  count = len(motion.times)
  fields = {
    name: np.resize(value, (rows, *value.shape[1:]))
    for name, value in motion._asdict().items()
    if isinstance(value, np.ndarray) and value.shape[:1] == (count,)
  }
  times = np.arange(rows) / motion.fps
  return motion._replace(**fields | {"times": times, "frame_index": np.arange(rows)})


def _kilobytes_a_row(make):
  """How much each further row adds to the peak; `make(rows)` gives the stage."""
  peaks = []
  for rows in (_FEW, _MANY):
    stage = make(rows)
    tracemalloc.start()
    stage()
    peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
  return (peaks[1] - peaks[0]) / (_MANY - _FEW) / 1024


def test_the_stages_take_kilobytes_a_row(body):
  # Rotation matrices alone are 0.84 KB, and the rows of a whole motion are 1.4 KB.
  limits = {
    _find_outliers: 0.5,
    _undo_swaps: 1.0,
    _sample: 1.4,
    _smooth: 0.5,
    functools.partial(_place, body): 1.0,
    functools.partial(_into_world, body): 1.6,
  }
  for make, limit in limits.items():
    assert _kilobytes_a_row(make) < limit


def test_files_of_motions_are_written_bit_by_bit(body, motion, tmp_path):
  writers = {
    "motion.bvh": lambda path, own: bvh.write(path, own, body),
    "motion_amass.npz": amass_npz.write,
    "motion.glb": lambda path, own: gltf.write(path, [own], body),
    "prediction.npz": prediction_npz.write,
  }
  for name, write in writers.items():

    def make(rows, name=name, write=write):
      own = _longer(motion, rows)
      return lambda: write(tmp_path / name, own)

    assert _kilobytes_a_row(make) < 0.1


def test_a_page_takes_the_texts_of_its_rotations_twice(body, motion, tmp_path):
  def make(rows):
    own = _longer(motion, rows)
    return lambda: viewer.write(tmp_path / "motion.html", [own], body, None)

  assert _kilobytes_a_row(make) < 1.2
