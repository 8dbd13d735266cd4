"""RTMPose's adapter on small models of its form: boxes, crops, decoding, colours."""

import pathlib
import urllib.error

import numpy as np
import pytest

from mhmr_jax.errors import InputError
from mhmr_jax.keypoints import detectors
from mhmr_jax.keypoints.detectors import rtmpose

for _library in ("onnx", "onnxruntime"):
  pytest.importorskip(_library, reason="the detectors' libraries are not installed")

from tests.keypoints.detectors import images, onnx_models  # noqa: E402
from tests.keypoints.detectors.images import BLUE, GREEN, SPOTS  # noqa: E402

# Image pixels a crop pixel: 1.25 times the box, made as wide as the crop is.
_SCALES = {BLUE: 1.25 * 24 / 48, GREEN: 1.25 * 48 / 48}
_GOLDENS = pathlib.Path(__file__).parent / "goldens"


def _frame(people):
  return images.coloured_people({colour: SPOTS[colour] for colour in people})


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
  "people", [[BLUE, GREEN], [BLUE], [GREEN]], ids=["both", "blue", "green"]
)
def test_points_of_each_person(detect, people):
  found = detect(_frame(people), 0.0)
  assert found.shape == (len(people), 17, 3)
  assert found.dtype == np.float32
  for person, colour in zip(found, people, strict=True):
    step, (x, y) = _SCALES[colour], SPOTS[colour]
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
    person = detect(images.coloured_people({BLUE: spot}), 0.0)[0]
    errors.append(person[0, :2] - spot)
  # The error of rounding to pixels of the crop averages out; half a pixel would not.
  np.testing.assert_allclose(np.mean(errors, axis=0), 0, atol=0.06)


def test_as_rtmlib_finds_them(detect, folder):
  kind = "rtmdet" if next(folder.glob("rtmdet*"), None) else "yolox"
  found = detect(_frame([BLUE, GREEN]), 0.0)
  with np.load(_GOLDENS / "rtmlib.npz") as golden:
    expected = golden[kind] + np.array([0.5, 0.5, 0])
  np.testing.assert_allclose(found[..., :2], expected[..., :2], atol=1e-3)
  np.testing.assert_allclose(found[..., 2], expected[..., 2], atol=1e-5)


def test_no_more_people_than_are_wanted(folder):
  with detectors.adapter("rtmpose").open_detector(folder, people=1) as detect:
    assert len(detect(_frame([BLUE, GREEN]), 0.0)) == 1


def test_nobody(detect):
  assert detect(_frame([]), 0.0).shape == (0, 17, 3)


def test_red_is_not_taken_for_blue(detect):
  frame = _frame([])
  frame[10:42, 20:44] = BLUE[::-1]
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
  with pytest.raises(InputError, match=r"\[1, 16, 96\].*: export .* COCO's 17 points"):
    _open(tmp_path)
  onnx_models.write_pose(pose)
  onnx_models.write_people(people, columns=4)
  with pytest.raises(
    InputError, match=r"\[1, 2, 4\].*: export .* non-maximum suppression"
  ):
    _open(tmp_path)


def test_no_network_names_the_files_and_their_place(tmp_path, monkeypatch):
  def refuse(*args, **kwargs):
    raise urllib.error.URLError("no network")

  monkeypatch.setattr("urllib.request.urlopen", refuse)
  monkeypatch.setattr(rtmpose.weights_lib, "FOLDER", tmp_path / "weights")
  with pytest.raises(InputError, match="could not be fetched") as caught:
    _open(None)
  for part in ("no network", "yolox_m", ".zip", "end2end.onnx", str(tmp_path)):
    assert part in str(caught.value)
