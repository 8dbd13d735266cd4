"""Swaps of left and right: undone where they are, and nowhere else."""

import functools

import jax
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mhmr_jax.body import smpl
from mhmr_jax.body.joints import COCO_FLIP, COCO_FROM_SMPL, SMPL_JOINTS
from mhmr_jax.inference import video_motion
from mhmr_jax.keypoints import swaps
from mhmr_jax.keypoints.tracking import Track
from mhmr_jax.motion.procedural import generator

_ALL = np.array(COCO_FLIP)
_ARMS = np.r_[:5, _ALL[5:11], 11:17]
_LEGS = np.r_[:11, _ALL[11:]]
_FRAMES = 180
_joints = jax.jit(smpl.joints)
# The points of the face in the head's frame, m: x is the person's left.
_FACE = [[0, 0.05, 0.13], [0.03, 0.08, 0.1], [-0.03, 0.08, 0.1]]
_FACE += [[0.08, 0.07, 0], [-0.08, 0.07, 0]]


@functools.cache
def points(seed, fps=30.0):
  """COCO-17 of a procedural motion in space, metres, y up: all kinds of actions."""
  sequence = generator.generate(seed, _FRAMES, fps)
  body = smpl.load()
  shape = np.zeros((_FRAMES, 10), np.float32)
  joints = np.asarray(_joints(body, sequence.pose, shape, sequence.transl))
  found = np.empty((_FRAMES, 17, 3))
  for point, joint in COCO_FROM_SMPL.items():
    found[:, point] = joints[:, joint]
  head = Rotation.identity(_FRAMES)
  for name in ("pelvis", "spine1", "spine2", "spine3", "neck", "head"):
    head = head * Rotation.from_rotvec(sequence.pose[:, SMPL_JOINTS.index(name)])
  for point, place in enumerate(_FACE):
    found[:, point] = joints[:, SMPL_JOINTS.index("head")] + head.apply(place)
  return found


def seen_from(space, yaw, pitch=10.0, frame_turn=0.0, score=0.9):
  """The track of a person whom a camera sees from an angle, or goes around; degrees."""
  yaws = yaw + frame_turn * np.arange(len(space))
  turn = Rotation.from_euler("yx", np.stack([yaws, np.full_like(yaws, pitch)], 1), True)
  camera = np.einsum("nij,npj->npi", turn.as_matrix(), space - space[:, :1].mean(0))
  image = camera[..., :2] * [1, -1] / (4 - camera[..., 2:]) * 1000 + 500
  scores = np.full((*image.shape[:2], 1), score)
  keypoints = np.append(image, scores, axis=-1).astype(np.float32)
  return Track(np.arange(len(space)), keypoints)


def swap(track, order, *spans):
  """Swaps points in spans of frames."""
  keypoints = track.keypoints.copy()
  for start, stop in spans:
    keypoints[start:stop] = keypoints[start:stop, order]
  return Track(track.frame_index, keypoints)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
  ("fps", "stride", "frame_turn"),
  [(30.0, 1, 0), (30.0, 1, 6), (15.0, 2, 0), (24.0, 2, 0)],
)
def test_clean_tracks_stay_from_every_side(seed, fps, stride, frame_turn):
  """Legs that pass each other, turns, and motion 1.6 times as fast as it was."""
  changed = 0
  yaws = np.arange(0, 360, 24.0)
  for yaw in yaws:
    track = seen_from(points(seed)[::stride], yaw, frame_turn=frame_turn)
    mended, swapped = swaps.undo(track, fps)
    changed += swapped.any(axis=1).sum()
    assert (mended.keypoints == track.keypoints).all() == (not swapped.any())
  assert changed <= 1e-3 * len(yaws) * _FRAMES / stride


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
  ("order", "wrong"), [(_ALL, (1, 1)), (_ARMS, (1, 0)), (_LEGS, (0, 1))]
)
def test_planted_spells_are_undone(seed, order, wrong):
  spans = [(20, 21), (33, 35), (50, 80), (95, 96), (97, 98), (150, _FRAMES)]
  truth = np.zeros(_FRAMES, bool)
  for start, stop in spans:
    truth[start:stop] = True
  missed, left = 0, 0.0
  yaws = np.arange(10, 360, 45.0)
  rng = np.random.default_rng(seed)
  for yaw in yaws:
    track = seen_from(points(seed), yaw)
    track.keypoints[..., :2] += rng.normal(0, 2, (_FRAMES, 17, 2))
    mended, swapped = swaps.undo(swap(track, order, *spans), 30.0)
    missed += (swapped != truth[:, None] * np.array(wrong, bool)).any(axis=1).sum()
    left += np.abs(mended.keypoints - track.keypoints)[..., :2].mean()
  # Where left and right lie over each other, nothing tells, and nothing matters.
  assert missed < 0.02 * len(yaws) * _FRAMES
  assert left / len(yaws) < 0.3


def test_what_most_frames_show_is_right():
  track = seen_from(points(0), 30.0)
  mostly = swap(track, _ALL, (0, 120), (130, _FRAMES))
  mended, swapped = swaps.undo(mostly, 30.0)
  np.testing.assert_array_equal(np.flatnonzero(swapped.all(1)), np.arange(120, 130))
  np.testing.assert_array_equal(
    mended.keypoints, swap(track, _ALL, (0, _FRAMES)).keypoints
  )


def test_a_frame_between_two_places_is_no_crossing():
  """A detector's frame in which left and right lie in the middle."""
  track = seen_from(points(0), 0.0)
  given = swap(track, _ALL, (60, 90))
  given.keypoints[90] = (track.keypoints[90] + track.keypoints[90, _ALL]) / 2
  _, swapped = swaps.undo(given, 30.0)
  others = np.delete(swapped.all(1), 90)
  np.testing.assert_array_equal(np.flatnonzero(others), np.arange(60, 90))


def test_it_works_beside_missing_points_and_frames():
  rng = np.random.default_rng(0)
  track = swap(seen_from(points(1), 0.0, score=0.6), _ALL, (60, 75))
  track.keypoints[rng.random((_FRAMES, 17)) < 0.1] = 0
  frames = np.flatnonzero(rng.random(_FRAMES) < 0.9)
  _, swapped = swaps.undo(Track(frames, track.keypoints[frames]), 30.0)
  np.testing.assert_array_equal(swapped.any(1), (frames >= 60) & (frames < 75))


def test_after_a_long_gap_the_track_is_judged_anew():
  track = seen_from(points(0), 0.0)
  frames = np.r_[0:60, 90:_FRAMES]
  given = swap(Track(frames, track.keypoints[frames]), _ALL, (60, 70))
  _, swapped = swaps.undo(given, 30.0)
  assert swapped[60:70].all()
  assert not np.delete(swapped, np.arange(60, 70), axis=0).any()
  # Half of a track that is cut there is as it was found.
  given = swap(Track(frames, track.keypoints[frames]), _ALL, (60, 150))
  _, swapped = swaps.undo(given, 30.0)
  assert not swapped.any()


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_the_shortest_tracks_and_unseen_people_stay(frames):
  track = seen_from(points(0)[:frames], 0.0)
  assert not swaps.undo(track, 30.0)[1].any()
  unseen = Track(track.frame_index, np.zeros_like(track.keypoints))
  mended, swapped = swaps.undo(unseen, 30.0)
  assert not swapped.any()
  np.testing.assert_array_equal(mended.keypoints, 0)


def test_people_who_are_followed_have_it_undone():
  track = seen_from(points(0), 0.0)
  given = swap(track, _ALL, (60, 75))
  (person,) = video_motion.follow([one[None] for one in given.keypoints], 30.0)
  np.testing.assert_array_equal(person.track.keypoints, track.keypoints)
  np.testing.assert_array_equal(np.flatnonzero(person.swapped.all(1)), range(60, 75))
