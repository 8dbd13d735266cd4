import dataclasses
import itertools

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mhmr_jax.body.joints import SMPL_JOINTS, SMPL_PARENTS
from mhmr_jax.errors import InputError
from mhmr_jax.motion import bvh, cmu
from mhmr_jax.motion.pose_sequence import resample
from mhmr_jax.motion.skeleton import rest_joints
from tests.motion import biovision

# The ends of the 12 limb bones on each side: SMPL's joints, cgspeed's joints.
_LIMBS = (
  ("hip", "knee", "Thigh", "Shin"),
  ("knee", "ankle", "Shin", "Foot"),
  ("ankle", "foot", "Foot", "Foot end"),
  ("shoulder", "elbow", "Shldr", "ForeArm"),
  ("elbow", "wrist", "ForeArm", "Hand"),
  ("wrist", "hand", "Hand", "Mid1"),
)
_Z_UP = Rotation.from_rotvec([np.pi / 2, 0, 0])


def _forward(motion):
  """World joints and rotations of the mean free body, recursively in float64."""
  rest = rest_joints()
  joints, world = [], []
  for joint, parent in enumerate(SMPL_PARENTS):
    local = Rotation.from_rotvec(motion.pose[:, joint].astype(np.float64))
    if parent < 0:
      joints.append(motion.transl.astype(np.float64))
      world.append(local)
    else:
      offset = world[parent].apply(rest[joint] - rest[parent])
      joints.append(joints[parent] + offset)
      world.append(world[parent] * local)
  return np.stack(joints, axis=1), world


def _unit(vectors):
  return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _line(joints, side, first, last):
  start, end = (SMPL_JOINTS.index(f"{side}_{joint}") for joint in (first, last))
  return _unit(joints[:, end] - joints[:, start])


def _check_limbs(motion, joints):
  """The limbs of a motion point where an actor's do."""
  found = _forward(motion)[0]
  chains = (("hip", "knee", "ankle", "foot"), ("shoulder", "elbow", "wrist", "hand"))
  for side in ("left", "right"):
    for first, last in (pair for chain in chains for pair in itertools.pairwise(chain)):
      end = "wrist end" if last == "hand" else last
      expected = _unit(joints[f"{side}_{end}"] - joints[f"{side}_{first}"])
      line = _line(found, side, first, last)
      np.testing.assert_allclose(line, expected, atol=1e-4, err_msg=f"{side} {first}")


def _same(found, expected, degrees=0.01, metres=1e-4):
  assert found.pose.shape == expected.pose.shape
  assert found.fps == expected.fps
  turn = Rotation.from_rotvec(found.pose.reshape(-1, 3)).inv()
  turn = turn * Rotation.from_rotvec(expected.pose.reshape(-1, 3))
  assert np.degrees(turn.magnitude().max()) < degrees
  np.testing.assert_allclose(found.transl, expected.transl, atol=metres)


@pytest.mark.parametrize(
  "name",
  ["cmu/02_06", "cmu/01_08", "cmu/13_14", "salsa/salsa_05", "indian/indian_13",
   "martial/martial_06"],
)  # fmt: skip
def test_limbs_point_where_the_file_s_do(shared_data, name):
  path = shared_data / "bvh" / f"{name}.bvh"
  motion = bvh.read(path)
  places = {name: p[1:] for name, p in biovision.read_positions(path).items()}
  assert len(motion) == len(places["hip"])  # The T-pose in front is dropped.
  joints = _forward(motion)[0]
  for first, last, *bones in _LIMBS:
    for side in ("left", "right"):
      start, end = (places[side[0] + bone] for bone in bones)
      expected = _unit(end - start)
      np.testing.assert_allclose(_line(joints, side, first, last), expected, atol=1e-4)
  hips = (places["lThigh"] + places["rThigh"]) / 2
  middle = joints[:, 1:3].mean(axis=1)
  leg = np.linalg.norm(places["lThigh"][0] - places["lShin"][0])
  leg += np.linalg.norm(places["lShin"][0] - places["lFoot"][0])
  scale = np.linalg.norm(np.diff(rest_joints()[[1, 4, 7]], axis=0), axis=1).sum() / leg
  np.testing.assert_allclose(middle, scale * hips, atol=1e-4)


@pytest.mark.parametrize("name", ["02_01", "02_08", "11_01"])
def test_it_agrees_with_the_amc_file_of_the_same_recording(shared_data, name):
  ours = bvh.read(shared_data / "bvh" / "cmu" / f"{name}.bvh")
  folder = shared_data / "cmu"
  theirs = cmu.read(folder / f"{name[:2]}.asf", folder / f"{name}.amc", fps=120.0)
  # A T-pose was put in front of the file before every fourth frame was kept.
  theirs = dataclasses.replace(theirs.slice(3, len(theirs)), fps=120.0)
  theirs = resample(theirs, 30.0)
  frames = min(len(ours), len(theirs))
  (ours_at, ours_turn), (theirs_at, theirs_turn) = (
    _forward(motion.slice(0, frames)) for motion in (ours, theirs)
  )
  pelvis = (ours_turn[0].inv() * theirs_turn[0]).magnitude()
  assert np.degrees(pelvis.max()) < 0.2
  # The file's skeleton is not the subject's: its forearms are bent by 17 degrees at
  # rest, and its thighs point some 7 degrees further forward throughout.
  ours_at, theirs_at = ours_at - ours_at[:, :1], theirs_at - theirs_at[:, :1]
  apart = np.linalg.norm(ours_at - theirs_at, axis=-1).mean(axis=0)
  assert apart.mean() < 0.06
  for joint, limit in (("neck", 0.04), ("head", 0.09), ("left_shoulder", 0.04),
                       ("left_knee", 0.07), ("left_ankle", 0.08),
                       ("right_wrist", 0.14)):  # fmt: skip
    assert apart[SMPL_JOINTS.index(joint)] < limit, joint
  steps = (np.linalg.norm(np.diff(m.transl[:frames], axis=0), axis=-1)
           for m in (ours, theirs))  # fmt: skip
  ratio = np.divide(*(step.sum() for step in steps))
  assert 0.9 < ratio < 1.1


def test_every_naming_gives_the_same_motion(tmp_path):
  person = biovision.actor()
  expected = bvh.read(biovision.write(tmp_path / "smpl.bvh", person))
  assert expected.pose.dtype == expected.transl.dtype == np.float32
  _check_limbs(expected, biovision.joints_of(person))
  for number, convention in enumerate(biovision.CONVENTIONS):
    names = biovision.names_of(convention)
    path = biovision.write(tmp_path / f"{number}.bvh", person, names)
    _same(bvh.read(path), expected)


def test_units_axes_orders_and_position_channels_change_nothing(tmp_path):
  person = biovision.actor()
  expected = bvh.read(biovision.write(tmp_path / "smpl.bvh", person))
  quarter = Rotation.from_rotvec([0, np.pi / 2, 0])
  for number, options in enumerate((
    {"unit": 100.0}, {"unit": 1 / 0.0254}, {"unit": 0.45 / 0.0254}, {"unit": 1000.0},
    {"axes": _Z_UP}, {"axes": _Z_UP * quarter, "unit": 100.0}, {"axes": quarter},
    {"axes": Rotation.from_rotvec([0, 0, np.pi / 2])},
    {"axes": Rotation.from_rotvec([np.pi, 0, 0])},
    {"order": "XYZ"}, {"order": "YXZ"}, {"order": "ZYX"}, {"order": "YZX"},
    {"order": "XZY", "axes": _Z_UP}, {"positions": True, "unit": 100.0},
  )):  # fmt: skip
    path = biovision.write(tmp_path / f"{number}.bvh", person, **options)
    _same(bvh.read(path), expected)


def test_tabs_other_line_ends_and_braces_change_nothing(tmp_path):
  path = biovision.write(tmp_path / "a.bvh", biovision.actor())
  text, expected = path.read_text(), bvh.read(path)
  header = text[: text.index("MOTION")]
  for changed in (
    text.replace("\n", "\r\n"),
    text.replace("\n", " \t\n"),
    text.replace(" ", "\t").replace("End\tSite", "End Site").replace("e\tT", "e T"),
    text.replace(header, header.replace("{", "").replace("\tOFFSET", "{\tOFFSET")),
    text.replace(header, header.replace("\n\t\t{", " {").replace("}\n\t", "} ")),
    "\ufeff" + text + "\n\n  \n",
    text.replace("rotation", "Rotation").replace("Frames:", "frames :"),
  ):
    path.write_text(changed, newline="")
    _same(bvh.read(path), expected, degrees=1e-6, metres=0)


def test_one_frame_turns_the_joints_it_names(tmp_path):
  person = biovision.actor(frames=1, size=0.0)
  turn = Rotation.from_rotvec([[0, np.pi / 2, 0]])
  person.world = dict.fromkeys(person.bones, turn)
  motion = bvh.read(biovision.write(tmp_path / "a.bvh", person))
  np.testing.assert_allclose(motion.pose[0, 0], [0, np.pi / 2, 0], atol=1e-6)
  # Collars and the head, which aren't aligned, stand as in SMPL's rest pose.
  world = _forward(motion)[1]
  for joint in ("head", "left_collar", "right_collar"):
    turned = world[SMPL_JOINTS.index(joint)].as_rotvec()[0]
    np.testing.assert_allclose(turned, [0, np.pi / 2, 0], atol=1e-6)


def test_a_rest_pose_along_one_axis_is_replaced_by_a_standing_frame(tmp_path):
  person = biovision.actor(frames=20, size=0.1)
  turned = Rotation.from_rotvec([0, 0.6, 0])
  person.world = {name: turned * turn for name, turn in person.world.items()}
  # In the file's zero pose every bone points along x, as in LAFAN1; or the right limbs
  # along -x, as in Bandai Namco's files.
  rests = ({}, {})
  for parent, offset in person.bones.values():
    if parent and parent not in ("pelvis", "spine3"):
      for rest, way in zip(rests, (1, -1 if "right" in parent else 1), strict=True):
        rest[parent] = Rotation.align_vectors([[way, 0, 0]], [offset])[0]
  joints = biovision.joints_of(person)
  across = (joints["left_hip"] - joints["right_hip"])[0]
  yaw = Rotation.from_rotvec([0, np.arctan2(across[2], across[0]), 0])
  assert abs(yaw.magnitude()) > 0.4
  for options in ({"rest": rests[0]}, {"rest": rests[1], "axes": _Z_UP, "unit": 100}):
    path = biovision.write(tmp_path / "a.bvh", person, **options)
    motion = bvh.read(path)
    # The standing frame, the first one, faces z.
    _check_limbs(motion, {name: yaw.apply(place) for name, place in joints.items()})
    world = _forward(motion)[1]
    for ours, theirs in ((0, "pelvis"), (9, "spine3"), (15, "head")):
      change = world[ours] * world[ours][0].inv()
      expected = person.world[theirs] * person.world[theirs][0].inv()
      assert (change * yaw * expected.inv() * yaw.inv()).magnitude().max() < 1e-4


def test_the_twist_of_limbs_is_the_file_s(tmp_path):
  person = biovision.actor(frames=2, size=0.0)
  still = bvh.read(biovision.write(tmp_path / "a.bvh", person))
  axis = _unit(np.array(person.bones["left_elbow"][1]))
  twist = Rotation.from_rotvec(axis * np.array([[0.0], [0.7]]))
  for joint in ("left_shoulder", "left_elbow", "left_wrist"):
    person.world[joint] = twist * person.world[joint]
  turned = _forward(bvh.read(biovision.write(tmp_path / "b.bvh", person)))[1]
  still = _forward(still)[1]
  shoulder = SMPL_JOINTS.index("left_shoulder")
  change = (turned[shoulder] * still[shoulder].inv()).as_rotvec()
  np.testing.assert_allclose(change, axis * np.array([[0.0], [0.7]]), atol=1e-5)


def _without(person, *names):
  """The skeleton without some joints, whose children hang on their parents."""
  bones = dict(person.bones)
  for name in names:
    above, offset = bones.pop(name)
    for child, (parent, more) in bones.items():
      if parent == name:
        bones[child] = (above, tuple(np.add(offset, more)))
  ends = {name: end for name, end in person.ends.items() if name in bones}
  return dataclasses.replace(person, bones=bones, ends=ends)


def test_missing_joints_follow_their_parents(tmp_path):
  whole = biovision.actor()
  person = _without(whole, "left_foot", "right_foot", "left_collar", "right_collar")
  motion = bvh.read(biovision.write(tmp_path / "a.bvh", person))
  assert not np.abs(motion.pose[:, [10, 11, 22, 23]]).max() > 1e-6
  person = _without(whole, "neck")
  motion = bvh.read(biovision.write(tmp_path / "b.bvh", person))
  complete = bvh.read(biovision.write(tmp_path / "c.bvh", whole))
  turns = [_forward(m)[1][15] for m in (motion, complete)]
  assert (turns[0].inv() * turns[1]).magnitude().max() < 1e-5
  person = _without(whole, "head")
  motion = bvh.read(biovision.write(tmp_path / "d.bvh", person))
  assert np.abs(motion.pose[:, 15]).max() < 1e-6


def test_a_shorter_or_longer_spine_turns_the_chest_as_much(tmp_path):
  whole = biovision.actor()
  expected = _forward(bvh.read(biovision.write(tmp_path / "a.bvh", whole)))[1]
  for gone in (("spine1",), ("spine1", "spine2")):
    person = _without(whole, *gone)
    world = _forward(bvh.read(biovision.write(tmp_path / "b.bvh", person)))[1]
    for joint in (0, 9, 13, 14):
      assert (world[joint].inv() * expected[joint]).magnitude().max() < 1e-4
    steps = [(world[a].inv() * world[b]).magnitude() for a, b in ((0, 3), (3, 6))]
    if len(gone) == 2:  # Spread evenly; the first turn has the alignment too.
      second = (world[6].inv() * world[9]).magnitude()
      np.testing.assert_allclose(steps[1], second, atol=1e-4)
  bones = {}
  for name, bone in whole.bones.items():
    if name == "spine2":
      bones["extra"] = ("spine1", (0, 0.05, 0))
      bones[name] = ("extra", (0, 0.07, 0.01))
    else:
      bones[name] = bone
  world = {**whole.world, "extra": whole.world["spine1"]}
  longer = dataclasses.replace(whole, bones=bones, world=world)
  world = _forward(bvh.read(biovision.write(tmp_path / "c.bvh", longer)))[1]
  assert (world[9].inv() * expected[9]).magnitude().max() < 1e-4


def test_bones_between_a_limb_s_ends_leave_it_exact(tmp_path):
  person = biovision.actor()
  rng = np.random.default_rng(1)
  for upper, lower in (("left_elbow", "left_wrist"), ("right_hip", "right_knee")):
    offset = np.array(person.bones[lower][1])
    person.bones |= {lower: (f"{upper} roll", tuple(0.6 * offset))}
    person.bones = {
      **{k: v for k, v in person.bones.items() if k == "pelvis"},
      **person.bones,
      f"{upper} roll": (upper, tuple(0.4 * offset)),
    }
    bend = Rotation.from_rotvec(rng.normal(0, 0.3, (12, 3)))
    person.world[f"{upper} roll"] = person.world[upper] * bend
  order = []
  waiting = dict(person.bones)
  while waiting:
    for name in list(waiting):
      if waiting[name][0] in ("", *order):
        order.append(name)
        del waiting[name]
  person.bones = {name: person.bones[name] for name in order}
  motion = bvh.read(biovision.write(tmp_path / "a.bvh", person))
  _check_limbs(motion, biovision.joints_of(person))


def test_a_hand_points_along_its_middle_finger_and_past_helpers(tmp_path):
  person = biovision.actor()
  del person.ends["left_wrist"], person.ends["right_wrist"]
  person.bones |= {
    "left_thumb1": ("left_wrist", (0.02, -0.01, 0.05)),
    "left_index1": ("left_wrist", (0.08, -0.05, 0.05)),
    "left_base": ("left_wrist", (0, 0, 0)),
    "left_middle1": ("left_base", (0.09, -0.06, 0.02)),
    "right_base": ("right_wrist", (0, 0, 0)),
    "right_thumb": ("right_wrist", (0, 0, 0)),
    "right_fingers": ("right_base", (-0.09, -0.04, 0.03)),
  }
  for name, (parent, _) in list(person.bones.items()):
    person.world.setdefault(name, person.world[parent or name])
  motion = bvh.read(biovision.write(tmp_path / "a.bvh", person))
  joints = biovision.joints_of(person)
  joints["left_wrist end"] = joints["left_middle1"]
  joints["right_wrist end"] = joints["right_fingers"]
  _check_limbs(motion, joints)


def test_a_foot_whose_end_site_points_down_is_as_at_rest(tmp_path):
  person = _without(biovision.actor(size=0.0), "left_foot", "right_foot")
  person.ends |= {f"{side}_ankle": (0, -0.1, 0) for side in ("left", "right")}
  pose = bvh.read(biovision.write(tmp_path / "a.bvh", person)).pose
  assert np.abs(pose[:, [7, 8, 10, 11]]).max() < 1e-6


def test_collars_on_the_neck_and_legs_on_the_spine_are_biped_s(tmp_path):
  person = biovision.actor()
  for side in ("left", "right"):
    offset = np.array(person.bones[f"{side}_hip"][1]) - person.bones["spine1"][1]
    person.bones[f"{side}_hip"] = ("spine1", tuple(offset))
    offset = np.array(person.bones[f"{side}_collar"][1]) - person.bones["neck"][1]
    person.bones[f"{side}_collar"] = ("neck", tuple(offset))
  names = biovision.names_of("Biped")
  motion = bvh.read(biovision.write(tmp_path / "a.bvh", person, names))
  _check_limbs(motion, biovision.joints_of(person))
  world = _forward(motion)[1]
  turn = world[0].inv() * person.world["pelvis"]
  assert turn.magnitude().max() < 1e-5


def _posed(person, frames, drop):
  """Puts frames of the rest pose, arms lowered by `drop`, in front of a motion."""
  still = Rotation.identity(frames)
  world = {}
  for name, rotation in person.world.items():
    sign = {"left": -1, "right": 1}.get(name.split("_")[0], 0)
    arm = name.split("_")[-1] in ("shoulder", "elbow", "wrist")
    turn = Rotation.from_rotvec([0, 0, sign * arm * drop]) * still
    world[name] = Rotation.concatenate([turn, rotation])
  path = np.concatenate([np.repeat(person.path[:1], frames, axis=0), person.path])
  return dataclasses.replace(person, world=world, path=path)


@pytest.mark.parametrize(("frames", "drop"), [(1, 0.0), (1, -0.7), (5, 0.2)])
def test_a_calibration_pose_in_front_is_dropped(tmp_path, frames, drop):
  person = biovision.actor(frames=40, size=0.4)
  expected = bvh.read(biovision.write(tmp_path / "a.bvh", person))
  led = _posed(person, frames, drop)
  _same(bvh.read(biovision.write(tmp_path / "b.bvh", led)), expected)


def test_a_motion_that_begins_in_a_t_pose_is_whole(tmp_path):
  person = biovision.actor(frames=40, size=0.0)
  swing = Rotation.from_rotvec(np.linspace(0, 1, 40)[:, None] * [0, 0, -1.0])
  for joint in ("left_shoulder", "left_elbow", "left_wrist"):
    person.world[joint] = swing
  assert len(bvh.read(biovision.write(tmp_path / "a.bvh", person))) == 40
  # A jump in the middle is the recording's own.
  person = _posed(biovision.actor(frames=40), 2, 0.0)
  order = [*range(2, 22), 0, 1, *range(22, 42)]
  person.world = {name: turn[order] for name, turn in person.world.items()}
  person.path = person.path[order]
  assert len(bvh.read(biovision.write(tmp_path / "b.bvh", person))) == 42


def test_other_rates_agree_with_the_recorded_one(tmp_path):
  person = biovision.actor(frames=121)
  path = biovision.write(tmp_path / "a.bvh", person, fps=120.0)
  every = bvh.read(path, fps=120.0)
  assert len(every) == 121
  half, odd = bvh.read(path, fps=60.0), bvh.read(path, fps=25.0)
  assert (half.fps, odd.fps) == (60.0, 25.0)
  _same(half, dataclasses.replace(every, pose=every.pose[::2],
                                  transl=every.transl[::2], fps=60.0))  # fmt: skip
  _same(odd, resample(every, 25.0))
  for text, fps in (("0.0083333", 120.0), ("0.008333", 120.0), ("0.0333", 30.0),
                    ("0.04", 25.0)):  # fmt: skip
    path.write_text(path.read_text().replace("Frame Time: 0.008333333",
                                             f"Frame Time: {text}"))  # fmt: skip
    assert len(bvh.read(path, fps=fps)) == 121
    path = biovision.write(tmp_path / "a.bvh", person, fps=120.0)


def test_unknown_names_are_listed(tmp_path):
  person = biovision.actor()
  names = {name: name for name in person.bones}
  names |= {"left_knee": "Gelenk 7", "head": "kopf", "neck": "hals"}
  path = biovision.write(tmp_path / "a.bvh", person, names)
  with pytest.raises(InputError, match=r"for left_knee, neck or head; .*'Gelenk 7'"):
    bvh.read(path)
  path = biovision.write(tmp_path / "b.bvh", _without(
    person, "spine1", "spine2", "spine3"))  # fmt: skip
  with pytest.raises(InputError, match="for spine"):
    bvh.read(path)


def test_limbs_without_length_or_any_standing_pose_are_refused(tmp_path):
  person = biovision.actor()
  person.bones["left_knee"] = ("left_hip", (0, 0, 0))
  with pytest.raises(InputError, match="left_hip and left_knee are at one place"):
    bvh.read(biovision.write(tmp_path / "a.bvh", person))
  person = biovision.actor(size=0.0)
  up = Rotation.from_rotvec([-np.pi / 2, 0, 0])
  for side in ("left", "right"):
    for joint in ("hip", "knee", "ankle", "foot"):
      person.world[f"{side}_{joint}"] = up * person.world[f"{side}_{joint}"]
  rest = {name: turn[0] for name, turn in person.world.items()}
  with pytest.raises(InputError, match="neither the OFFSETs nor any frame"):
    bvh.read(biovision.write(tmp_path / "b.bvh", person, rest=rest))


def test_bones_whose_offsets_are_zero_are_those_of_the_position_channels(tmp_path):
  person = biovision.actor(size=0.1)
  path = biovision.write(tmp_path / "a.bvh", person, positions=True, unit=100.0)
  text = path.read_text()
  for joint in ("left_elbow", "left_wrist"):
    start = text.index("OFFSET", text.index(f"JOINT {joint}"))
    text = text[:start] + "OFFSET 0 0 0" + text[text.index("\n", start) :]
  path.write_text(text)
  joints = biovision.joints_of(person)
  across = (joints["left_hip"] - joints["right_hip"])[0]
  yaw = Rotation.from_rotvec([0, np.arctan2(across[2], across[0]), 0])
  if yaw.magnitude() < np.radians(10):
    yaw = Rotation.identity()  # Hips that are nearly level with an axis are taken so.
  _check_limbs(bvh.read(path), {name: yaw.apply(p) for name, p in joints.items()})


def test_a_missing_file_is_named(tmp_path):
  with pytest.raises(InputError, match=r"none\.bvh cannot be read"):
    bvh.read(tmp_path / "none.bvh")
