"""Fetching: whole, checked, or not at all; and what is said without a network."""

import hashlib
import io
import sys
import urllib.error
import zipfile

import pytest

from mhmr_jax.errors import InputError
from mhmr_jax.keypoints import detectors
from mhmr_jax.keypoints.detectors import mediapipe_pose, weights

_CONTENT = b"weights"
_PLAIN = weights.Download(
  "https://example.org/models/pose.task", hashlib.sha256(_CONTENT).hexdigest()
)
_PACKED = _PLAIN._replace(url="https://example.org/pose-m.v1.zip", member="end.onnx")


def _bundle(*names):
  bundle = io.BytesIO()
  with zipfile.ZipFile(bundle, "w") as file:
    for name in names:
      file.writestr(name, _CONTENT)
  return bundle.getvalue()


def _answer(monkeypatch, content):
  asked = []

  def urlopen(url, timeout):
    asked.append((url, timeout))
    if isinstance(content, Exception):
      raise content
    return io.BytesIO(content)

  monkeypatch.setattr("urllib.request.urlopen", urlopen)
  return asked


@pytest.mark.parametrize(
  ("download", "answer", "name"),
  [
    (_PLAIN, _CONTENT, "pose.task"),
    (_PACKED, _bundle("2023/pose/end.onnx", "2023/pose/read.me"), "pose-m.v1.onnx"),
  ],
)
def test_fetched_once(tmp_path, monkeypatch, download, answer, name):
  asked = _answer(monkeypatch, answer)
  folder = tmp_path / "a" / "weights"
  path = weights.fetch(download, folder)
  assert path == folder / name
  assert path.read_bytes() == _CONTENT
  assert weights.fetch(download, folder) == path
  assert [url for url, _ in asked] == [download.url]
  assert asked[0][1] > 0
  assert list(folder.iterdir()) == [path]


@pytest.mark.parametrize(
  ("download", "content", "reason"),
  [
    (_PLAIN, urllib.error.URLError("no network"), "no network"),
    (_PLAIN, TimeoutError("timed out"), "timed out"),
    (_PLAIN, b"<html>log in first</html>", "the answer is another file"),
    (_PACKED, b"<html>log in first</html>", "not a zip file"),
    (_PACKED, _bundle("other.onnx"), "the answer has no end.onnx"),
    (_PACKED, _bundle("a/end.onnx", "b/end.onnx"), "the answer has no end.onnx"),
  ],
)
def test_not_fetched_says_what_to_put_where(
  tmp_path, monkeypatch, download, content, reason
):
  _answer(monkeypatch, content)
  with pytest.raises(InputError) as caught:
    weights.fetch(download, tmp_path)
  place = str(tmp_path / download.name)
  for part in (reason, download.url, place, "--detector_weights"):
    assert part in str(caught.value)
  assert not any(tmp_path.iterdir())


def test_mediapipe_uses_it(tmp_path, monkeypatch):
  _answer(monkeypatch, urllib.error.URLError("no network"))
  monkeypatch.setattr(mediapipe_pose.weights_lib, "FOLDER", tmp_path)
  with (
    pytest.raises(InputError, match=r"download https://.*pose_landmarker.*\.task"),
    mediapipe_pose.open_detector(None),
  ):
    pass


def test_unknown_detector():
  with pytest.raises(InputError, match="--detector=yolo is unknown: use one of"):
    detectors.adapter("yolo")


@pytest.mark.parametrize("name", detectors.NAMES)
def test_missing_library_says_how_to_install_it(name, tmp_path, monkeypatch):
  # None makes an import fail as if the module were not there.
  for module in ("ai_edge_litert", "onnxruntime"):
    monkeypatch.setitem(sys.modules, module, None)
  given = tmp_path
  if name == "mediapipe":
    given = tmp_path / "pose.task"
    given.write_bytes(_bundle("pose_detector.tflite", "pose_landmarks_detector.tflite"))
  for file in ("yolox.onnx", "rtmpose.onnx"):
    (tmp_path / file).touch()
  with (
    pytest.raises(InputError, match=r"not installed .*run `pip install 'mhmr_jax\[de"),
    detectors.adapter(name).open_detector(given),
  ):
    pass
