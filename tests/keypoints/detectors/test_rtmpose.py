"""RTMPose's adapter on small models of its form: boxes, crops, decoding, colours."""

import numpy as np
import pytest

from mhmr_jax.errors import InputError
from mhmr_jax.keypoints import detectors
from mhmr_jax.keypoints.detectors import rtmpose

for _library in ("onnx", "onnxruntime", "rtmlib"):
  pytest.importorskip(_library, reason="the detectors' libraries are not installed")

from tests.keypoints.detectors import onnx_models  # noqa: E402

_SIZE = (128, 160)  # Half of it fits the detectors' input.
_BLUE, _GREEN = (0, 0, 210), (0, 210, 0)
# x0, y0, x1, y1: one of the crop's shape, one wider.
_BOXES = {_BLUE: (20, 10, 44, 42), _GREEN: (90, 60, 138, 84)}
_SPOTS = {_BLUE: (30.3, 25.1), _GREEN: (110.7, 70.4)}
# Image pixels a crop pixel: 1.25 times the box, made as wide as the crop is.
_SCALES = {_BLUE: 1.25 * 24 / 48, _GREEN: 1.25 * 48 / 48}


def _frame(people, spots=_SPOTS):
  frame = np.zeros((*_SIZE, 3), np.uint8)
  y, x = np.mgrid[: _SIZE[0], : _SIZE[1]] + 0.5
  for colour in people:
    x0, y0, x1, y1 = _BOXES[colour]
    frame[y0:y1, x0:x1] = colour
    distance = (x - spots[colour][0]) ** 2 + (y - spots[colour][1]) ** 2
    spot = np.rint(255 * np.exp(-distance / 8)).astype(np.uint8)
    frame[..., 0] = np.maximum(frame[..., 0], spot)
  return frame


@pytest.fixture(scope="module", params=["yolox", "rtmdet"])
def folder(request, tmp_path_factory):
  made = tmp_path_factory.mktemp("weights")
  onnx_models.write_people(made / f"{request.param}_tiny.onnx", request.param)
  onnx_models.write_pose(made / "rtmpose-t_simcc.onnx")
  return made


@pytest.fixture(scope="module")
def detect(folder):
  with detectors.adapter("rtmpose").open_detector(folder) as opened:
    yield opened


@pytest.mark.parametrize(
  "people", [[_BLUE, _GREEN], [_BLUE], [_GREEN]], ids=["both", "blue", "green"]
)
def test_points_of_each_person(detect, people):
  found = detect(_frame(people), 0.0)
  assert found.shape == (len(people), 17, 3)
  assert found.dtype == np.float32
  for person, colour in zip(found, people, strict=True):
    step, (x, y) = _SCALES[colour], _SPOTS[colour]
    expected = np.stack([x + np.arange(17) * step / 2, np.full(17, y)], -1)
    # To the nearest pixel of the crop.
    np.testing.assert_allclose(person[:, :2], expected, atol=0.75 * step)
    # The points of one person share the peak: only the spot's sampling differs.
    np.testing.assert_allclose(np.diff(person[:, 0]), step / 2, atol=1e-3)
    np.testing.assert_allclose(person[:, 2], onnx_models.SCORES, rtol=0.1)


def test_pixels_have_their_centres_at_one_half(detect):
  rng = np.random.default_rng(0)
  errors = []
  for _ in range(150):
    spot = rng.uniform([28, 20], [36, 32])
    person = detect(_frame([_BLUE], {_BLUE: spot}), 0.0)[0]
    errors.append(person[0, :2] - spot)
  # The error of rounding to pixels of the crop averages out; half a pixel would not.
  np.testing.assert_allclose(np.mean(errors, axis=0), 0, atol=0.06)


def test_nobody(detect):
  assert detect(_frame([]), 0.0).shape == (0, 17, 3)


def test_red_is_not_taken_for_blue(detect):
  frame = _frame([])
  frame[10:42, 20:44] = _BLUE[::-1]
  assert len(detect(frame, 0.0)) == 0


def test_folder_must_have_one_of_each(tmp_path, folder):
  with pytest.raises(InputError, match=r"has 0 files yolox\*.onnx or rtmdet\*.onnx"):
    rtmpose.weight_files(tmp_path)
  for name in ("yolox_a.onnx", "rtmdet_b.onnx"):
    (tmp_path / name).touch()
  with pytest.raises(InputError, match="has 2 files"):
    rtmpose.weight_files(tmp_path)
  (tmp_path / "yolox_a.onnx").unlink()
  with pytest.raises(InputError, match=r"has 0 files rtmpose\*.onnx"):
    rtmpose.weight_files(tmp_path)
  people, pose = rtmpose.weight_files(folder)
  assert people.name in ("yolox_tiny.onnx", "rtmdet_tiny.onnx")
  assert pose.name == "rtmpose-t_simcc.onnx"


def _open(folder):
  with rtmpose.open_detector(folder):
    pass


def test_models_of_another_form(tmp_path):
  people, pose = tmp_path / "yolox.onnx", tmp_path / "rtmpose.onnx"
  onnx_models.write_people(people)
  pose.write_bytes(b"not a model")
  with pytest.raises(InputError, match=r"rtmpose\.onnx is not a model that ONNX"):
    _open(tmp_path)
  onnx_models.write_pose(pose, points=16)
  with pytest.raises(InputError, match=r"\[1, 16, 96\]: export .* COCO's 17 points"):
    _open(tmp_path)
  onnx_models.write_pose(pose)
  onnx_models.write_people(people, columns=4)
  with pytest.raises(
    InputError, match=r"\[1, 2, 4\]: export .* non-maximum suppression"
  ):
    _open(tmp_path)


def test_no_network_names_the_files_and_their_place(tmp_path, monkeypatch):
  def refuse(*args, **kwargs):
    raise OSError("no network")

  monkeypatch.setattr("rtmlib.tools.file.urlopen", refuse)
  monkeypatch.setattr(rtmpose.weights_lib, "FOLDER", tmp_path / "weights")
  with pytest.raises(InputError, match="could not be fetched") as caught:
    _open(None)
  for part in ("no network", "yolox_m", "rtmpose-m", ".zip", str(tmp_path / "weights")):
    assert part in str(caught.value)
