"""Detecting a video once: the cache, who is who, and the program."""

import contextlib
import json
import os
import subprocess
import sys
import types

import numpy as np
import pytest
from absl import flags as flags_lib
from absl.testing import flagsaver

from mhmr_jax.errors import InputError
from mhmr_jax.files import video, video_writer
from mhmr_jax.keypoints import (
  detect,
  detection,
  detection_cache,
  detectors,
  formats,
  tracking,
)
from tests import tiny

_FRAMES = 12


def _people(number):
  """A small person who stands, and a large one who walks; the order changes."""
  rng = np.random.default_rng(0)
  shape = rng.uniform(0, 1, (17, 2)) * [20, 40]
  score = np.linspace(0.3, 0.9, 17)[:, None]
  large = np.append(shape + np.array([10 + number, 20]), score, axis=-1)
  small = np.append(0.4 * shape + [90, 20], score, axis=-1)
  people = [large, small] if number % 2 else [small, large]
  return np.array(people[1 if number == 5 else 0 :], np.float32)


@pytest.fixture
def footage(tmp_path):
  path = tmp_path / "videos" / "walk.mp4"
  path.parent.mkdir()
  with video_writer.writing(path, 30.0) as writer:
    for number in range(_FRAMES):
      writer.write(np.full((96, 128, 3), 10 * number, np.uint8))
  return path


@pytest.fixture
def runs(monkeypatch, tmp_path):
  """A detector that counts its runs; the cache's folder is a temporary one."""
  opened = []

  @contextlib.contextmanager
  def open_detector(weights, people=None):
    opened.append(weights)
    times = []

    def detect(frame, seconds):
      times.append(seconds)
      return _people(len(times) - 1)

    yield detect
    np.testing.assert_allclose(np.diff(times), 1 / 30)

  fake = types.SimpleNamespace(
    DEFAULT_WEIGHTS="v1", weight_files=lambda path: [path], open_detector=open_detector
  )
  monkeypatch.setattr(detectors, "adapter", lambda name: fake)
  monkeypatch.setattr(detection_cache, "_FOLDER", tmp_path / "cache")
  return opened


def _detect(footage, weights=None, name="mediapipe"):
  return detection.detect(footage, video.probe(footage), name, weights)


def test_found_once_and_kept_beside_the_video(footage, runs, capsys):
  found = _detect(footage)
  kept = footage.with_name("walk.mp4.mediapipe.npz")
  assert sorted(footage.parent.iterdir()) == [footage, kept]
  again = _detect(footage)
  assert len(runs) == 1
  assert f"Keypoints found before: {kept}" in capsys.readouterr().out
  for number, (first, second) in enumerate(zip(found, again, strict=True)):
    np.testing.assert_array_equal(first, second)
    # The large person first, whatever the detector's order; scores are kept.
    people = _people(number)
    order = np.argsort([-np.ptp(person[:, 0]) for person in people])
    np.testing.assert_array_equal(first, people[order][: len(first)])
  with np.load(kept) as file:
    assert file["keypoints"].shape == (_FRAMES, 2, 17, 3)
    expected = np.tile([0, 1], (_FRAMES, 1))
    expected[5] = [1, -1]  # Only the small person was found.
    np.testing.assert_array_equal(file["person"], expected)


def test_another_detector_weights_or_video_is_looked_at_anew(footage, runs, tmp_path):
  _detect(footage)
  _detect(footage, name="rtmpose")
  weights = tmp_path / "weights.task"
  for content in (b"one", b"two"):
    weights.write_bytes(content)
    _detect(footage, weights)
    _detect(footage, weights)
  assert len(runs) == 4
  # The same content under another date is the same video; other content is not.
  os.utime(footage, (0, 0))
  _detect(footage, weights)
  assert len(runs) == 4
  footage.write_bytes(footage.read_bytes() + b"\0")
  _detect(footage, weights)
  assert len(runs) == 5


@pytest.mark.parametrize("damage", ["half", "empty", "foreign keypoints", "not json"])
def test_damaged_files_are_not_used(footage, runs, damage):
  _detect(footage)
  kept = footage.with_name("walk.mp4.mediapipe.npz")
  whole = kept.read_bytes()
  if damage == "half":
    kept.write_bytes(whole[: len(whole) // 2])
  elif damage == "empty":
    kept.write_bytes(b"")
  else:
    with np.load(kept) as file:
      arrays = dict(file)
    if damage == "not json":
      arrays["source"] = np.array("{")
    else:
      arrays["keypoints"] = arrays["keypoints"][:, :, :3]
    np.savez(kept, **arrays)
  assert len(_detect(footage)) == _FRAMES
  assert len(runs) == 2


def test_half_written_file_is_never_there(footage, runs, monkeypatch):
  def full_disk(path, **arrays):
    path.write_bytes(b"half")
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(np, "savez_compressed", full_disk)
  assert len(_detect(footage)) == _FRAMES
  assert list(footage.parent.iterdir()) == [footage]


def test_folder_that_cannot_be_written(footage, runs, tmp_path, monkeypatch):
  save = np.savez_compressed

  def refuse(path, **arrays):
    if path.parent == footage.parent:
      raise PermissionError(13, "Permission denied")
    save(path, **arrays)

  monkeypatch.setattr(np, "savez_compressed", refuse)
  _detect(footage)
  _detect(footage)
  assert len(runs) == 1
  assert list(footage.parent.iterdir()) == [footage]
  (kept,) = (tmp_path / "cache").iterdir()
  assert kept.name.endswith(".mediapipe.npz")


def test_file_of_the_users_own_is_left(footage, runs):
  own = footage.with_name("walk.mp4.mediapipe.npz")
  np.savez(own, keypoints=np.zeros((1, 17, 3)))
  before = own.read_bytes()
  _detect(footage)
  _detect(footage)
  assert own.read_bytes() == before
  assert len(runs) == 1


def test_hostile_file_runs_nothing(footage, runs):
  class Evil:
    def __reduce__(self):
      return os.remove, (str(footage),)

  path = footage.with_name("walk.mp4.mediapipe.npz")
  np.savez(
    path, source=np.array([Evil()], object), keypoints=np.array([Evil()], object)
  )
  _detect(footage)
  assert footage.exists()


def test_file_names_persons_as_predict_does(footage, runs):
  found = _detect(footage)
  tracks = tracking.track(found, 30.0)
  assert [len(track.frame_index) for track in tracks] == [_FRAMES - 1, _FRAMES]
  sorted_again, person = detection.by_person(found, tracks)
  for frame, row in enumerate(person):
    for column, number in enumerate(row[row >= 0]):
      at = tracks[number].frame_index.tolist().index(frame)
      np.testing.assert_array_equal(
        sorted_again[frame][column], tracks[number].keypoints[at]
      )


def test_nobody(footage, runs, monkeypatch):
  monkeypatch.setattr(f"{__name__}._people", lambda number: np.zeros((0, 17, 3)))
  assert [len(frame) for frame in _detect(footage)] == [0] * _FRAMES
  assert [len(frame) for frame in _detect(footage)] == [0] * _FRAMES
  assert len(runs) == 1


def test_source_says_what_it_is_of(footage, runs):
  _detect(footage)
  with np.load(footage.with_name("walk.mp4.mediapipe.npz")) as file:
    source = json.loads(str(file["source"]))
  assert source["detector"] == "mediapipe"
  assert source["weights"] == "v1"
  assert len(source["video"]) == 64


def test_needs_no_jax():
  code = (
    "import sys, mhmr_jax.keypoints.detect, mhmr_jax.keypoints.detectors.rtmpose\n"
    "libraries = {'jax', 'flax', 'ai_edge_litert', 'onnxruntime', 'scipy.spatial'}\n"
    "assert not libraries & set(sys.modules)"
  )
  subprocess.run([sys.executable, "-c", code], cwd=tiny.ROOT, check=True)


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    (["--out=keypoints.npz"], "--video is missing"),
    (["--video={video}", "--out=keypoints.json"], "name a file that ends in .npz"),
    (["--video={video}", "--out={absent}/k.npz"], "in a folder that exists"),
    (["--video={video}", "--out={out}", "--detector=pose"], "--detector=pose is unk"),
    (
      ["--video={video}", "--out={out}", "--detector_weights={absent}"],
      "There is no file",
    ),
  ],
)
def test_bad_flags_of_the_program(footage, tmp_path, flags, message):
  places = {"video": footage, "absent": tmp_path / "no", "out": tmp_path / "k.npz"}
  argv = ["detect", *(flag.format(**places) for flag in flags)]
  with flagsaver.flagsaver():
    flags_lib.FLAGS(argv)
    with pytest.raises(InputError, match=message):
      detect.main(argv[:1])
  assert list(footage.parent.iterdir()) == [footage]


def test_program_with_small_models(tmp_path):
  for library in ("onnx", "onnxruntime"):
    pytest.importorskip(library, reason="the detectors' libraries are not installed")
  from tests.keypoints.detectors import onnx_models

  weights = tmp_path / "weights"
  weights.mkdir()
  onnx_models.write_people(weights / "yolox.onnx")
  onnx_models.write_pose(weights / "rtmpose.onnx")
  with video_writer.writing(tmp_path / "video.mp4", 30.0) as writer:
    for number in range(6):
      frame = np.zeros((128, 192, 3), np.uint8)
      frame[20:100, 20 + 2 * number : 80 + 2 * number] = [0, 0, 240]
      frame[20:60, 140:170] = [0, 240, 0]
      frame[56:64, 46 + 2 * number : 54 + 2 * number] = [255, 0, 0]
      frame[36:44, 151:159] = [255, 0, 0]
      writer.write(frame)
  out = tmp_path / "keypoints.npz"
  status, output, errors = tiny.run(
    "keypoints.detect", f"--video={tmp_path / 'video.mp4'}", "--detector=rtmpose",
    f"--detector_weights={weights}", f"--out={out}",
  )  # fmt: skip
  assert status == 0, errors
  assert "person 1: 6 frames, from 0 to 5" in output
  found = formats.read(out, "npz", 6, (192, 128))
  for number, frame in enumerate(found):
    np.testing.assert_allclose(frame[0, 0, :2], [50 + 2 * number, 60], atol=5)
    np.testing.assert_allclose(frame[1, 0, :2], [155, 40], atol=5)


def test_unreadable_video_is_one_sentence(tmp_path):
  with pytest.raises(InputError, match="cannot be read"):
    detection_cache.source(tmp_path / "absent.mp4", "mediapipe", "v1")


def test_a_folder_of_images_is_known_by_its_images(tmp_path):
  for name in ("1.png", "2.png"):
    (tmp_path / name).write_bytes(name.encode())
  known = lambda: detection_cache.source(tmp_path, "mediapipe", "w", None)["video"]
  before = known()
  (tmp_path / "notes.txt").write_text("no image")
  assert known() == before
  (tmp_path / "2.png").write_bytes(b"another")
  assert known() != before
