import pytest

from mhmr_jax.errors import InputError
from mhmr_jax.motion import joint_names


def _find(tree):
  """The names of the bones found in a skeleton, written as 'name' or 'parent>name'."""
  names, parents = [], []
  for word in tree.split(","):
    above, _, name = word.strip().rpartition(">")
    parents.append(names.index(above) if above else len(names) - 1)
    names.append(name)
  bones = joint_names.find_bones("a.bvh", names, parents)
  found = {joint: names[index] for joint, index in bones.limbs.items()}
  found["pelvis"] = names[bones.pelvis]
  found["spine"] = [names[index] for index in bones.spine]
  found["neck"] = [names[index] for index in bones.neck]
  found["head"] = None if bones.head is None else names[bones.head]
  return found


def test_cgspeed_s_skeleton_for_motionbuilder():
  found = _find(
    "Hips,LHipJoint,LeftUpLeg,LeftLeg,LeftFoot,LeftToeBase,Hips>RHipJoint,RightUpLeg,"
    "RightLeg,RightFoot,RightToeBase,Hips>LowerBack,Spine,Spine1,Neck,Neck1,Head,"
    "Spine1>LeftShoulder,LeftArm,LeftForeArm,LeftHand,LeftFingerBase,LeftHandIndex1,"
    "LeftHand>LThumb,Spine1>RightShoulder,RightArm,RightForeArm,RightHand,"
    "RightFingerBase,RightHandIndex1,RightHand>RThumb"
  )
  assert found["pelvis"] == "Hips"
  assert found["spine"] == ["LowerBack", "Spine", "Spine1"]
  assert found["neck"] == ["Neck", "Neck1"]
  assert found["left_hip"] == "LeftUpLeg"
  assert found["right_knee"] == "RightLeg"
  assert found["left_collar"] == "LeftShoulder"
  assert found["left_foot"] == "LeftToeBase"
  assert found["right_wrist"] == "RightHand"


def test_biped_s_collars_hang_on_the_neck_and_its_root_is_above_the_pelvis():
  found = _find(
    "Bip01,Bip01 Pelvis,Bip01 Spine,Bip01 Spine1,Bip01 Neck,Bip01 Head,Bip01 HeadNub,"
    "Bip01 Neck>Bip01 L Clavicle,Bip01 L UpperArm,Bip01 L Forearm,Bip01 L Hand,"
    "Bip01 L Finger0,Bip01 Neck>Bip01 R Clavicle,Bip01 R UpperArm,Bip01 R Forearm,"
    "Bip01 R Hand,Bip01 Spine>Bip01 L Thigh,Bip01 L Calf,Bip01 L Foot,Bip01 L Toe0,"
    "Bip01 Spine>Bip01 R Thigh,Bip01 R Calf,Bip01 R Foot,Bip01 R Toe0"
  )
  assert found["pelvis"] == "Bip01 Pelvis"
  assert found["spine"] == ["Bip01 Spine", "Bip01 Spine1"]
  assert found["neck"] == ["Bip01 Neck"]
  assert found["head"] == "Bip01 Head"
  assert found["left_collar"] == "Bip01 L Clavicle"
  assert found["right_foot"] == "Bip01 R Toe0"


def test_rigify_s_twist_bones_are_passed_and_its_last_spine_bones_are_the_neck():
  limbs = ",".join(
    f"DEF-spine>DEF-thigh.{s},DEF-thigh.{s}.001,DEF-shin.{s},DEF-shin.{s}.001,"
    f"DEF-foot.{s},DEF-toe.{s},DEF-spine.003>DEF-shoulder.{s},DEF-upper_arm.{s},"
    f"DEF-upper_arm.{s}.001,DEF-forearm.{s},DEF-forearm.{s}.001,DEF-hand.{s}"
    for s in "LR"
  )
  spine = ",".join(f"DEF-spine.00{number}" for number in range(1, 7))
  found = _find(f"DEF-spine,DEF-pelvis.L,DEF-spine>{spine},{limbs}")
  assert found["pelvis"] == "DEF-spine"
  assert found["spine"] == ["DEF-spine.001", "DEF-spine.002", "DEF-spine.003"]
  assert found["neck"] == ["DEF-spine.004", "DEF-spine.005"]
  assert found["head"] == "DEF-spine.006"
  assert found["left_knee"] == "DEF-shin.L"
  assert found["right_elbow"] == "DEF-forearm.R"


def test_a_reference_above_the_hips_and_namespaces_are_passed():
  limbs = ",".join(
    f"a:b:Hips>a:b:{s}UpLeg,a:b:{s}Leg,a:b:{s}Foot,a:b:Spine>a:b:{s}Arm,"
    f"a:b:{s}ForeArm,a:b:{s}ForeArmRoll,a:b:{s}Hand"
    for s in ("Left", "Right")
  )
  found = _find(f"a:b:Reference,a:b:Hips,a:b:Spine,a:b:Head,{limbs}")
  assert found["pelvis"] == "a:b:Hips"
  assert found["spine"] == ["a:b:Spine"]
  assert found["neck"] == []
  assert found["left_elbow"] == "a:b:LeftForeArm"
  assert "left_collar" not in found
  assert "left_foot" not in found


_WHOLE = (
  "hips,spine,neck,head,hips>l_thigh,l_shin,l_foot,hips>r_thigh,r_shin,r_foot,"
  "spine>l_arm,l_forearm,l_hand,spine>r_arm,r_forearm,r_hand"
)


@pytest.mark.parametrize(("old", "new", "message"), [
  ("l_shin", "l_x", "for left_knee; .*not used: 'l_x'"),
  ("l_thigh", "l_x", "for left_hip; "),
  ("neck,head", "hat,cap", r"for neck or head; .*'hat', 'cap'"),
  ("hips,spine,neck", "hips,neck", "hang on|for spine"),
  ("hips>l_thigh,l_shin", "hips>l_shin,l_thigh", "'l_shin' .left_knee. doesn't hang"),
])  # fmt: skip
def test_what_cannot_be_named_is_listed(old, new, message):
  assert _find(_WHOLE)["spine"] == ["spine"]
  tree = _WHOLE.replace(old, new)
  if old.startswith("hips,spine"):
    tree = tree.replace("spine>", "hips>")
  with pytest.raises(InputError, match=message):
    _find(tree)


def test_a_long_list_of_other_names_is_cut():
  extra = ",".join(f"spine>cloth{number}" for number in range(900))
  with pytest.raises(InputError, match=r"'cloth0', .*, \.\.\.\)") as error:
    _find(f"{_WHOLE.replace('r_hand', 'r_x')},{extra}")
  assert len(str(error.value)) < 800
