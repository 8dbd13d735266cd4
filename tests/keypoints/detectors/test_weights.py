"""Fetching: whole or not at all, and what is said without a network."""

import io
import urllib.error
import zipfile

import pytest

from mhmr_jax.errors import InputError
from mhmr_jax.keypoints import detectors
from mhmr_jax.keypoints.detectors import mediapipe_pose, weights

_URL = "https://example.org/models/pose.task"


def _answer(monkeypatch, content):
  asked = []

  def urlopen(url, timeout):
    asked.append((url, timeout))
    if isinstance(content, Exception):
      raise content
    return io.BytesIO(content)

  monkeypatch.setattr("urllib.request.urlopen", urlopen)
  return asked


def test_fetched_once(tmp_path, monkeypatch):
  bundle = io.BytesIO()
  with zipfile.ZipFile(bundle, "w") as file:
    file.writestr("model.tflite", b"weights")
  asked = _answer(monkeypatch, bundle.getvalue())
  folder = tmp_path / "a" / "weights"
  path = weights.fetch(_URL, folder)
  assert path == folder / "pose.task"
  assert path.read_bytes() == bundle.getvalue()
  assert weights.fetch(_URL, folder) == path
  assert [url for url, _ in asked] == [_URL]
  assert asked[0][1] > 0
  assert list(folder.iterdir()) == [path]


@pytest.mark.parametrize(
  ("content", "reason"),
  [
    (urllib.error.URLError("no network"), "no network"),
    (TimeoutError("timed out"), "timed out"),
    (b"<html>log in first</html>", "the answer is not the file"),
  ],
)
def test_not_fetched_says_what_to_put_where(tmp_path, monkeypatch, content, reason):
  _answer(monkeypatch, content)
  with pytest.raises(InputError) as caught:
    weights.fetch(_URL, tmp_path)
  for part in (reason, _URL, str(tmp_path), "--detector_weights"):
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
  for module in ("mediapipe", "rtmlib", "onnxruntime"):
    monkeypatch.setitem(__import__("sys").modules, module, None)
  (tmp_path / "pose.task").touch()
  given = tmp_path / "pose.task" if name == "mediapipe" else tmp_path
  with (
    pytest.raises(InputError, match=r"not installed .*run `pip install -e '\.\[detect"),
    detectors.adapter(name).open_detector(given),
  ):
    pass
