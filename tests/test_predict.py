"""The program, end to end on a small video with an untrained model, and bad input."""

import contextlib
import dataclasses
import re
import shutil
import subprocess
import sys
import types

import jax
import numpy as np
import pytest
from absl.testing import flagsaver
from etils import epath

from mhmr_jax import predict
from mhmr_jax.body import smpl
from mhmr_jax.errors import InputError
from mhmr_jax.files import video, video_writer
from mhmr_jax.geometry import pinhole
from mhmr_jax.inference import keypoint_fit
from mhmr_jax.keypoints import detectors, formats
from mhmr_jax.keypoints.formats import detections_npz
from mhmr_jax.predict import KeypointSource
from mhmr_jax.schema import Motion
from tests import tiny, workdirs

_FRAMES = 20
_SIZE = (96, 128)  # Height, width.


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
  folder = tmp_path_factory.mktemp("run") / "untrained"
  workdirs.make_untrained(folder)
  return epath.Path(folder)


def _person(frame):
  """A person of 50 px who walks right."""
  rng = np.random.default_rng(0)
  points = rng.uniform([30, 20], [50, 70], (17, 2))
  points[:, 0] += 2 * frame
  return np.concatenate([points, np.ones((17, 1))], -1).astype(np.float32)


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
  """A video at 60 fps, and keypoints of a large and of a small person."""
  folder = tmp_path_factory.mktemp("footage")
  noise = np.random.default_rng(0).integers(0, 255, (*_SIZE, 3)).astype(np.uint8)
  with video_writer.writing(folder / "video.mp4", 60.0) as writer:
    for frame in range(_FRAMES):
      writer.write(np.roll(noise, 2 * frame, axis=1))
  detections = []
  for frame in range(_FRAMES):
    large = _person(frame)
    small = (large - [30, 20, 0]) * [0.3, 0.3, 1] + [5, 5, 0]
    people = [large] if 2 <= frame < 17 and frame != 9 else []
    detections.append(np.array([*people, small], np.float32))
  detections_npz.write(folder / "keypoints.npz", detections)
  return folder


def _keypoints(footage, **changed):
  source = KeypointSource(str(footage / "keypoints.npz"), "npz")
  return dataclasses.replace(source, **changed)


def _predict(workdir, footage, out, keypoints=None, **options):
  keypoints = keypoints or _keypoints(footage)
  return predict.predict(workdir, footage / "video.mp4", keypoints, out, **options)


@pytest.fixture(scope="module")
def predicted(workdir, footage, tmp_path_factory):
  out = tmp_path_factory.mktemp("out")
  keypoints = ["--keypoints", str(footage / "keypoints.npz"), "--keypoint_format=npz"]
  status, output, errors = tiny.run(
    "predict", f"--workdir={workdir}", f"--video={footage / 'video.mp4'}",
    *keypoints, f"--out={out / 'new'}",
  )  # fmt: skip
  assert status == 0, errors
  return out / "new", output, errors


def test_files_and_progress(predicted):
  out, output, errors = predicted
  assert sorted(f.name for f in out.iterdir()) == ["overlay.mp4", "prediction.npz"]
  assert "15 frames, from 2 to 16" in output
  assert str(out / "overlay.mp4") in output
  assert re.search(r"seconds: [\d.]+ loading, .*, [\d.]+ encoding; .* frames/s", output)
  assert "Predicting" in errors
  assert "Drawing" in errors


def test_prediction_has_a_row_for_each_frame_of_the_person(predicted):
  with np.load(predicted[0] / "prediction.npz") as file:
    arrays = dict(file)
  assert {name: array.shape for name, array in arrays.items()} == {
    "frame_index": (15,), "pose": (15, 24, 3), "betas": (15, 10), "camera": (15, 3),
    "box": (15, 4), "transl_camera": (15, 3), "joints_camera": (15, 24, 3),
    "keypoints_image": (15, 24, 2),
  }  # fmt: skip
  # Frame 9, in which nobody was detected, too.
  assert arrays["frame_index"].tolist() == list(range(2, 17))
  for array in arrays.values():
    assert np.isfinite(array).all()
  joints = jax.jit(smpl.joints)(
    smpl.load(), arrays["pose"], arrays["betas"], arrays["transl_camera"]
  )
  np.testing.assert_allclose(joints, arrays["joints_camera"], atol=1e-4)
  # The untrained model sees its mean body in the middle of each window.
  centre = (arrays["box"][:, :2] + arrays["box"][:, 2:]) / 2
  side = arrays["box"][:, 2] - arrays["box"][:, 0]
  away = np.linalg.norm(arrays["keypoints_image"].mean(1) - centre, axis=-1)
  assert np.all(away < side / 2)


def test_overlay_draws_the_person_and_leaves_other_frames(predicted, footage):
  info = video.probe(predicted[0] / "overlay.mp4")
  assert info[:4] == video.probe(footage / "video.mp4")[:4]
  drawn = video.read_frames(predicted[0] / "overlay.mp4")
  original = video.read_frames(footage / "video.mp4")
  change = [
    np.abs(a.astype(int) - b).mean(-1) for a, b in zip(drawn, original, strict=True)
  ]
  # A second pass through the codec changes little, a mesh over noise much.
  with np.load(predicted[0] / "prediction.npz") as file:
    pelvis = file["keypoints_image"][:, 0].astype(int)
  outside = [i for i in range(_FRAMES) if not 2 <= i < 17]
  still = np.mean([change[i] for i in outside])
  for row, (x, y) in enumerate(pelvis):
    assert change[row + 2][y - 3 : y + 3, x - 3 : x + 3].mean() > 2 * still


def test_another_person_by_size(workdir, footage, tmp_path):
  motion = _predict(workdir, footage, tmp_path, person=1, focal=500.0)
  assert motion.frame_index.tolist() == list(range(_FRAMES))
  assert np.all(motion.box[:, 2] - motion.box[:, 0] < 30)


def test_the_fit_gives_a_body_under_the_videos_camera(
  workdir, predicted, footage, tmp_path
):
  fitted = _predict(workdir, footage, tmp_path, fit="on")
  with np.load(predicted[0] / "prediction.npz") as file:
    before = dict(file)
  with np.load(tmp_path / "prediction.npz") as file:
    assert file.keys() == before.keys()
    for array in file.values():
      assert np.isfinite(array).all()
  np.testing.assert_array_equal(fitted.frame_index, before["frame_index"])
  assert np.ptp(fitted.betas, axis=0).max() == 0
  # The fit's camera is the video's, in perspective; the network's is weak perspective.
  size = (_SIZE[1], _SIZE[0])
  shown = pinhole.project(fitted.joints_camera, pinhole.centred_intrinsics(*size))
  np.testing.assert_allclose(fitted.keypoints_image, shown, atol=0.05)
  assert np.abs(fitted.pose - before["pose"]).max() > 0.01


def test_the_fit_is_on_by_default_only_where_it_was_found_to_help():
  given = KeypointSource("folder", "openpose_body25b")
  detected = KeypointSource()
  assert predict.is_fitted("auto", given)
  assert not predict.is_fitted("auto", detected)
  assert not predict.is_fitted("off", given)
  assert predict.is_fitted("on", detected)
  sources = {*formats.FORMATS, *detectors.NAMES}
  assert keypoint_fit.BY_DEFAULT.keys() == sources


@pytest.mark.parametrize(
  ("changed", "message"),
  [
    ({"path": None, "detector": "yolo"}, "--detector=yolo is unknown: use one"),
    ({"format": None}, "--keypoint_format is missing: name what .* is"),
    ({"format": "coco"}, "is not readable as JSON"),
  ],
)
def test_bad_keypoints(workdir, footage, tmp_path, changed, message):
  with pytest.raises(InputError, match=message):
    _predict(workdir, footage, tmp_path, _keypoints(footage, **changed))
  assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
  ("person", "message"),
  [
    (2, "--person=2: 2 people were followed .* 0 for the largest, up to 1"),
    (-1, "--person=-1"),
  ],
)
def test_a_person_who_is_not_there(workdir, footage, tmp_path, person, message):
  with pytest.raises(InputError, match=message):
    _predict(workdir, footage, tmp_path, person=person)
  assert not any(tmp_path.iterdir())


def test_nobody_in_the_video(workdir, footage, tmp_path):
  path = tmp_path / "keypoints.npz"
  detections_npz.write(path, [np.zeros((0, 17, 3), np.float32)] * _FRAMES)
  with pytest.raises(InputError, match="No person was found"):
    _predict(workdir, footage, tmp_path, _keypoints(footage, path=str(path)))


def test_keypoints_of_a_longer_video(workdir, footage, tmp_path):
  path = tmp_path / "keypoints.npz"
  detections_npz.write(path, [_person(0)[None]] * (_FRAMES + 1))
  with pytest.raises(InputError, match="keypoints for frame 20, but the video's 20"):
    _predict(workdir, footage, tmp_path, _keypoints(footage, path=str(path)))


def test_video_alone_has_its_people_detected(workdir, footage, tmp_path, monkeypatch):
  with np.load(footage / "keypoints.npz") as file:
    stored = np.nan_to_num(file["keypoints"])
  opened_with = []

  @contextlib.contextmanager
  def open_detector(weights):
    opened_with.append(weights)
    frames = iter(stored)
    yield lambda frame, seconds: next(frames)

  fake = types.SimpleNamespace(
    DEFAULT_WEIGHTS="v1", weight_files=lambda path: [path], open_detector=open_detector
  )
  monkeypatch.setattr(detectors, "adapter", {"rtmpose": fake}.__getitem__)
  copy = tmp_path / "video.mp4"
  shutil.copy(footage / "video.mp4", copy)
  info = video.probe(copy)
  read = predict.find_people(copy, info, _keypoints(footage, detector="rtmpose"))
  assert opened_with == []
  for _ in range(2):
    source = KeypointSource(detector="rtmpose")
    detected = predict.find_people(copy, info, source)
    for person in range(2):
      one, other = (
        predict.choose_person(people, info.fps, person) for people in (detected, read)
      )
      np.testing.assert_array_equal(one.frame_index, other.frame_index)
      np.testing.assert_array_equal(one.keypoints, other.keypoints)
  # The second time they were still known.
  assert opened_with == [None]


@pytest.mark.parametrize(
  ("changed", "message"),
  [
    ({"video": None}, "error: --video is missing"),
    ({"video": "{tmp}/absent.mp4"}, r"error: There is no video .*absent\.mp4"),
    ({"workdir": "{tmp}"}, "is not a work directory of a training run"),
    ({"focal": "-3"}, "a focal length is above 0 px"),
    ({"out": "{tmp}/file/out"}, "cannot be written"),
    ({"out": "{tmp}/file"}, "cannot be written"),
  ],
)
def test_bad_flag_is_one_sentence_and_leaves_nothing(
  workdir, footage, tmp_path, changed, message, capsys, monkeypatch
):
  (tmp_path / "file").touch()
  values = {
    "workdir": workdir,
    "video": footage / "video.mp4",
    "keypoints": footage / "keypoints.npz",
    "keypoint_format": "npz",
    "out": tmp_path / "a" / "out",
  }
  flags = {
    name: str(value).format(tmp=tmp_path)
    for name, value in (values | changed).items()
    if value is not None
  }
  argv = ["predict", *(f"--{name}={value}" for name, value in flags.items())]
  with flagsaver.flagsaver():
    predict.flags.FLAGS(argv)
    with pytest.raises(InputError, match=message.removeprefix("error: ")):
      predict.main(argv[:1])
  assert not (tmp_path / "a" / "out").exists()
  assert (tmp_path / "file").is_file()


def test_failure_while_drawing_leaves_the_results_before(tmp_path):
  (tmp_path / "prediction.npz").write_bytes(b"before")
  motion = Motion(*[np.zeros(1)] * len(Motion._fields))

  def broken():
    yield np.zeros((48, 64, 3), np.uint8)
    raise InputError("no room")

  with pytest.raises(InputError, match="no room"):
    predict.write_results(tmp_path, motion, broken(), 30.0)
  assert [file.name for file in tmp_path.iterdir()] == ["prediction.npz"]
  assert (tmp_path / "prediction.npz").read_bytes() == b"before"


def test_start_up_imports_nothing_that_help_does_without():
  code = "import sys, mhmr_jax.predict; print(*sys.modules)"
  output = subprocess.check_output(
    [sys.executable, "-c", code], cwd=tiny.ROOT, text=True
  )
  imported = set(output.split())
  assert "jax" in imported
  assert not {"grain", "orbax", "scipy.spatial", "tensorflow_datasets"} & imported
