"""Windows of motion: where they come from, and how they are varied."""

import jax
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mhmr_jax.body import smpl
from mhmr_jax.body.joints import SMPL_FLIP, SMPL_JOINTS
from mhmr_jax.motion.bank import MotionBank
from mhmr_jax.runtime.draws import Draws
from mhmr_jax.synth.keypoint_examples import movements
from mhmr_jax.synth.keypoint_examples.movements import Movement, Variety
from tests.synth.keypoint_examples import made_bank

FRAMES, COUNT = 6, 1500
AS_CAPTURED = Variety(speed=1.0, exchanged=0.0, exchanged_leg=0.0, offset=0.0, bent=0.0)


def _keys(count=COUNT):
  return jax.random.split(jax.random.key(0), count)


def _numbers(key):
  return Draws(key, 300, 60)


def _on_device(array, dtype):
  return jax.device_put(np.asarray(array, dtype))


def _counting_bank(lengths):
  """Motions whose path counts their frames in x, and numbers them in y."""
  total = sum(lengths)
  starts = np.cumsum([0, *lengths[:-1]])
  frame = np.arange(total) - np.repeat(starts, lengths)
  number = np.repeat(np.arange(len(lengths)), lengths)
  transl = np.stack([frame, number, np.zeros(total)], axis=-1)
  return MotionBank(
    rot6d=_on_device(np.tile([1.0, 0, 0, 0, 1, 0], (total, 24, 1)), np.float16),
    transl=_on_device(transl, np.float32),
    standing=_on_device(np.zeros((total, 2)), bool),
    starts=_on_device(starts, np.int32),
    lengths=_on_device(lengths, np.int32),
    cumulative=_on_device(np.cumsum(lengths) / total, np.float32),
  )


def _windows(bank, variety):
  one = lambda key: movements._window(bank, _numbers(key), FRAMES, variety)
  return jax.tree.map(np.asarray, jax.jit(jax.vmap(one))(_keys()))


def test_windows_lie_within_one_motion_and_have_one_speed():
  lengths = [30, 90]
  window = _windows(_counting_bank(lengths), Variety(speed=1.5))
  frame, number = window.transl[..., 0], window.transl[..., 1]
  assert np.all(number == number[:, :1])
  assert np.mean(number[:, 0]) == pytest.approx(0.75, abs=0.06)
  assert frame.min() >= 0
  for index, length in enumerate(lengths):
    own = frame[number[:, 0] == index]
    assert own.min() < 1
    assert length - 2 < own.max() <= length - 1
  steps = np.diff(frame, axis=1)
  np.testing.assert_allclose(steps, steps[:, :1].repeat(FRAMES - 1, 1), atol=1e-3)
  speed = steps[:, 0]
  assert 1 / 1.5 - 1e-3 < speed.min() < 0.68
  assert 1.48 < speed.max() < 1.5 + 1e-3
  assert np.log(speed).mean() == pytest.approx(0, abs=0.03)


def test_short_motions_stop_at_their_end():
  window = _windows(_counting_bank([3]), AS_CAPTURED)
  np.testing.assert_allclose(window.transl[:, :, 0], [[0, 1, 2, 2, 2, 2]] * COUNT)


def _constant(seed):
  rng = np.random.default_rng(seed)
  matrices = Rotation.from_rotvec(rng.normal(size=(24, 3))).as_matrix()
  return Movement(
    rotations=_on_device(np.tile(matrices, (FRAMES, 1, 1, 1)), np.float32),
    transl=_on_device(rng.normal(size=(FRAMES, 3)), np.float32),
    standing=_on_device(np.ones((FRAMES, 2)), bool),
  )


def _named(*words):
  return frozenset(
    index
    for index, name in enumerate(SMPL_JOINTS)
    if any(word in name for word in words)
  )


_ARMS = _named("collar", "shoulder", "elbow", "wrist", "hand")
_UPPER = _ARMS | _named("spine", "neck", "head")
_LEGS = [
  _named(f"{s}_hip", f"{s}_knee", f"{s}_ankle", f"{s}_foot") for s in ("left", "right")
]


def test_arms_the_upper_body_or_a_leg_come_from_the_other_window():
  movement, other = _constant(0), _constant(1)
  variety = Variety(exchanged=0.4, exchanged_leg=0.3)
  one = lambda key: movements._exchange(movement, other, _numbers(key), variety)
  result = jax.tree.map(np.asarray, jax.jit(jax.vmap(one))(_keys()))
  taken = (result.rotations == other.rotations).all(axis=(1, 3, 4))
  kept = (result.rotations == movement.rotations).all(axis=(1, 3, 4))
  assert np.all(taken ^ kept)
  np.testing.assert_array_equal(result.transl, [movement.transl] * COUNT)
  sets = [frozenset(np.flatnonzero(row)) for row in taken]
  uppers = [joints - _LEGS[0] - _LEGS[1] for joints in sets]
  assert set(uppers) == {frozenset(), _ARMS, _UPPER}
  for part in (_ARMS, _UPPER):
    assert np.mean([joints == part for joints in uppers]) == pytest.approx(
      0.2, abs=0.05
    )
  legs = [joints & (_LEGS[0] | _LEGS[1]) for joints in sets]
  assert set(legs) == {frozenset(), *_LEGS}
  for part in _LEGS:
    assert np.mean([joints == part for joints in legs]) == pytest.approx(0.15, abs=0.05)
  stands = result.standing.all(axis=(1, 2))
  assert np.all(stands == [not joints for joints in legs])


def test_a_mirrored_body_has_its_joints_mirrored():
  movement = _constant(2)._replace(
    standing=_on_device(np.tile([True, False], (FRAMES, 1)), bool)
  )
  yes, no = _on_device(True, bool), _on_device(False, bool)
  mirror = jax.jit(movements._mirror)
  mirrored = mirror(movement, yes)
  body = smpl.load()
  place = jax.jit(smpl.joints_from_matrices)
  zeros = np.zeros((FRAMES, 10), np.float32)
  joints, other = (
    np.asarray(place(body, m.rotations, zeros, m.transl)) for m in (movement, mirrored)
  )
  expected = joints[:, np.array(SMPL_FLIP)] * [-1, 1, 1]
  np.testing.assert_allclose(other, expected, atol=2e-3)
  assert mirrored.standing.tolist() == [[False, True]] * FRAMES
  for result in (mirror(mirrored, yes), mirror(movement, no)):
    jax.tree.map(np.testing.assert_array_equal, result, movement)


def test_constant_turns_have_their_spread_and_bent_people_their_legs_turned_back():
  turns = jax.jit(jax.vmap(lambda key: movements._turns(_numbers(key), Variety())))(
    _keys()
  )
  as_vectors = lambda x: (
    Rotation.from_matrix(np.asarray(x, np.float64).reshape(-1, 3, 3))
    .as_rotvec(degrees=True)
    .reshape(*x.shape[:-2], 3)
  )
  offset, tilt, back = map(as_vectors, turns)
  bent = np.linalg.norm(tilt, axis=-1) > 1e-3
  assert bent.mean() == pytest.approx(0.35, abs=0.05)
  assert not offset[:, 0].any()
  elbow = SMPL_JOINTS.index("left_elbow")
  assert offset[~bent][:, 1:].std() == pytest.approx(5, rel=0.05)
  assert offset[bent][:, elbow].std() == pytest.approx(5, rel=0.15)
  shoulder = SMPL_JOINTS.index("left_shoulder")
  assert offset[bent][:, shoulder].std() == pytest.approx(np.hypot(5, 20), rel=0.15)
  assert tilt[bent].mean(axis=0)[0] == pytest.approx(10, abs=5)
  np.testing.assert_allclose(tilt[bent].std(axis=0), [30, 8, 12], rtol=0.2)
  assert np.abs(back[~bent]).max() < 1e-3
  # Against the tilt, about its axis.
  small = (
    bent & (np.linalg.norm(tilt, axis=-1) < 100) & (np.linalg.norm(tilt, axis=-1) > 5)
  )
  share = (
    -(back[small] * tilt[small][:, None]).sum(-1) / (tilt[small] ** 2).sum(-1)[:, None]
  )
  assert 0.29 < share.min() < 0.35
  assert 1.15 < share.max() < 1.21
  np.testing.assert_allclose(
    back[small], -share[..., None] * tilt[small][:, None], atol=0.1
  )


@pytest.mark.parametrize(
  "variety", [AS_CAPTURED, Variety()], ids=["captured", "varied"]
)
def test_drawn_movements_are_rotations_and_half_of_them_mirrored(variety):
  bank = made_bank.build()
  one = lambda key: movements.draw(bank, _numbers(key), FRAMES, variety)
  drawn = jax.tree.map(np.asarray, jax.jit(jax.vmap(one))(_keys(300)))
  R = drawn.rotations
  identity = np.broadcast_to(np.eye(3), R.shape)
  np.testing.assert_allclose(R @ np.swapaxes(R, -1, -2), identity, atol=1e-5)
  np.testing.assert_allclose(np.linalg.det(R), 1, atol=1e-5)
  # The made-up people turn to their left.
  turn = np.einsum("...ji,...jk->...ik", R[:, 0, 0], R[:, -1, 0])
  left = turn[:, 0, 2] - turn[:, 2, 0] > 0
  assert left.mean() == pytest.approx(0.5, abs=0.15)
  if variety == AS_CAPTURED:
    original = np.asarray(bank.rot6d, np.float32)[:, 1:].reshape(-1, 138)
    flip = np.array(SMPL_FLIP)
    signs = np.array([[1, -1, -1], [-1, 1, 1], [-1, 1, 1]])
    unmirrored = np.where(left[:, None, None, None, None], R, R[:, :, flip] * signs)
    columns = np.swapaxes(unmirrored[:40, 0, 1:, :, :2], -1, -2).reshape(40, 138)
    # Windows start between frames; the nearest one is half a frame away.
    distance = np.abs(original[None] - columns[:, None]).max(axis=-1).min(axis=1)
    assert distance.max() < 0.1
