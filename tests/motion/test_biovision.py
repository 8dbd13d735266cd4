import numpy as np
import pytest

from mhmr_jax.errors import InputError
from mhmr_jax.motion import biovision

_GOOD = """HIERARCHY
ROOT hip
{
  OFFSET 1 2 3
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Bip01 L Thigh
  {
    OFFSET 0 -1 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    End Site
    {
      OFFSET 0 -2 0
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.0333333
0 1 0 90 0 0 0 90 0
0 2 0 0 0 90 0 0 0
"""


def _file(tmp_path, text):
  path = tmp_path / "a.bvh"
  path.write_text(text)
  return path


def test_names_have_spaces_and_channels_are_intrinsic_in_their_order(tmp_path):
  recording = biovision.read_recording(_file(tmp_path, _GOOD))
  assert [joint.name for joint in recording.joints] == ["hip", "Bip01 L Thigh"]
  assert recording.fps == 30.0
  np.testing.assert_array_equal(recording.joints[1].end, [0, -2, 0])
  rotations, positions = biovision.forward(recording, [1])
  # A quarter turn about z takes the thigh from -y to x; then one about its own x.
  np.testing.assert_allclose(positions[1], [[1, 1, 0], [0, 1, 0]], atol=1e-12)
  end = positions[1] + rotations[1].apply(recording.joints[1].end)
  np.testing.assert_allclose(end, [[1, 1, -2], [0, -1, 0]], atol=1e-12)
  np.testing.assert_allclose(rotations[1][1].as_rotvec(), [0, np.pi / 2, 0])


@pytest.mark.parametrize("channels", [
  "0", "1 Yrotation", "3 Yposition Xrotation Zrotation",
])  # fmt: skip
def test_joints_may_have_other_channels(tmp_path, channels):
  text = _GOOD.replace("3 Zrotation Xrotation Yrotation", channels)
  width = 6 + int(channels[0])
  head = text[: text.index("0 1 0 90")]
  rows = "\n".join(" ".join(["5"] * width) for _ in range(2))
  recording = biovision.read_recording(_file(tmp_path, head + rows))
  _, positions = biovision.forward(recording, [1])
  length = np.linalg.norm(positions[1] - positions[0], axis=1)
  np.testing.assert_allclose(length, 5 if "position" in channels else 1)


def test_the_rest_pose_is_that_of_the_offsets(tmp_path):
  recording = biovision.read_recording(_file(tmp_path, _GOOD))
  rotations, positions = biovision.forward(biovision.at_rest(recording), [1])
  np.testing.assert_array_equal(positions[1], [[1, 1, 3]])
  assert rotations[1].magnitude().max() == 0


@pytest.mark.parametrize(("old", "new", "message"), [
  ("HIERARCHY", "HIER", "no line HIERARCHY"),
  ("MOTION", "", "no line MOTION"),
  ("ROOT hip", "MOTION", "expected 'Frames:'|MOTION comes before"),
  ("ROOT hip", "ROOT", r"a\.bvh:2: ROOT wants a name"),
  ("ROOT hip", "JOINT hip", r"a\.bvh:2: 'JOINT hip' is out of place"),
  ("ROOT hip\n{", "ROOT hip", r"a\.bvh:3: 'OFFSET 1 2 3' is out of place"),
  ("}\nMOTION", "MOTION", r"a\.bvh:15: MOTION comes before"),
  ("}\nMOTION", "}\n}\nMOTION", r"a\.bvh:16: '}' is out of place"),
  ("}\nMOTION", "}\nROOT second\n{\n}\nMOTION", "a second root, 'second'"),
  ("}\nMOTION", "OFFSET 1 1 1\n}\nMOTION", r"a\.bvh:15: joint 'hip' has two OFFSET"),
  ("}\nMOTION", "WIDTH 1\n}\nMOTION", r"a\.bvh:15: 'WIDTH 1' is no statement"),
  ("}\nMOTION", "}\nOFFSET 1 1 1\nMOTION", r"a\.bvh:16: OFFSET is out of place"),
  ("OFFSET 0 -2 0", "CHANNELS 1 Xrotation", r"a\.bvh:12: CHANNELS is out of place"),
  ("OFFSET 0 -2 0", "JOINT a", r"a\.bvh:12: 'JOINT a' is out of place"),
  ("OFFSET 0 -1 0", "", r"a\.bvh:14: joint 'Bip01 L Thigh' wants OFFSET and CHANNELS"),
  ("OFFSET 0 -1 0", "OFFSET 0 -1", r"a\.bvh:8: OFFSET of 'Bip01 L Thigh' wants 3"),
  ("OFFSET 0 -1 0", "OFFSET 0 nan 0", r"a\.bvh:8: OFFSET of 'Bip01 L Thigh' wants 3"),
  ("OFFSET 0 -1 0", "OFFSET 0 1e300 0", "wants 3 numbers below 1,000,000"),
  ("OFFSET 0 -1 0", "OFFSET a b c", r"a\.bvh:8: OFFSET of 'Bip01 L Thigh' wants 3"),
  ("CHANNELS 3", "CHANNELS 2", r"a\.bvh:9: CHANNELS of 'Bip01 L Thigh' wants their"),
  ("CHANNELS 3", "CHANNELS x", r"a\.bvh:9: CHANNELS of 'Bip01 L Thigh' wants their"),
  ("CHANNELS 3 Z", "CHANNELS 3 Y", r"a\.bvh:9: CHANNELS of 'Bip01 L Thigh' wants"),
  ("CHANNELS 3 Z", "CHANNELS 3 W", r"a\.bvh:9: CHANNELS of 'Bip01 L Thigh' wants"),
  ("Frames: 2", "Frames: 0", r"a\.bvh:17: 'Frames: 0' is no whole number above zero"),
  ("Frames: 2", "Frames: -2", "'Frames: -2' is no whole number above zero"),
  ("Frames: 2", "Frames: two", "'Frames: two' is no whole number above zero"),
  ("Frames: 2", "Frames: " + 60 * "9", r"a\.bvh:17: 'Frames: 9{20}' is no whole"),
  ("Frames: 2", "Frames: 9999999999", "has 2 frames, and not 'Frames: 9999999999'"),
  ("Frames: 2", "Frames: 1", "has 2 frames, and not 'Frames: 1'"),
  ("Frames: 2", "", r"a\.bvh:18: expected 'Frames:'"),
  ("Frame Time: 0.0333333", "", r"a\.bvh:19: expected 'Frame Time:'"),
  ("0.0333333", "0", r"a\.bvh:18: 'Frame Time: 0' is not from 0\.0001 to 1 seconds"),
  ("0.0333333", "-0.1", "'Frame Time: -0.1' is not from"),
  ("0.0333333", "nan", "'Frame Time: nan' is not from"),
  ("0.0333333", "fast", "'Frame Time: fast' is not from"),
  ("0 2 0 0 0 90 0 0 0", "0 2 0 0", r"a\.bvh:20: .* has 9 values, not 4; .* cut off"),
  ("0 2 0 0 0 90 0 0 0", "0 2 0 0 0 90 0 0 0 0", r"a\.bvh:20: .* 9 values, not 10"),
  ("0 2 0 0 0 90", "0 nan 0 0 0 90", r"a\.bvh:20: a frame wants finite numbers"),
  ("0 2 0 0 0 90", "0 1e9 0 0 0 90", r"a\.bvh:20: a frame wants finite numbers below"),
  ("0 2 0 0 0 90", "0 2,5 0 0 0 90", r"a\.bvh:20: a frame wants finite numbers"),
  ("0 1 0 90 0 0 0 90 0\n", "", "has 1 frames, and not 'Frames: 2'"),
])  # fmt: skip
def test_a_malformed_file_is_named_with_its_line(tmp_path, old, new, message):
  assert old in _GOOD
  with pytest.raises(InputError, match=message) as error:
    biovision.read_recording(_file(tmp_path, _GOOD.replace(old, new, 1)))
  assert "a.bvh" in str(error.value)


def test_files_of_other_kinds_and_endless_nesting_are_refused(tmp_path):
  path = tmp_path / "a.bvh"
  path.write_bytes(bytes(range(256)) * 40)
  with pytest.raises(InputError, match="is this a BVH file"):
    biovision.read_recording(path)
  nested = "JOINT a\n{\nOFFSET 0 1 0\nCHANNELS 0\n" * 2000
  text = _GOOD.replace("  JOINT Bip01", f"{nested}  JOINT Bip01")
  with pytest.raises(InputError, match="more than 1000 joints"):
    biovision.read_recording(_file(tmp_path, text))


def test_a_frame_time_that_was_not_rounded_from_a_whole_rate_is_kept(tmp_path):
  text = _GOOD.replace("0.0333333", "0.0417083")
  recording = biovision.read_recording(_file(tmp_path, text))
  assert recording.fps == pytest.approx(23.976, abs=1e-3)
