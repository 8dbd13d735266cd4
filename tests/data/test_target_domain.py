"""Clips of the target domain in the stream: how many, which, and without labels."""

import numpy as np
import pytest

from mhmr_jax.data import pipeline
from mhmr_jax.data.sources import ClipSource
from tests import tiny
from tests.data.clips import LENGTH, assert_same, make_clip, make_source, take

LABELS = {"pose", "betas", "joints_camera", "joints_crop", "visibility"}


@pytest.fixture
def config(tmp_path):
  return tiny.config(tmp_path, "dann")


def take_with_target(config, count, state=None):
  source = make_source([LENGTH] * 5)
  target = make_source([LENGTH] * 6)
  return take(config, source, count, state=state, target=target)


def test_half_of_each_batch_is_of_the_target_and_without_labels(config):
  batches, _ = take_with_target(config, 3)
  for batch in batches:
    labelled = batch["labelled"]
    assert labelled.shape == (4,)
    assert labelled.dtype == bool
    assert labelled.sum() == 2
    for key in LABELS:
      assert not batch[key][~labelled].any(), key
    # make_clip(0) has betas of zero, and nothing else.
    for key in LABELS - {"betas"}:
      assert batch[key][labelled].any((*range(1, batch[key].ndim),)).all(), key
    assert batch["rgb"].any((1, 2, 3, 4)).all()
    assert batch["valid"].all()


def test_labelled_clips_are_those_of_a_run_without_target(config):
  with_target, _ = take_with_target(config, 4)
  alone, _ = take(config, make_source([LENGTH] * 5), 2)
  for key in alone[0]:
    labelled = np.concatenate([batch[key][batch["labelled"]] for batch in with_target])
    expected = np.concatenate([batch[key] for batch in alone])
    np.testing.assert_array_equal(labelled, expected, err_msg=key)


def test_target_clips_come_in_an_order_of_their_own(config):
  """Clips of the same number in both domains would show the same motion."""
  target = make_source([LENGTH] * 5)
  config.train.batch_size = 20
  ((batch,), _) = take(config, make_source([LENGTH] * 5), 1, target=target)
  labelled = batch["labelled"]
  left, right = batch["rgb"][labelled], batch["rgb"][~labelled]
  # Two passes over the five clips of each: the mean colour tells the clip.
  means = [x.mean((1, 2, 3, 4)) for x in (left, right)]
  assert not np.allclose(*means, atol=0.5)


def test_resume_is_exact(config):
  straight, _ = take_with_target(config, 5)
  _, state = take_with_target(config, 2)
  assert state == {pipeline.POSITION: 8}
  resumed, _ = take_with_target(config, 3, state=state)
  for left, right in zip(straight[2:], resumed, strict=True):
    assert_same(left, right)


def test_clips_that_have_no_labels_make_the_same_examples(config):
  """As clips whose labels are withheld."""
  clips = [make_clip(index) for index in range(6)]
  for clip in clips:
    for key in ("pose", "betas", "joints_camera", "visibility", "intrinsics", "flow"):
      del clip[key]
  source = make_source([LENGTH] * 5)
  target = ClipSource("made", clips, "/made")
  batches, _ = take(config, source, 4, target=target)
  with_labels, _ = take_with_target(config, 4)
  for left, right in zip(batches, with_labels, strict=True):
    assert_same(left, right)


def test_clips_of_the_target_keep_all_inputs(config):
  config.model.inputs = ("keypoints",)
  config.keypoints.form = "coordinates"
  batches, _ = take_with_target(config, 2)
  for batch in batches:
    assert batch["keypoints"].any((1, 2, 3)).all()
    assert np.all(batch["window"][:, 2] > 0)
