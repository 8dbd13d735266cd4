"""Whole sequences: chunks joined by the carried state, lanes and their padding."""

import cv2
import numpy as np
import pytest

from mhmr_jax.data.sources import ClipSource
from mhmr_jax.inference import sequences
from mhmr_jax.models import motion_hmr
from mhmr_jax.runtime import sharding
from tests import drawn, tiny

LENGTHS = (7, 12, 5, 9)
SIZE = 48


def _clip(number, length):
  rng = np.random.default_rng(number)
  texture = cv2.GaussianBlur(rng.integers(0, 255, (80, 80, 3), np.uint8), (0, 0), 2)
  frames = [np.ascontiguousarray(texture[t : t + SIZE, :SIZE]) for t in range(length)]
  keypoints = rng.uniform(12, 36, (length, 17, 3)).astype(np.float32)
  # Two fixed points span the window, so that it is the same in every chunk.
  keypoints[:, 0, :2], keypoints[:, 1, :2] = 4, 44
  keypoints[..., 2] = 1
  return {
    "frames": [cv2.imencode(".jpg", frame)[1].tobytes() for frame in frames],
    "pose": rng.normal(0, 0.3, (length, 24, 3)).astype(np.float32),
    "betas": np.zeros(10, np.float32),
    "joints_camera": np.ones((length, 24, 3), np.float32),
    "keypoints_image": keypoints,
    "visibility": np.ones((length, 24), np.float32),
    "intrinsics": np.array([[60, 0, 24], [0, 60, 24], [0, 0, 1]], np.float32),
    "valid": np.ones(length, bool),
    "fps": 30.0,
    "sequence": f"clip_{number}",
    "frame_index": np.arange(length),
  }


@pytest.fixture(scope="module")
def source():
  clips = [_clip(number, length) for number, length in enumerate(LENGTHS)]
  return ClipSource("made", clips, "/made")


def _config(tmp_path, window):
  return tiny.config(tmp_path, data__window=window, keypoints__noise=False)


@pytest.fixture(scope="module")
def variables(tmp_path_factory):
  config = _config(tmp_path_factory.mktemp("data"), 4)
  model = motion_hmr.from_config(config)
  shapes = motion_hmr.input_shapes(config)
  return drawn.variables(lambda key: motion_hmr.init_variables(model, key, shapes))


def _predict(config, variables, source):
  mesh = sharding.make_mesh()
  return list(sequences.predict(config, variables, source, LENGTHS, mesh))


def test_chunks_equal_the_whole(tmp_path, variables, source, monkeypatch):
  whole = _predict(_config(tmp_path, 12), variables, source)
  monkeypatch.setattr(sequences, "_LANES", 3)  # The last group is padded.
  chunked = _predict(_config(tmp_path, 4), variables, source)
  assert [len(s.camera) for s in chunked] == list(LENGTHS)
  for left, right in zip(whole, chunked, strict=True):
    for name in ("rotations", "betas", "camera", "box", "keypoints"):
      np.testing.assert_allclose(
        getattr(left, name), getattr(right, name), atol=2e-4, err_msg=name
      )


def test_state_matters_and_flows_forward_only(tmp_path, variables, source):
  config = _config(tmp_path, 4)
  before = _predict(config, variables, source)
  changed = [dict(source[index]) for index in range(len(source))]
  points = changed[1]["keypoints_image"].copy()
  points[5, 2:] = 20  # In the second chunk.
  changed[1]["keypoints_image"] = points
  after = _predict(config, variables, ClipSource("made", changed, "/made"))
  np.testing.assert_array_equal(before[0].betas, after[0].betas)
  np.testing.assert_allclose(before[1].betas[:5], after[1].betas[:5], atol=1e-6)
  assert np.abs(before[1].betas[8:] - after[1].betas[8:]).max() > 1e-6


def test_labels_leave_out_the_images(source):
  found = list(sequences.labels(source))
  assert "frames" not in found[0]
  assert "frames" in source[0]
  np.testing.assert_array_equal(found[2]["pose"], source[2]["pose"])
