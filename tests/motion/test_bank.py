"""The bank of motions: which ones it holds, how often, and which feet stand."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mhmr_jax.body.joints import SMPL_JOINTS
from mhmr_jax.errors import InputError
from mhmr_jax.motion import bank, library
from mhmr_jax.motion.library import MotionSource
from mhmr_jax.motion.pose_sequence import PoseSequence
from mhmr_jax.motion.skeleton import rest_joints

_LEFT_FOOT = SMPL_JOINTS.index("left_foot")


class _Made(MotionSource):
  """A source of the given motions, whatever the split."""

  def __init__(self, motions):
    self._motions = motions

  def motions(self, split):
    yield from self._motions

  def split(self, name):
    raise NotImplementedError

  def sample(self, rng, split, frames):
    raise NotImplementedError


def _random(seed, frames):
  rng = np.random.default_rng(seed)
  pose = rng.normal(0, 0.4, (frames, 24, 3)).astype(np.float32)
  return PoseSequence(pose, rng.normal(size=(frames, 3)).astype(np.float32), 30.0)


def test_motions_lie_one_after_the_other():
  motions = [_random(seed, frames) for seed, frames in enumerate((4, 1, 6, 2))]
  made = bank.build([(_Made(motions), 1.0)], "train")
  # A single frame is no motion.
  assert made.lengths.tolist() == [4, 6, 2]
  assert made.starts.tolist() == [0, 4, 10]
  for start, motion in zip((0, 4, 10), (motions[0], *motions[2:]), strict=True):
    own = slice(start, start + len(motion))
    np.testing.assert_array_equal(made.transl[own], motion.transl)
    matrices = Rotation.from_rotvec(motion.pose.reshape(-1, 3)).as_matrix()
    columns = np.swapaxes(matrices[..., :2], -1, -2).reshape(-1, 24, 6)
    np.testing.assert_allclose(made.rot6d[own], columns, atol=1e-3)  # float16.


def test_chances_are_the_shares_times_the_lengths():
  first = _Made([_random(0, 10), _random(1, 30)])
  second = _Made([_random(2, 5)])
  made = bank.build([(first, 0.25), (second, 0.75)], "train")
  np.testing.assert_allclose(made.cumulative, [0.0625, 0.25, 1.0], rtol=1e-6)


def test_a_source_without_motion_is_refused():
  with pytest.raises(InputError, match="no readable motion in the test split"):
    bank.build([(_Made([_random(0, 4)]), 0.5), (_Made([_random(0, 1)]), 0.5)], "test")


def _standing(pose, transl):
  rotations = Rotation.from_rotvec(pose.reshape(-1, 3)).as_matrix()
  rotations = rotations.reshape(*pose.shape[:2], 3, 3).astype(np.float32)
  return bank.standing_feet(rotations, transl.astype(np.float32), 30.0)


def _still(frames=40):
  return np.zeros((frames, 24, 3)), np.tile([0.0, 1.0, 0.0], (frames, 1))


def test_feet_stand_below_a_moving_upper_body():
  pose, transl = _still()
  for name in ("spine1", "left_shoulder", "head"):
    pose[:, SMPL_JOINTS.index(name), 0] = np.linspace(0, 2, len(pose))
  assert _standing(pose, transl).all()


def test_feet_of_a_moving_person_do_not_stand():
  pose, transl = _still()
  walked = transl + np.linspace([0, 0, 0], [0, 0, 1.0 * len(pose) / 30], len(pose))
  assert not _standing(pose, walked).any()
  # As slow as swaying is standing.
  swayed = transl + np.linspace([0, 0, 0], [0, 0, 0.1 * len(pose) / 30], len(pose))
  assert _standing(pose, swayed).all()


def test_only_the_foot_that_somebody_turns_about_stands():
  pose, transl = _still()
  turn = np.linspace(0, 4, len(pose))  # 3 radians a second.
  pose[:, 0, 1] = turn
  offset = rest_joints()[_LEFT_FOOT]
  transl = transl - Rotation.from_rotvec(pose[:, 0]).apply(offset)
  standing = _standing(pose, transl)
  assert standing[:, 0].all()
  assert not standing[:, 1].any()


def test_a_lifted_foot_does_not_stand_however_still_it_is():
  pose, transl = _still()
  pose[:, SMPL_JOINTS.index("right_hip"), 0] = -1.0
  standing = _standing(pose, transl)
  assert standing[:, 0].all()
  assert not standing[:, 1].any()


def test_splits_share_nothing_and_unreadable_files_are_left_out(tmp_path):
  for number in range(7):
    motion = _random(number, 20 + number)
    hands = np.zeros((len(motion), 90))
    np.savez(
      tmp_path / f"{number}.npz",
      poses=np.concatenate([motion.pose[:, :22].reshape(-1, 66), hands], axis=1),
      trans=motion.transl,
      mocap_framerate=30.0,
    )
  (tmp_path / "broken.npz").write_bytes(b"no archive")
  source = library.open_motions(str(tmp_path))
  made = {name: bank.build([(source, 1.0)], name) for name in ("train", "test")}
  lengths = [length for b in made.values() for length in b.lengths.tolist()]
  assert sorted(lengths) == list(range(20, 27))
  rows = [{row.tobytes() for row in np.asarray(b.transl)} for b in made.values()]
  assert all(rows)
  assert not rows[0] & rows[1]


def test_procedural_motion_has_two_splits_too(monkeypatch):
  monkeypatch.setattr(library, "_PROCEDURAL_MOTIONS", 2)
  monkeypatch.setattr(library, "_PROCEDURAL_FRAMES", 30)
  source = library.open_motions("")
  made = {name: bank.build([(source, 1.0)], name) for name in ("train", "test")}
  again = bank.build([(library.open_motions(""), 1.0)], "train")
  np.testing.assert_array_equal(made["train"].rot6d, again.rot6d)
  assert made["train"].lengths.tolist() == made["test"].lengths.tolist() == [30, 30]
  assert np.abs(made["train"].transl - made["test"].transl).max(axis=-1).min() > 0
  with pytest.raises(ValueError, match="validation"):
    list(source.motions("validation"))
