"""Adapter to RTMPose after a person detector, by ONNX Runtime.

The models are MMPose's exports: YOLOX or RTMDet, which finds the people, and RTMPose,
which gives each point's place along the two axes of a crop (SimCC; Jiang et al.,
"RTMPose: Real-Time Multi-Person Pose Estimation based on MMPose", 2023). The
pre- and post-processing are those of the library rtmlib, which itself requires a build
of OpenCV whose files would overwrite those of ours.
"""

import contextlib
import pathlib
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from mhmr_jax.errors import InputError
from mhmr_jax.keypoints import detectors
from mhmr_jax.keypoints.detectors import weights as weights_lib

# The models of rtmlib's mode "balanced".
_ROOT = "https://download.openmmlab.com/mmpose/v1/projects/rtmposev1/onnx_sdk/"
DOWNLOADS = (
  weights_lib.Download(
    f"{_ROOT}yolox_m_8xb8-300e_humanart-c2c7a14a.zip",
    "3dea6513388889f0fff4b77bf7a26013600321b9eb9ceb0e9a400a82572f5f23",
    member="end2end.onnx",
  ),
  weights_lib.Download(
    f"{_ROOT}rtmpose-m_simcc-body7_pt-body7_420e-256x192-e48f03d0_20230504.zip",
    "5c0a4bf67953e6d2ac43ce15e77dc9d5d354ae18430a47d2c5963a7bc5683e3c",
    member="end2end.onnx",
  ),
)
DEFAULT_WEIGHTS = " ".join(download.url for download in DOWNLOADS)

_MIN_SCORE = 0.3
_EMPTY = 114  # Grey, in place of what a padded image lacks.
# YOLOX takes BGR from 0 to 255; RTMDet BGR, and RTMPose RGB, of these means and scales.
_RTMDET_MEAN, _RTMDET_STD = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)
_RTMPOSE_MEAN, _RTMPOSE_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
_MARGIN = 1.25
_BINS_PER_PIXEL = 2

_Image = UInt8[np.ndarray, "height width 3"]


def weight_files(weights: pathlib.Path) -> list[pathlib.Path]:
  """The person detector and RTMPose in a folder; InputError unless it has one each."""
  found = []
  for wanted in (("yolox", "rtmdet"), ("rtmpose",)):
    files = [file for name in wanted for file in sorted(weights.glob(f"{name}*.onnx"))]
    if len(files) != 1:
      names = " or ".join(f"{name}*.onnx" for name in wanted)
      raise InputError(
        f"The folder {weights} has {len(files)} files {names}: give a folder by "
        "--detector_weights that has one yolox*.onnx or rtmdet*.onnx, which finds "
        "people, and one rtmpose*.onnx, which finds their points."
      )
    found += files
  return found


@contextlib.contextmanager
def open_detector(
  weights: pathlib.Path | None, people: int | None = None
) -> Iterator[detectors.Detect]:
  """Loads both models; see `detectors.Adapter`."""
  if weights is None:
    folder = weights_lib.FOLDER.expanduser()
    files = [weights_lib.fetch(download, folder) for download in DOWNLOADS]
  else:
    files = weight_files(weights)
  find_people, find_points = _PeopleFinder(files[0]), _PointFinder(files[1])

  def detect(frame: _Image, seconds: float) -> Float[np.ndarray, "_ 17 3"]:
    del seconds
    found = [find_points(frame, box) for box in find_people(frame)[:people]]
    return np.array(found, np.float32).reshape(-1, 17, 3)

  yield detect


class _Model:
  """An ONNX model of one image [1, 3, rows, columns]."""

  def __init__(
    self, path: pathlib.Path, outputs: list[tuple[int | None, ...]], meaning: str
  ) -> None:
    """Loads a model; InputError if it has other outputs than expected.

    Args:
      path: the file.
      outputs: the shapes that its first outputs must have; None: any length.
      meaning: what a model with such outputs does, for messages.
    """
    try:
      import onnxruntime
    except ImportError as error:
      raise detectors.not_installed("ONNX Runtime", error) from error
    cuda = "CUDAExecutionProvider"
    usable = onnxruntime.get_available_providers()
    providers = [cuda] * (cuda in usable) + ["CPUExecutionProvider"]
    try:
      session = onnxruntime.InferenceSession(path, providers=providers)
    except Exception as error:
      # ONNX Runtime's exceptions have no other base class.
      raise InputError(
        f"{path} is not a model that ONNX Runtime can load ({_first_line(error)}): "
        "download it again."
      ) from error
    shape = session.get_inputs()[0].shape
    if not _fits(shape, (None, 3, None, None)):
      raise InputError(f"{path} takes {shape}: give a model of [1, 3, rows, columns].")
    if not all(isinstance(side, int) for side in shape[2:]):
      raise InputError(f"{path} takes images of any size: export it with a fixed one.")
    shapes = [output.shape for output in session.get_outputs()]
    if len(shapes) < len(outputs) or not all(map(_fits, shapes, outputs)):
      raise InputError(f"{path} gives {shapes}: export a model that {meaning}.")
    self._session = session
    self.rows, self.columns = shape[2:]

  def __call__(self, pixels: np.ndarray) -> list[Any]:
    """The model's outputs for one image [rows, columns, 3]."""
    image = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32)
    return self._session.run(None, {self._session.get_inputs()[0].name: image})


class _PeopleFinder:
  """YOLOX or RTMDet, with the suppression of boxes in the model."""

  def __init__(self, path: pathlib.Path) -> None:
    meaning = "applies non-maximum suppression itself"
    self._model = _Model(path, [(None, None, 5)], meaning)
    self._is_rtmdet = path.name.startswith("rtmdet")

  def __call__(self, frame: _Image) -> Float[np.ndarray, "people 4"]:
    """The boxes [x0, y0, x1, y1] of the people in an RGB image, the likeliest first."""
    rows, columns = self._model.rows, self._model.columns
    height, width = frame.shape[:2]
    ratio = min(rows / height, columns / width)
    # A side of a very long image must not vanish.
    size = max(int(width * ratio), 1), max(int(height * ratio), 1)
    pixels = np.full((rows, columns, 3), _EMPTY, np.uint8)
    pixels[: size[1], : size[0]] = cv2.resize(frame, size)[..., ::-1]
    if self._is_rtmdet:
      pixels = (pixels - _RTMDET_MEAN) / _RTMDET_STD
    found = self._model(pixels)[0][0]
    found = found[found[:, 4] > _MIN_SCORE]
    found = found[np.argsort(-found[:, 4], kind="stable")]
    return found[:, :4] / ratio


class _PointFinder:
  """RTMPose."""

  def __init__(self, path: pathlib.Path) -> None:
    self._model = _Model(path, [(None, 17, None)] * 2, "has COCO's 17 points")

  def __call__(
    self, frame: _Image, box: Float[np.ndarray, "4"]
  ) -> Float[np.ndarray, "17 3"]:
    """COCO-17's x, y px and score of the person in a box of an RGB image."""
    size = np.array([self._model.columns, self._model.rows])
    # The box is widened to the shape of the model's input.
    step = max(_MARGIN * (box[2:] - box[:2]) / size)
    first = (box[:2] + box[2:]) / 2 - step * size / 2
    matrix = np.array([[step, 0, first[0]], [0, step, first[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    pixels = cv2.warpAffine(frame, matrix, tuple(size.tolist()), flags=flags)
    bins = self._model((pixels - _RTMPOSE_MEAN) / _RTMPOSE_STD)
    places = np.stack([axis[0].argmax(-1) for axis in bins[:2]], -1)
    score = np.mean([axis[0].max(-1) for axis in bins[:2]], axis=0)
    # The crop's pixels are centred at whole numbers, as OpenCV's; ours at one half.
    points = places / _BINS_PER_PIXEL * step + first + 0.5
    found = np.column_stack([points, score]).astype(np.float32)
    return np.where(score[:, None] > 0, found, 0)


def _fits(shape: list[Any], wanted: tuple[int | None, ...]) -> bool:
  """Whether a shape has as many axes, and all lengths known on both sides agree."""
  pairs = zip(shape, wanted, strict=False)
  return len(shape) == len(wanted) and all(
    a == b for a, b in pairs if isinstance(a, int) and b is not None
  )


def _first_line(error: Exception) -> str:
  return (str(error).strip().splitlines() or [type(error).__name__])[0]
