"""A person before a camera that zooms, beside one before a camera that does not."""

import numpy as np
import pytest

from mhmr_jax.body import posed_keypoints, smpl
from mhmr_jax.data.input_spec import InputSpec
from mhmr_jax.geometry import pinhole
from mhmr_jax.inference import confidence, packed, placement, sampling, streaming
from mhmr_jax.keypoints.tracking import Track
from tests import motions

_FRAMES = 52
_SIZE = (640, 480)
_FOCAL = np.linspace(500, 900, _FRAMES)


@pytest.fixture(scope="module")
def joints_of():
  """The shipped network's joints in the camera frame, m, by intrinsics of the video.

  The keypoints are the image of a body under the intrinsics with which it is seen.
  """
  body, run = smpl.load(), packed.read()
  motion = motions.walking(body, frames=_FRAMES)
  moments = posed_keypoints.moments(body)
  spec = InputSpec.from_config(run.config).for_video()
  step, carry = streaming.make_step(run.config, run.variables)
  times = np.arange(_FRAMES) / 30

  def recover(seen_with, taken_for):
    points = confidence.body_keypoints(
      body, moments, motion.pose, motion.betas, motion.transl_camera, seen_with
    )
    scores = np.full((_FRAMES, 17, 1), 0.9)
    keypoints = np.append(points, scores, axis=-1).astype(np.float32)
    track = Track(np.arange(_FRAMES), keypoints)
    chunks = streaming.plan(track, times, spec, _SIZE)
    batches = streaming.make_batches(chunks, None, spec, taken_for)
    outputs = streaming.join(streaming.run(chunks, batches, step, carry), chunks)
    boxes = streaming.frame_boxes(chunks, spec, taken_for)
    rows = sampling.rows(track, times)
    placed = placement.place(body, outputs._replace(box=boxes), rows, taken_for)
    return placed.seen.joints_camera

  return recover


def test_a_zoom_that_is_known_moves_nobody(joints_of):
  still = pinhole.centred_intrinsics(*_SIZE, _FOCAL[0])
  zoom = np.array([pinhole.centred_intrinsics(*_SIZE, focal) for focal in _FOCAL])
  expected = joints_of(still, still)
  apart = lambda joints: np.linalg.norm(joints - expected, axis=-1)
  known = apart(joints_of(zoom, zoom))
  # Keypoints are smoothed in pixels, which a zoom changes a little.
  assert known.mean() < 0.01
  assert known.max() < 0.08
  # Somebody seen by an unknown zoom seems to come nearer.
  assert apart(joints_of(zoom, still)).mean() > 0.3
