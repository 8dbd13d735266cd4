"""Adapter to RTMPose after a person detector, through rtmlib and ONNX Runtime."""

import contextlib
import io
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from mhmr_jax.errors import InputError
from mhmr_jax.keypoints import detectors
from mhmr_jax.keypoints.detectors import weights as weights_lib

# The models of rtmlib's mode "balanced".
_ROOT = "https://download.openmmlab.com/mmpose/v1/projects/rtmposev1/onnx_sdk/"
_URLS = [
  f"{_ROOT}yolox_m_8xb8-300e_humanart-c2c7a14a.zip",
  f"{_ROOT}rtmpose-m_simcc-body7_pt-body7_420e-256x192-e48f03d0_20230504.zip",
]
DEFAULT_WEIGHTS = " ".join(_URLS)


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
def open_detector(weights: pathlib.Path | None) -> Iterator[detectors.Detect]:
  """Loads both models; see `detectors.Adapter`."""
  try:
    import onnxruntime
    import rtmlib
    from rtmlib.tools.file import download_checkpoint
  except ImportError as error:
    raise detectors.not_installed("RTMPose", error) from error
  if weights is None:
    folder = weights_lib.FOLDER.expanduser()
    try:
      files = [pathlib.Path(download_checkpoint(url, folder)) for url in _URLS]
    except Exception as error:
      # Its network, zip and file functions raise errors of many kinds.
      raise weights_lib.unavailable(_URLS, folder, error) from error
  else:
    files = weight_files(weights)
  cuda = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
  device = "cuda" if cuda else "cpu"
  people_class = rtmlib.RTMDet if files[0].name.startswith("rtmdet") else rtmlib.YOLOX
  find_people = _load(people_class, files[0], device)
  find_points = _load(rtmlib.RTMPose, files[1], device)
  # rtmlib takes RTMPose's size as (width, height), the others' as (rows, columns).
  find_points.model_input_size = find_points.model_input_size[::-1]
  _check_output(find_people, (None, None, 5), "applies non-maximum suppression itself")
  _check_output(find_points, (None, 17, None), "has COCO's 17 points")

  def detect(
    frame: UInt8[np.ndarray, "height width 3"], seconds: float
  ) -> Float[np.ndarray, "_ 17 3"]:
    del seconds
    # The person detectors were trained on BGR and RTMPose on RGB; rtmlib passes on
    # what it is given.
    boxes = find_people(frame[..., ::-1])
    if len(boxes) == 0:
      return np.zeros((0, 17, 3), np.float32)
    points, scores = find_points(frame, boxes)
    # It crops with OpenCV, whose pixels are centred at whole numbers; ours at + 0.5.
    return np.append(points + 0.5, scores[..., None], axis=-1).astype(np.float32)

  yield detect


def _load(tool: Any, path: pathlib.Path, device: str) -> Any:
  """Loads one of rtmlib's tools with the input size of the model in the file."""
  try:
    # rtmlib prints what it loads.
    with contextlib.redirect_stdout(io.StringIO()):
      loaded = tool(str(path), device=device)
  except Exception as error:
    # ONNX Runtime's exceptions have no other base class.
    raise InputError(
      f"{path} is not a model that ONNX Runtime can load ({_first_line(error)}): "
      "download it again."
    ) from error
  shape = loaded.session.get_inputs()[0].shape
  if len(shape) != 4 or not _fits(shape, (None, 3, None, None)):
    raise InputError(f"{path} takes {shape}: give a model of [1, 3, rows, columns].")
  if not all(isinstance(side, int) for side in shape[2:]):
    raise InputError(f"{path} takes images of any size: export it with a fixed one.")
  loaded.model_input_size = tuple(shape[2:])
  return loaded


def _check_output(tool: Any, wanted: tuple[int | None, ...], meaning: str) -> None:
  shape = tool.session.get_outputs()[0].shape
  if len(shape) != len(wanted) or not _fits(shape, wanted):
    raise InputError(f"{tool.onnx_model} gives {shape}: export a model that {meaning}.")


def _fits(shape: list[Any], wanted: tuple[int | None, ...]) -> bool:
  """Whether all sizes that are known on both sides agree."""
  pairs = zip(shape, wanted, strict=True)
  return all(a == b for a, b in pairs if isinstance(a, int) and b is not None)


def _first_line(error: Exception) -> str:
  return (str(error).strip().splitlines() or [type(error).__name__])[0]
