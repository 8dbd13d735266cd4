import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mhmr_jax.body.joints import SMPL_JOINTS, SMPL_PARENTS
from mhmr_jax.errors import InputError
from mhmr_jax.motion import cmu
from mhmr_jax.motion.skeleton import rest_joints
from tests.motion.acclaim import BONES, write_pair

_INCHES = 0.0254 / 0.45

# SMPL's joints at a limb's ends, and the CMU bones from its start to its end.
_LIMBS = {
  "thigh": ("hip", "knee", ("femur",)),
  "shin": ("knee", "ankle", ("tibia",)),
  "foot": ("ankle", "foot", ("foot",)),
  "upper arm": ("shoulder", "elbow", ("humerus",)),
  "forearm": ("elbow", "wrist", ("radius", "wrist")),
  "hand": ("wrist", "hand", ("hand",)),
}


def _matrix(angles, degrees=True):
  """Rz Ry Rx, from the definition; independent of the package."""
  x, y, z = np.radians(angles) if degrees else angles
  rx = [[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]]
  ry = [[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]]
  rz = [[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]]
  return np.array(rz) @ np.array(ry) @ np.array(rx)


def _parse_asf(path):
  bones, parents, section, bone = {}, {}, "", {}
  for line in path.read_text().splitlines():
    words = line.split()
    if not words or words[0].startswith("#"):
      continue
    if words[0].startswith(":"):
      section = words[0]
    elif section == ":bonedata" and words[0] == "begin":
      bone = {"dof": []}
    elif section == ":bonedata" and words[0] == "end":
      bones[bone["name"][0]] = bone
    elif section == ":bonedata":
      bone[words[0]] = words[1:]
    elif section == ":hierarchy" and words[0] not in ("begin", "end"):
      parents.update({child: words[0] for child in words[1:]})
  return bones, parents


def _parse_amc(path, stride):
  frames = []
  for line in path.read_text().splitlines():
    words = line.split()
    if len(words) == 1 and words[0].isdigit():
      frames.append({})
    elif frames:
      frames[-1][words[0]] = [float(word) for word in words[1:]]
  return frames[::stride]


def _source_ends(asf, amc, stride):
  """World start and end, metres, of each bone in each frame: [time, 2, 3]."""
  bones, parents = _parse_asf(asf)
  frames = _parse_amc(amc, stride)
  ends = {name: np.zeros((len(frames), 2, 3)) for name in bones}

  def place(frame, name):
    if name == "root":
      values = frames[frame]["root"]
      return np.array(values[:3]) * _INCHES, _matrix(values[3:])
    bone = bones[name]
    start, above = place(frame, parents[name])
    turn = np.zeros(3)
    for dof, value in zip(bone["dof"], frames[frame].get(name, []), strict=True):
      turn["xyz".index(dof[1])] = value
    axis = _matrix([float(v) for v in bone["axis"][:3]])
    rotation = above @ axis @ _matrix(turn) @ axis.T
    offset = np.array([float(v) for v in bone["direction"]]) * float(bone["length"][0])
    end = start + rotation @ offset * _INCHES
    ends[name][frame] = start, end
    return end, rotation

  leaves = set(bones) - set(parents.values())
  for frame in range(len(frames)):
    for name in leaves:
      place(frame, name)
  return ends


def _smpl_joints(motion):
  """World joints of the mean free body, recursively in float64."""
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
  return np.stack(joints, axis=1)


def _angle(a, b):
  cosine = np.sum(a * b, -1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
  return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


@pytest.mark.parametrize("name", ["01_14", "02_01", "02_06", "03_02", "11_01"])
def test_limbs_point_where_the_source_s_do(shared_data, name):
  asf, amc = (
    shared_data / "cmu" / f"{name[:2]}.asf",
    shared_data / "cmu" / f"{name}.amc",
  )
  motion = cmu.read(asf, amc)
  picked = np.arange(len(motion))[::10]
  joints = _smpl_joints(motion)[picked]
  ends = _source_ends(asf, amc, stride=40)
  for limb, (first, last, bones) in _LIMBS.items():
    for side in ("left", "right"):
      start, end = (SMPL_JOINTS.index(f"{side}_{joint}") for joint in (first, last))
      source = ends[side[0] + bones[-1]][:, 1] - ends[side[0] + bones[0]][:, 0]
      error = _angle(joints[:, end] - joints[:, start], source).mean()
      assert error < 1.0, (side, limb, error)
  trunk = ((3, 12, ("lowerback", "thorax")), (12, 15, ("lowerneck", "upperneck")))
  for start, end, bones in trunk:
    source = ends[bones[1]][:, 1] - ends[bones[0]][:, 0]
    assert _angle(joints[:, end] - joints[:, start], source).mean() < 5.0


@pytest.mark.parametrize("name", ["02_01", "03_01", "11_01"])
def test_left_and_right_are_the_source_s(shared_data, name):
  asf, amc = (
    shared_data / "cmu" / f"{name[:2]}.asf",
    shared_data / "cmu" / f"{name}.amc",
  )
  joints = _smpl_joints(cmu.read(asf, amc))[::10]
  ends = _source_ends(asf, amc, stride=40)
  root = ends["lhipjoint"][:, :1, :][:, 0]
  for joint, bone in (("hip", "hipjoint"), ("ankle", "tibia"), ("wrist", "wrist")):
    for side in ("left", "right"):
      mine = joints[:, SMPL_JOINTS.index(f"{side}_{joint}")] - joints[:, 0]
      same = ends[side[0] + bone][:, 1] - root
      other = ends["lr"[side == "left"] + bone][:, 1] - root
      # The bodies differ in size, so nearer to the same side, and near, on average.
      near = np.linalg.norm(mine - same, axis=-1).mean()
      assert near < 0.2
      assert near < 0.8 * np.linalg.norm(mine - other, axis=-1).mean()


def test_walking_keeps_the_left_knee_left_and_a_walker_s_speed(shared_data):
  folder = shared_data / "cmu"
  motion = cmu.read(folder / "02.asf", folder / "02_01.amc")
  assert motion.pose.dtype == motion.transl.dtype == np.float32
  assert motion.fps == 30.0
  assert len(motion) == 86
  joints = _smpl_joints(motion)
  pelvis = Rotation.from_rotvec(motion.pose[:, 0])
  for left in ("left_hip", "left_knee", "left_shoulder", "left_elbow"):
    index = SMPL_JOINTS.index(left)
    across = joints[:, index] - joints[:, index + 1]
    assert (pelvis.inv().apply(across)[:, 0] > 0).all(), left
  path = motion.transl[:, [0, 2]]
  speed = np.linalg.norm(np.diff(path, axis=0), axis=-1).mean() * motion.fps
  assert 0.5 < speed < 2.0
  # The person walks in the direction that the body faces.
  facing = pelvis.apply([0, 0, 1]).mean(axis=0)[[0, 2]]
  assert _angle(path[-1] - path[0], facing) < 15
  assert 0.7 < motion.transl[:, 1].mean() < 1.2


def test_other_rates_agree_with_the_recorded_one(shared_data):
  folder = shared_data / "cmu"
  every = cmu.read(folder / "02.asf", folder / "02_04.amc", fps=120.0)
  half = cmu.read(folder / "02.asf", folder / "02_04.amc", fps=60.0)
  odd = cmu.read(folder / "02.asf", folder / "02_04.amc", fps=25.0)
  np.testing.assert_allclose(half.pose, every.pose[::2], atol=1e-6)
  np.testing.assert_allclose(odd.transl[5], every.transl[24], atol=1e-5)
  turn = Rotation.from_rotvec(odd.pose[5]).inv() * Rotation.from_rotvec(every.pose[24])
  assert turn.magnitude().max() < 1e-4
  # 120 / 25 is no whole number: between the frames 4 and 5 of the file.
  np.testing.assert_allclose(
    odd.transl[1], 0.2 * every.transl[4] + 0.8 * every.transl[5], atol=1e-5
  )


def test_a_small_file_turns_the_joints_it_names(tmp_path):
  frame = {"root": "0.45 4.5 0 0 90 0", "lfemur": "-90 0 0", "rhumerus": "0 0 90"}
  asf, amc = write_pair(tmp_path, [frame] * 5)
  motion = cmu.read(asf, amc)
  assert motion.pose.shape == (2, 24, 3)
  np.testing.assert_allclose(motion.transl[0], [0.0254, 0.254, 0], atol=1e-6)
  np.testing.assert_allclose(motion.pose[0, 0], [0, np.pi / 2, 0], atol=1e-6)
  joints = _smpl_joints(motion)[0]
  thigh = joints[SMPL_JOINTS.index("left_knee")] - joints[SMPL_JOINTS.index("left_hip")]
  np.testing.assert_allclose(thigh / np.linalg.norm(thigh), [1, 0, 0], atol=1e-5)
  arm = joints[SMPL_JOINTS.index("right_elbow")]
  arm = arm - joints[SMPL_JOINTS.index("right_shoulder")]
  np.testing.assert_allclose(arm / np.linalg.norm(arm), [0, -1, 0], atol=1e-5)


def test_tabs_blank_lines_and_other_units_of_angle_change_nothing(tmp_path):
  frame = {"root": "0.45 4.5 0 0 90 0", "lfemur": "-90 0 0", "rhumerus": "0 0 90"}
  asf, amc = write_pair(tmp_path, [frame] * 5)
  expected = cmu.read(asf, amc)
  text = amc.read_text()
  tabbed = text.replace(" ", "\t").replace("root", "\n  root")
  amc.write_text(tabbed)
  found = [cmu.read(asf, amc)]
  radians = text.replace("90", "1.5707963267948966").replace(":DEGREES", ":RADIANS")
  amc.write_text(radians)
  found.append(cmu.read(asf, amc))
  asf.write_text(asf.read_text().replace("angle deg", "angle rad"))
  found.append(cmu.read(asf, amc))
  amc.write_text(text)
  found.append(cmu.read(asf, amc))
  for motion in found:
    np.testing.assert_allclose(motion.pose, expected.pose, atol=1e-6)
    np.testing.assert_array_equal(motion.transl, expected.transl)


def test_a_forearm_twisted_all_the_way_round_never_jumps(tmp_path):
  bones = {**BONES, "lwrist": ("lradius", "1 0 0", "rx")}
  frames = [{"root": "0 0 0 0 0 0", "lwrist": str(3 * i)} for i in range(121)]
  motion = cmu.read(*write_pair(tmp_path, frames, bones), fps=120.0)
  elbow, wrist = (Rotation.from_rotvec(motion.pose[:, joint]) for joint in (18, 20))
  for joint in (elbow, elbow * wrist):
    assert np.degrees((joint[:-1].inv() * joint[1:]).magnitude()).max() < 3.1
  hand = elbow * wrist
  np.testing.assert_allclose(
    hand[0].inv().apply(hand[30].apply([0, 0, 1])), [0, -1, 0], atol=0.1
  )
  assert 20 < np.degrees((elbow[0].inv() * elbow[20]).magnitude()) < 30  # Of 60 frames.


_GOOD = {"root": "0 0 0 0 0 0", "ltibia": "10"}


@pytest.mark.parametrize(
  ("frames", "message"),
  [
    ([_GOOD, {**_GOOD, "ltibia": "10 20"}], r"09_01\.amc:9: bone 'ltibia' wants 1"),
    ([_GOOD, {**_GOOD, "ltibia": "ten"}], r"09_01\.amc:9: bone 'ltibia' wants 1"),
    ([_GOOD, {**_GOOD, "ltibia": "nan"}], r"09_01\.amc:9: .* finite"),
    ([_GOOD, {**_GOOD, "root": "0 1e308 0 0 0 0"}], r":8: bone 'root' .* below"),
    ([{**_GOOD, "tail": "1"}], r"09_01\.amc:7: .*no bone 'tail'"),
    ([_GOOD, {"root": "0 0 0 0 0 0"}], "'ltibia' is in 1 of 2 frames"),
    ([{"ltibia": "10"}], "no frame with a root"),
    ([], "no frame with a root"),
  ],
)
def test_a_malformed_motion_is_named_with_its_line(tmp_path, frames, message):
  asf, amc = write_pair(tmp_path, frames)
  with pytest.raises(InputError, match=message):
    cmu.read(asf, amc)


def test_a_long_name_of_a_bone_does_not_make_a_long_sentence(tmp_path):
  asf, amc = write_pair(tmp_path, [_GOOD])
  amc.write_text(f"{amc.read_text()}{'x' * 5000} 1 2\n")
  with pytest.raises(InputError, match=r"has no bone 'x{40}'; give") as refused:
    cmu.read(asf, amc)
  assert len(str(refused.value)) < 1000


def test_a_malformed_skeleton_is_named(tmp_path):
  asf, amc = write_pair(tmp_path, [_GOOD])
  text = asf.read_text()
  for old, new, message in (
    ("length 0.45", "length inch", "'length' wants 1 finite"),
    ("length 0.45", "length 0", "no scale of a recording"),
    ("name ltibia", "nam ltibia", "wants 1 values of 'name'"),
    ("length 0.45", "length 1e-320", "no scale of a recording"),
    ("length 0.45", "length 1e300", "'length' wants 1 finite"),
    ("length 2", "length 1e300", "'length' wants 1 finite numbers below"),
    ("length 2", "length 1e5", "is no 'length' of a bone"),
    ("length 2", "length -1", "is no 'length' of a bone"),
    ("length 2", "length 1e-320", "together have no length"),
    ("length 2", "length 0", "together have no length"),
    ("length 2", "length " + 401 * "9", "'length' wants 1 finite"),
    ("length 2", "length " + 5000 * "9", "'length' wants 1 finite"),
    ("direction 0 -1 0", "direction 0 0 0", "together have no length"),
    ("direction 0 -1 0", "direction 0 1e-320 0", "together have no length"),
    ("dof rx rz", "dof rx tz", "only the dofs"),
    ("dof rx rz", "dof rx rx rx rx rx rx", "only the dofs"),
    ("order TX TY TZ RX RY RZ", "order RX RX RX RX RX RX", "only the dofs"),
    ("order TX TY TZ RX RY RZ", "order TX TY TZ RX RX RX", "only the dofs"),
    (":hierarchy", ":tree", "no section :hierarchy"),
    ("ltibia lfoot", "ltibia ltail", "'lfoot'|'ltail'|'ltoes'"),
    ("root lhipjoint", "nobody lhipjoint", "hang on the root"),
  ):
    asf.write_text(text.replace(old, new))
    with pytest.raises(InputError, match=message):
      cmu.read(asf, amc)
  few = {name: bone for name, bone in BONES.items() if name != "rhand"}
  asf, amc = write_pair(tmp_path, [_GOOD], few)
  with pytest.raises(InputError, match="no bone 'rhand'"):
    cmu.read(asf, amc)


def test_missing_files_are_named(tmp_path):
  asf, amc = write_pair(tmp_path, [_GOOD])
  with pytest.raises(InputError, match=r"08\.asf cannot be read"):
    cmu.read(tmp_path / "08.asf", amc)
  with pytest.raises(InputError, match=r"08_01\.amc cannot be read"):
    cmu.read(asf, tmp_path / "08_01.amc")
