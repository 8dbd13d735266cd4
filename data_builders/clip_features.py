"""The TFDS features of clips, by which all builders store them."""

import numpy as np
import tensorflow_datasets as tfds

Features = dict[str, tfds.features.FeatureConnector | type[np.generic]]

_SHAPES: dict[str, tuple[str | int, ...]] = {
  "pose": ("time", 24, 3),
  "betas": (10,),
  "transl": ("time", 3),
  "joints_camera": ("time", 24, 3),
  "keypoints_image": ("time", 17, 3),
  "visibility": ("time", 24),
  "box": ("time", 4),
  "intrinsics": (3, 3),
  "camera_image": ("time", 3),
}


def of_clips(*names: str, frames: int | None = None) -> Features:
  """Returns the features that every clip has, and these arrays of float32.

  Args:
    names: fields of `mhmr_jax.schema.Clip`.
    frames: frames of every clip; None for clips of any length.
  """
  return {
    **{name: _array(_SHAPES[name], frames, np.float32) for name in names},
    "valid": _array(("time",), frames, np.bool_),
    "frame_index": _array(("time",), frames, np.int32),
    "fps": np.float32,
    "sequence": tfds.features.Text(),
  }


def of_people_on_video(*names: str) -> Features:
  """Returns the features of clips of real people, of any length."""
  return {
    **of_clips(*names),
    "keypoints_detected": np.bool_,
    "gender": tfds.features.Text(),
  }


def files() -> tfds.features.Sequence:
  """Returns the feature of one encoded image a frame."""
  # Text holds any bytes. Image would need the codec's shape, and Video more tools.
  return tfds.features.Sequence(tfds.features.Text())


def _array(
  shape: tuple[str | int, ...], frames: int | None, dtype: type[np.generic]
) -> tfds.features.Tensor:
  sizes = tuple(frames if size == "time" else size for size in shape)
  # Any other encoding takes ten times as long to read.
  return tfds.features.Tensor(shape=sizes, dtype=dtype, encoding="bytes")
