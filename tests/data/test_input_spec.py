"""The spec of a network's inputs, read from configs."""

import pytest

from mhmr_jax.data.input_spec import InputSpec
from tests import tiny


def _spec(tmp_path, **overrides):
  return InputSpec.from_config(tiny.config(tmp_path, **overrides))


@pytest.mark.parametrize(
  ("overrides", "host_inputs", "colour", "dis"),
  [
    ({}, ("flow", "keypoints", "window"), False, True),
    ({"flow__source": "exact"}, ("flow", "keypoints", "window"), False, False),
    ({"flow__cache": True}, ("flow", "keypoints", "window"), False, False),
    (
      {"flow__source": "raft"},
      ("rgb", "rgb_before", "keypoints", "window"),
      True,
      False,
    ),
    (
      {"flow__source": "raft", "flow__cache": True},
      ("flow", "keypoints", "window"),
      False,
      False,
    ),
    ({"model__inputs": ("keypoints",)}, ("keypoints", "window"), False, False),
  ],
)
def test_host_makes_what_the_device_cannot(
  tmp_path, overrides, host_inputs, colour, dis
):
  spec = _spec(tmp_path, **overrides)
  assert spec.host_inputs == host_inputs
  assert (spec.colour, spec.estimates_dis) == (colour, dis)
  assert spec.needs_images == (colour or dis)


@pytest.mark.parametrize(
  ("overrides", "source"),
  [
    ({"flow__source": "exact"}, "dis"),
    ({"flow__cache": True}, "dis"),
    ({"flow__source": "raft", "flow__cache": True}, "raft"),
  ],
)
def test_flow_of_a_video_is_estimated(tmp_path, overrides, source):
  spec = _spec(tmp_path, **overrides)
  assert spec.stored_flow is not None
  video = spec.for_video()
  assert (video.stored_flow, video.flow_source) == (None, source)
