"""The program, end to end on a small video with an untrained model, and bad input."""

import contextlib
import dataclasses
import json
import pathlib
import re
import shutil
import types

import jax
import numpy as np
import pytest
from absl.testing import flagsaver
from etils import epath

from mhmr_jax import inference, predict
from mhmr_jax.body import smpl
from mhmr_jax.errors import InputError
from mhmr_jax.export import prediction_npz
from mhmr_jax.files import video, video_writer
from mhmr_jax.geometry import pinhole
from mhmr_jax.inference import keypoint_fit, trained, video_motion
from mhmr_jax.inference.video_motion import Scene
from mhmr_jax.keypoints import detectors, formats, keypoint_flags
from mhmr_jax.keypoints.formats import detections_npz
from mhmr_jax.keypoints.source import KeypointSource
from mhmr_jax.runtime.stage_times import StageTimes
from mhmr_jax.visualize import prediction_folder
from tests import motions, tiny, workdirs
from tests.files import streams

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


@pytest.fixture(scope="module")
def run(workdir):
  return trained.restore(workdir)


def _predict(run, footage, keypoints=None, **options):
  keypoints = keypoints or _keypoints(footage)
  return inference.predict_video(footage / "video.mp4", keypoints, run=run, **options)


# Somebody whom the summary of the earlier run does not list.
_NOT_OURS = {"person_06/motion.bvh"}


def _earlier_run(out):
  """A folder in which a run found person 5, and which has something else in it."""
  for name in ("person_05/motion.bvh", "person_05/prediction.npz", *_NOT_OURS):
    (out / name).parent.mkdir(parents=True, exist_ok=True)
    (out / name).touch()
  earlier = {"people": [{"person": 0}, {"person": 5}]}
  (out / "summary.json").write_text(json.dumps(earlier))


@pytest.fixture(scope="module")
def predicted(workdir, footage, tmp_path_factory):
  out = tmp_path_factory.mktemp("out")
  _earlier_run(out / "new")
  keypoints = ["--keypoints", str(footage / "keypoints.npz"), "--keypoint_format=npz"]
  status, output, errors = tiny.run(
    "predict", f"--workdir={workdir}", f"--video={footage / 'video.mp4'}",
    *keypoints, f"--out={out / 'new'}",
  )  # fmt: skip
  assert status == 0, errors
  return out / "new", output, errors


def test_files_and_progress(predicted):
  out, output, errors = predicted
  files = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
  own = ("prediction.npz", "motion_amass.npz", "motion.bvh")
  people = {f"person_{number:02d}/{name}" for number in range(2) for name in own}
  files -= _NOT_OURS
  assert files == people | {"motion.glb", "motion.html", "overlay.mp4", "summary.json"}
  assert {path.name for path in out.glob("person_*")} == {
    *("person_00", "person_01", "person_06")
  }
  assert "person 0: frames 2 to 16" in output
  assert "person 1: frames 0 to 19" in output
  assert "The focal length is assumed to be" in output
  for name in files:
    assert str(out / name) in output
  assert re.search(r"seconds: [\d.]+ loading, .* in all, [\d.]+ frames/s", output)
  assert "Predicting" in errors
  assert "Drawing" in errors
  summary = json.loads((out / "summary.json").read_text())
  large, small = summary["people"]
  assert (large["frames"], large["frames_detected"], large["gaps"]) == (15, 14, [])
  assert (small["person"], small["frames"], small["frames_detected"]) == (1, 20, 20)
  assert not large["short"]
  assert summary["left_out"] == []


def test_prediction_has_a_row_for_each_frame_of_the_person(predicted):
  motion = prediction_npz.read(predicted[0] / "person_00" / "prediction.npz")
  # Frame 9, in which nobody was detected, too.
  assert motion.frame_index.tolist() == list(range(2, 17))
  assert motion.frame_index[~motion.detected].tolist() == [9]
  np.testing.assert_allclose(motion.times, np.arange(2, 17) / 60, atol=1e-6)
  assert motion.image_size.tolist() == [_SIZE[1], _SIZE[0]]
  for name, value in motion._asdict().items():
    if not isinstance(value, str):
      assert np.isfinite(value).all(), name
  joints = jax.jit(smpl.joints)
  found = joints(smpl.load(), motion.pose, motion.betas, motion.transl_camera)
  np.testing.assert_allclose(found, motion.joints_camera, atol=1e-4)
  found = joints(smpl.load(), motion.pose_world, motion.betas, motion.transl_world)
  np.testing.assert_allclose(found, motion.joints_world, atol=1e-4)
  shown = pinhole.project(motion.joints_camera, motion.intrinsics)
  np.testing.assert_allclose(shown, motion.keypoints_image, atol=0.05)
  # The untrained model sees its mean body in the middle of each window.
  centre = (motion.box[:, :2] + motion.box[:, 2:]) / 2
  side = motion.box[:, 2] - motion.box[:, 0]
  away = np.linalg.norm(motion.keypoints_image.mean(1) - centre, axis=-1)
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
  motion = prediction_npz.read(predicted[0] / "person_00" / "prediction.npz")
  pelvis = motion.keypoints_image[:, 0].astype(int)
  outside = [i for i in range(_FRAMES) if not 2 <= i < 17]
  still = np.mean([change[i] for i in outside])
  for row, (x, y) in enumerate(pelvis):
    assert change[row + 2][y - 3 : y + 3, x - 3 : x + 3].mean() > 2 * still


def test_a_person_by_number_is_as_among_all(run, footage, predicted):
  (motion,) = _predict(run, footage, people=[1], scene=Scene(camera="moving"))
  assert motion.person == 1
  assert motion.camera_motion == "moving"
  assert motion.frame_index.tolist() == list(range(_FRAMES))
  assert np.all(motion.box[:, 2] - motion.box[:, 0] < 30)
  among_all = prediction_npz.read(predicted[0] / "person_01" / "prediction.npz")
  np.testing.assert_allclose(motion.joints_camera, among_all.joints_camera, atol=1e-5)


def test_after_warming_up_nothing_is_compiled(run, footage):
  recovery = video_motion.Recovery(run)
  recovery.warm_up()
  path, source = footage / "video.mp4", _keypoints(footage)
  info = video.probe(path)
  people = video_motion.follow(source.find_people(path, info), info.fps)
  compiled = []

  def listen(event, seconds, **more):
    if "backend_compile" in event:
      compiled.append(more)

  jax.monitoring.register_event_duration_secs_listener(listen)
  try:
    motions = recovery.recover(path, info, "npz", people, Scene(), StageTimes())
  finally:
    jax.monitoring.unregister_event_duration_listener(listen)
  assert len(motions) == 2
  assert not compiled


def test_intrinsics_of_each_frame_are_those_of_the_rows(run, footage, tmp_path):
  focal = np.linspace(100, 300, _FRAMES)
  matrices = [pinhole.centred_intrinsics(_SIZE[1], _SIZE[0], one) for one in focal]
  np.savez(tmp_path / "camera.npz", intrinsics=np.array(matrices))
  scene = Scene(intrinsics=tmp_path / "camera.npz")
  for fit in ("off", "on"):
    (motion,) = _predict(
      run, footage, people=[0], scene=dataclasses.replace(scene, fit=fit)
    )
    np.testing.assert_allclose(motion.intrinsics[:, 0, 0], focal[2:17], rtol=1e-6)
    shown = pinhole.project(motion.joints_camera, motion.intrinsics[:, None])
    np.testing.assert_allclose(shown, motion.keypoints_image, atol=0.05)


def test_the_fit_gives_another_body_under_the_videos_camera(run, predicted, footage):
  (fitted,) = _predict(run, footage, people=[0], scene=Scene(fit="on"))
  before = prediction_npz.read(predicted[0] / "person_00" / "prediction.npz")
  np.testing.assert_array_equal(fitted.frame_index, before.frame_index)
  assert np.ptp(fitted.betas, axis=0).max() == 0
  shown = pinhole.project(fitted.joints_camera, fitted.intrinsics)
  np.testing.assert_allclose(fitted.keypoints_image, shown, atol=0.05)
  assert np.abs(fitted.pose - before.pose).max() > 0.01


def test_the_fit_is_on_by_default_only_where_it_was_found_to_help():
  given = KeypointSource("folder", "openpose_body25b")
  detected = KeypointSource()
  assert video_motion.is_fitted("auto", given.name)
  assert not video_motion.is_fitted("auto", detected.name)
  assert not video_motion.is_fitted("off", given.name)
  assert video_motion.is_fitted("on", detected.name)
  sources = {*formats.FORMATS, *detectors.NAMES}
  assert keypoint_fit.BY_DEFAULT.keys() == sources


@pytest.mark.parametrize(
  ("changed", "message"),
  [
    ({"path": None, "detector": "yolo"}, "--detector=yolo is unknown: use one"),
    ({"format": None}, "--keypoint_format is missing: name what .* is"),
    ({"format": "coco"}, "cannot be read as JSON"),
  ],
)
def test_bad_keypoints(run, footage, changed, message):
  with pytest.raises(InputError, match=message):
    _predict(run, footage, _keypoints(footage, **changed))


@pytest.mark.parametrize(
  ("people", "message"),
  [
    ([0, 2], "--person=2: 2 people were followed .* 0 for the largest, up to 1"),
    ([-1], "--person=-1"),
  ],
)
def test_a_person_who_is_not_there(run, footage, people, message):
  with pytest.raises(InputError, match=message):
    _predict(run, footage, people=people)


def test_nobody_in_the_video(run, footage, tmp_path):
  path = tmp_path / "keypoints.npz"
  detections_npz.write(path, [np.zeros((0, 17, 3), np.float32)] * _FRAMES)
  with pytest.raises(InputError, match="No person was found"):
    _predict(run, footage, _keypoints(footage, path=str(path)))


def test_keypoints_of_a_longer_video(run, footage, tmp_path):
  path = tmp_path / "keypoints.npz"
  detections_npz.write(path, [_person(0)[None]] * (_FRAMES + 1))
  with pytest.raises(InputError, match=r"21.*20"):
    _predict(run, footage, _keypoints(footage, path=str(path)))


@pytest.mark.parametrize("wrong", [{"camera": "still"}, {"fit": "yes"}])
def test_an_unknown_choice_is_named(wrong):
  (name,) = wrong
  with pytest.raises(InputError, match=f"--{name}={wrong[name]} is unknown"):
    Scene(**wrong)


def test_who_is_seen_briefly_is_wanted_only_by_number():
  seen = [np.array([_person(frame)]) for frame in range(40)]
  seen[5] = np.concatenate([seen[5], seen[5] + [40, 0, 0]]).astype(np.float32)
  found = video_motion.follow(seen, 30.0)
  assert [person.short for person in found] == [False, True]
  assert [person.number for person in video_motion.choose(found, None)] == [0]
  assert [person.number for person in video_motion.choose(found, [1, 1])] == [1]
  # In a short video somebody is.
  found = video_motion.follow(seen[:10], 30.0)
  assert [person.short for person in found] == [False, True]


def test_video_alone_has_its_people_detected(workdir, footage, tmp_path, monkeypatch):
  with np.load(footage / "keypoints.npz") as file:
    stored = np.nan_to_num(file["keypoints"])
  opened_with = []

  @contextlib.contextmanager
  def open_detector(weights, people):
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
  read = _keypoints(footage, detector="rtmpose").find_people(copy, info)
  assert opened_with == []
  for _ in range(2):
    detected = KeypointSource(detector="rtmpose").find_people(copy, info)
    both = (video_motion.follow(people, info.fps) for people in (detected, read))
    for one, other in zip(*both, strict=True):
      np.testing.assert_array_equal(one.track.frame_index, other.track.frame_index)
      np.testing.assert_array_equal(one.track.keypoints, other.track.keypoints)
  # The second time they were still known.
  assert opened_with == [None]


def test_a_stream_gives_rows_while_it_runs_and_all_files_at_its_end(
  workdir, footage, tmp_path, monkeypatch, capsys
):
  @contextlib.contextmanager
  def open_detector(weights, people):
    yield lambda frame, seconds: _person(60 * seconds)[None]

  fake = types.SimpleNamespace(open_detector=open_detector)
  monkeypatch.setattr(detectors, "adapter", lambda name: fake)
  out, rows = tmp_path / "out", tmp_path / "rows.jsonl"
  with streams.serving(footage / "video.mp4") as (url, _), flagsaver.flagsaver():
    argv = [
      "predict", f"--video={url}", f"--out={out}", f"--live_rows={rows}",
      f"--workdir={workdir}",
    ]  # fmt: skip
    predict.flags.FLAGS(argv)
    predict.main(argv[:1])
  lines = [json.loads(line) for line in rows.read_text().splitlines()]
  info = video.probe(out / "recording.mp4")
  assert [line["frame"] for line in lines] == list(range(info.num_frames))
  seconds = [line["seconds"] for line in lines]
  np.testing.assert_allclose(np.subtract(seconds, seconds[0]), info.times, atol=1e-3)
  assert {person["id"] for line in lines for person in line["people"]} == {1}
  motion = prediction_npz.read(out / "person_00" / "prediction.npz")
  assert motion.frame_index.tolist() == list(range(info.num_frames))
  # The untrained network's mean body stands where it does in the end.
  away = np.subtract(lines[-1]["people"][0]["joints_camera"], motion.joints_camera[-1])
  assert np.linalg.norm(away, axis=-1).max() < 0.1 * motion.joints_camera[-1, 0, 2]
  live = json.loads((out / "summary.json").read_text())["live"]
  assert live["frames_used"] == info.num_frames <= live["frames_come"]
  assert f"live: {info.num_frames} of" in capsys.readouterr().out


@pytest.mark.parametrize(
  ("changed", "message"),
  [
    ({"video": None}, "error: --video is missing"),
    ({"live_rows": "-"}, "--live_rows is for cameras and streams, and --video="),
    ({"video": "{tmp}/absent.mp4"}, r"error: There is no video .*absent\.mp4"),
    ({"workdir": "{tmp}"}, "is not a work directory of a training run"),
    ({"focal": "-3"}, "a focal length is above 0 px"),
    ({"focal": "300", "fov": "60"}, "--focal and --fov say the same thing"),
    ({"person": "first"}, "--person=first: give numbers"),
    ({"fps": "30"}, "--fps is for folders of images"),
    ({"out": "{tmp}/file/out"}, "cannot be written"),
    ({"out": "{tmp}/file"}, "cannot be written"),
  ],
)
def test_bad_flag_is_one_sentence_and_leaves_nothing(
  workdir, footage, tmp_path, changed, message, capsys, monkeypatch
):
  monkeypatch.setattr(video_motion.Recovery, "warm_up", lambda self: None)
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


def test_failure_while_drawing_leaves_the_results_before(footage, tmp_path):
  body = smpl.load()
  info = video.probe(footage / "video.mp4")
  (tmp_path / "overlay.mp4").write_bytes(b"before")
  shutil.copy(footage / "video.mp4", tmp_path / "copy.mp4")

  def lost():
    raise InputError("the video is gone")
    yield

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(video, "read_stored", lambda path: lost())
    with pytest.raises(InputError, match="the video is gone"):
      prediction_folder.write(
        tmp_path, [motions.walking(body)], [], body, tmp_path / "copy.mp4", info,
        StageTimes(),
      )  # fmt: skip
  assert sorted(file.name for file in tmp_path.iterdir()) == ["copy.mp4", "overlay.mp4"]
  assert (tmp_path / "overlay.mp4").read_bytes() == b"before"


def test_help_lists_all_flags():
  shown, _ = tiny.help_of("predict")
  assert shown.startswith("Recovers the motion of everybody in a video.")
  listed = re.findall(r"^  --(?:\[no\])?(\w+)", shown, re.MULTILINE)
  assert listed[:4] == ["video", "out", "person", "workdir"]
  assert len(listed) == len(set(listed))
  defined = re.findall(
    r"flags\.DEFINE_\w+\(\s*\"(\w+)\"",
    pathlib.Path(predict.__file__).read_text()
    + pathlib.Path(keypoint_flags.__file__).read_text(),
  )
  assert set(listed) == {*defined, "workdir", "out"}
