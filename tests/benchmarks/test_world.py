"""The benchmark's figures, from a motion whose truth is known."""

import numpy as np
import pytest

from mhmr_jax.body import smpl
from mhmr_jax.inference import world
from mhmr_jax.inference.seen_motion import TOES
from tests import motions
from tests.benchmarks import world as benchmark
from tests.benchmarks.balancing_man import Recording, View

FPS = 60.0
FRAMES = 80


@pytest.fixture(scope="module")
def body():
  return smpl.load()


@pytest.fixture(scope="module")
def motion(body):
  given = motions.walking(body, seed=4, frames=FRAMES, fps=FPS)
  turn = world.world_from_camera(given.gravity_camera)
  seen = np.einsum("nij,nj->ni", turn, given.joints_camera[:, 0])
  # The world's origin is beneath the camera.
  offset = np.mean(given.joints_world[:, 0] - seen, axis=0) * [1, 0, 1]
  return given._replace(
    frame_index=np.arange(FRAMES),
    joints_world=(given.joints_world - offset).astype(np.float32),
  )


def recording(motion):
  toes = motion.joints_world[:, TOES].astype(np.float64)
  return Recording(views=(), fps=FPS, truth=np.zeros((FRAMES, 12, 3)), toes=toes)


def figures(body, motion, up):
  view = View("cam1", None, None, np.asarray(up))
  soles = world.soles(body, motion.betas[0])
  return benchmark.measure(motion, view, recording(motion), soles)


def test_the_true_world_has_no_errors(body, motion):
  found = figures(body, motion, [0.0, -1.0, 0.0])
  assert found.up_degrees == pytest.approx(0, abs=0.1)
  assert found.slide_before == pytest.approx(found.slide_truth, abs=0.05)
  assert found.slide_after == pytest.approx(found.slide_truth, abs=1e-3)
  assert found.hands_moved == pytest.approx(0, abs=0.1)
  assert found.legs_moved_most == pytest.approx(0, abs=0.1)
  assert found.acceleration_after == pytest.approx(found.acceleration_before, abs=0.1)


def test_errors_are_in_their_units(body, motion):
  tilted = [0.0, -np.cos(0.1), np.sin(0.1)]
  assert figures(body, motion, tilted).up_degrees == pytest.approx(
    np.degrees(0.1), abs=0.1
  )
  # Three rows in eight are 20 mm higher, and the camera is level.
  raised = motion.joints_world + np.where(np.arange(FRAMES) < 30, 0.02, 0)[
    :, None, None
  ] * [0, 1, 0]
  found = figures(body, motion._replace(joints_world=raised), [0.0, -1.0, 0.0])
  assert found.hands_moved == pytest.approx(20 * 30 / FRAMES, rel=0.05)
  drift = np.zeros((FRAMES, 24, 3), np.float32)
  drift[..., 0] = np.arange(FRAMES)[:, None] * 0.01
  true = recording(motion)
  slid = motion._replace(joints_world=motion.joints_world + drift)
  soles = world.soles(body, motion.betas[0])
  view = View("cam1", None, None, np.array([0.0, -1, 0]))
  found = benchmark.measure(slid, view, true, soles)
  # 10 mm a frame at 60 Hz are 20 mm a frame at 30 Hz.
  assert found.slide_after == pytest.approx(20, abs=4)
  sunk = motion._replace(joints_world=motion.joints_world - [0, 0.5, 0])
  low = benchmark.measure(sunk, view, true, soles)
  rise = low.below_floor - benchmark.measure(motion, view, true, soles).below_floor
  assert 400 < rise <= 500.1


def test_feet_stand_where_their_true_speed_is_low():
  toes = np.zeros((10, 2, 3))
  toes[:, 1, 0] = np.arange(10) * 0.3 / FPS
  toes[:, 0, 0] = np.arange(10) * 0.2 / FPS
  toes[0] = np.nan
  stands = benchmark.standing(toes, FPS)
  assert stands[2:, 0].all()
  assert not stands[:, 1].any()
  assert not stands[:2].any()
