"""BVH files for the tests of their reader: a writer, and an independent reader."""

import dataclasses

import numpy as np
from scipy.spatial.transform import Rotation

# A person of 1.7 m in the rest pose, y up, facing z: parent and offset, metres. None of
# the lengths and directions are those of the free body.
_BONES = {
  "pelvis": ("", (0, 0, 0)),
  "spine1": ("pelvis", (0, 0.1, 0)), "spine2": ("spine1", (0, 0.12, 0.01)),
  "spine3": ("spine2", (0, 0.13, -0.01)), "neck": ("spine3", (0, 0.2, -0.02)),
  "head": ("neck", (0, 0.1, 0.02)),
}  # fmt: skip
for _s, _x in (("left", 1), ("right", -1)):
  _BONES |= {
    f"{_s}_hip": ("pelvis", (0.09 * _x, -0.02, 0)),
    f"{_s}_knee": (f"{_s}_hip", (0.03 * _x, -0.43, 0.01)),
    f"{_s}_ankle": (f"{_s}_knee", (0.02 * _x, -0.41, -0.03)),
    f"{_s}_foot": (f"{_s}_ankle", (0.02 * _x, -0.06, 0.13)),
    f"{_s}_collar": ("spine3", (0.05 * _x, 0.14, 0.01)),
    f"{_s}_shoulder": (f"{_s}_collar", (0.13 * _x, 0.02, -0.01)),
    f"{_s}_elbow": (f"{_s}_shoulder", (0.2 * _x, -0.2, 0.01)),
    f"{_s}_wrist": (f"{_s}_elbow", (0.17 * _x, -0.17, 0.05)),
  }
_ENDS = {"head": (0, 0.15, 0)}
for _s, _x in (("left", 1), ("right", -1)):
  _ENDS |= {f"{_s}_foot": (0.01 * _x, 0, 0.08), f"{_s}_wrist": (0.07 * _x, -0.06, 0.02)}

# The names of the trunk from the pelvis to the head; of a leg and of an arm; and of the
# sides, for which {} stands.
_LIMBS = ("hip", "knee", "ankle", "foot", "collar", "shoulder", "elbow", "wrist")
CONVENTIONS = {
  "Daz": ("hip,abdomen,chest,chest2,neck,head",
          "{}Thigh,{}Shin,{}Foot,{}Toe,{}Collar,{}Shldr,{}ForeArm,{}Hand", "l,r"),
  "MotionBuilder": ("Hips,LowerBack,Spine,Spine1,Neck,Head",
                    "{}UpLeg,{}Leg,{}Foot,{}ToeBase,{}Shoulder,{}Arm,{}ForeArm,{}Hand",
                    "Left,Right"),
  "Mixamo": ("mixamorig:Hips,mixamorig:Spine,mixamorig:Spine1,mixamorig:Spine2,"
             "mixamorig:Neck,mixamorig:Head",
             "mixamorig:{}UpLeg,mixamorig:{}Leg,mixamorig:{}Foot,mixamorig:{}ToeBase,"
             "mixamorig:{}Shoulder,mixamorig:{}Arm,mixamorig:{}ForeArm,"
             "mixamorig:{}Hand", "Left,Right"),
  "Rigify": ("spine,spine.001,spine.002,spine.003,spine.004,spine.005",
             "thigh.{},shin.{},foot.{},toe.{},shoulder.{},upper_arm.{},forearm.{},"
             "hand.{}", "L,R"),
  "Rigify's deforming": (
    "DEF-spine,DEF-spine.001,DEF-spine.002,DEF-spine.003,DEF-spine.004,DEF-spine.005",
    "DEF-thigh.{},DEF-shin.{},DEF-foot.{},DEF-toe.{},DEF-shoulder.{},DEF-upper_arm.{},"
    "DEF-forearm.{},DEF-hand.{}", "L,R"),
  "Biped": ("Bip01 Pelvis,Bip01 Spine,Bip01 Spine1,Bip01 Spine2,Bip01 Neck,Bip01 Head",
            "Bip01 {} Thigh,Bip01 {} Calf,Bip01 {} Foot,Bip01 {} Toe0,"
            "Bip01 {} Clavicle,Bip01 {} UpperArm,Bip01 {} Forearm,Bip01 {} Hand",
            "L,R"),
  "Biped of Max 2010": (
    "Bip001_Pelvis,Bip001_Spine,Bip001_Spine1,Bip001_Spine2,Bip001_Neck,Bip001_Head",
    "Bip001_{}_Thigh,Bip001_{}_Calf,Bip001_{}_Foot,Bip001_{}_Toe0,Bip001_{}_Clavicle,"
    "Bip001_{}_UpperArm,Bip001_{}_Forearm,Bip001_{}_Hand", "L,R"),
  "Rokoko": ("Hips,Spine1,Spine2,Spine3,Neck,Head",
             "{}Thigh,{}Shin,{}Foot,{}Toe,{}Shoulder,{}Arm,{}ForeArm,{}Hand",
             "Left,Right"),
  "Motive": ("Hip,Ab,Spine,Chest,Neck,Head",
             "{}Thigh,{}Shin,{}Foot,{}Toe,{}Shoulder,{}UArm,{}FArm,{}Hand", "L,R"),
  "MVN": ("Pelvis,L5,L3,T8,Neck,Head",
          "{}UpperLeg,{}LowerLeg,{}Foot,{}Toe,{}Shoulder,{}UpperArm,{}ForeArm,{}Hand",
          "Left,Right"),
  "Perfume": ("Hips,Chest,Chest2,Chest3,Neck,Head",
              "{}Hip,{}Knee,{}Ankle,{}Toe,{}Collar,{}Shoulder,{}Elbow,{}Wrist",
              "Left,Right"),
  "Unreal": ("pelvis,spine_01,spine_02,spine_03,neck_01,head",
             "thigh_{},calf_{},foot_{},ball_{},clavicle_{},upperarm_{},lowerarm_{},"
             "hand_{}", "l,r"),
  "SMPL's files": ("m_avg_Pelvis,m_avg_Spine1,m_avg_Spine2,m_avg_Spine3,m_avg_Neck,"
                   "m_avg_Head",
                   "m_avg_{}_Hip,m_avg_{}_Knee,m_avg_{}_Ankle,m_avg_{}_Foot,"
                   "m_avg_{}_Collar,m_avg_{}_Shoulder,m_avg_{}_Elbow,m_avg_{}_Wrist",
                   "L,R"),
  "SMPL": ("pelvis,spine1,spine2,spine3,neck,head",
           "{}_hip,{}_knee,{}_ankle,{}_foot,{}_collar,{}_shoulder,{}_elbow,{}_wrist",
           "left,right"),
}  # fmt: skip


def names_of(convention):
  """The convention's name of each of the skeleton's joints."""
  trunk, limbs, sides = (text.split(",") for text in CONVENTIONS[convention])
  trunk_joints = ("pelvis", "spine1", "spine2", "spine3", "neck", "head")
  names = dict(zip(trunk_joints, trunk, strict=True))
  for side, word in zip(("left", "right"), sides, strict=True):
    for joint, name in zip(_LIMBS, limbs, strict=True):
      names[f"{side}_{joint}"] = name.format(word)
  return names


@dataclasses.dataclass
class Actor:
  """A skeleton and its motion: what a BVH file describes, by SMPL's names.

  Attributes:
    bones: parent and offset of each joint, metres, y up, parents first.
    ends: the offsets of end sites.
    world: each joint's world rotation from the rest pose, over time.
    path: the root's path, metres.
  """

  bones: dict[str, tuple[str, tuple[float, float, float]]]
  ends: dict[str, tuple[float, float, float]]
  world: dict[str, Rotation]
  path: np.ndarray


def actor(frames=12, seed=0, size=0.3):
  """A person whose joints turn smoothly, by `size` radians or so."""
  rng = np.random.default_rng(seed)
  time = np.linspace(0, 1, frames)[:, None]
  world = {}
  for name, (parent, _) in _BONES.items():
    start, swing = rng.normal(0, size, (2, 3))
    local = Rotation.from_rotvec(start + swing * np.sin(3 * time))
    world[name] = world[parent] * local if parent else local
  path = np.array([0.2, 0.95, -0.4]) + time * [0.5, 0.05, 1.0]
  return Actor(dict(_BONES), dict(_ENDS), world, path)


def joints_of(person):
  """The world position of each joint and end site ('NAME end') over time, metres."""
  joints = {}
  for name, (parent, offset) in person.bones.items():
    joints[name] = (
      joints[parent] + person.world[parent].apply(offset) if parent else person.path
    )
    if name in person.ends:
      joints[f"{name} end"] = joints[name] + person.world[name].apply(person.ends[name])
  return joints


def write(
  path, person, names=None, axes=None, unit=1.0, order="ZXY", fps=30.0, rest=None,
  positions=False,
):  # fmt: skip
  """Writes a BVH file.

  Args:
    path: the file.
    person: the skeleton and its motion.
    names: the name of each joint; by default SMPL's.
    axes: the rotation from y up, facing z, to the file's world.
    unit: the file's units in a metre.
    order: of the rotation channels.
    fps: frames per second.
    rest: the world rotation of joints in the pose where the file's rotations are zero.
    positions: whether every joint has position channels.
  """
  axes, rest = axes or Rotation.identity(), rest or {}
  names = names or {name: name for name in person.bones}
  still = Rotation.identity()
  lines, columns = ["HIERARCHY"], []

  def turned(joint, vector):
    vector = rest.get(joint, still).apply(vector)
    return unit * axes.apply(vector)

  def add(name, depth):
    parent, offset = person.bones[name]
    tab = "\t" * depth
    offset = turned(parent, offset)
    lines.extend((f"{tab}{'JOINT' if parent else 'ROOT'} {names[name]}", tab + "{"))
    lines.append(f"{tab}\tOFFSET " + " ".join(f"{v:.9f}" for v in offset))
    moves = positions or not parent
    channels = [f"{axis}position" for axis in "XYZ"] if moves else []
    channels += [f"{axis}rotation" for axis in order]
    lines.append(f"{tab}\tCHANNELS {len(channels)} " + " ".join(channels))
    if moves:
      path = unit * axes.apply(person.path) if not parent else offset
      columns.append(np.broadcast_to(path, (len(person.path), 3)))
    # World rotations from the file's zero pose, then relative to the parent's.
    world = person.world[name] * rest.get(name, still).inv()
    if parent:
      world = (person.world[parent] * rest.get(parent, still).inv()).inv() * world
    columns.append((axes * world * axes.inv()).as_euler(order, degrees=True))
    for child, (above, _) in person.bones.items():
      if above == name:
        add(child, depth + 1)
    if name in person.ends:
      end = " ".join(f"{v:.9f}" for v in turned(name, person.ends[name]))
      lines.extend([f"{tab}\tEnd Site", f"{tab}\t{{", f"{tab}\t\tOFFSET {end}"])
      lines.append(f"{tab}\t}}")
    lines.append(tab + "}")

  add(next(iter(person.bones)), 0)
  values = np.concatenate(columns, axis=1)
  lines += ["MOTION", f"Frames: {len(values)}", f"Frame Time: {1 / fps:.9f}"]
  lines += [" ".join(f"{v:.8f}" for v in row) for row in values]
  path.write_text("\n".join([*lines, ""]))
  return path


def _turn(axis, degrees):
  """Rotation matrices about an axis, from the definition."""
  c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
  o, i = np.zeros_like(c), np.ones_like(c)
  rows = {
    "X": [[i, o, o], [o, c, -s], [o, s, c]],
    "Y": [[c, o, s], [o, i, o], [-s, o, c]],
    "Z": [[c, -s, o], [s, c, o], [o, o, i]],
  }[axis]
  return np.moveaxis(np.array(rows), -1, 0)


def read_positions(path):
  """World positions of a well-formed file's joints and end sites ('NAME end')."""
  head, tail = path.read_text().split("MOTION")
  words, values = iter(head.split()), tail.split("\n", 3)[3].split()
  values = np.array(values, float).reshape(int(tail.split()[1]), -1)
  stack, places, column, name = [], {}, 0, ""
  for word in words:
    if word in ("ROOT", "JOINT"):
      name = next(words)
    elif word == "End":
      next(words)
      name = f"{stack[-1][0]} end"
    elif word == "OFFSET":
      offset = np.array([float(next(words)) for _ in range(3)])
      above = stack[-1] if stack else ("", np.eye(3)[None], np.zeros((1, 3)))
      places[name] = above[2] + (above[1] @ offset[:, None])[..., 0]
      if name.endswith(" end"):
        stack.append((name, None, None))
    elif word == "CHANNELS":
      turn = stack[-1][1] if stack else np.eye(3)[None]
      for _ in range(int(next(words))):
        channel = next(words)
        if channel.endswith("rotation"):
          turn = turn @ _turn(channel[0], values[:, column])
        else:
          places[name] = np.array(np.broadcast_to(places[name], (len(values), 3)))
          places[name][:, "XYZ".index(channel[0])] = values[:, column]
        column += 1
      stack.append((name, turn, places[name]))
    elif word == "}":
      stack.pop()
  return places
