"""Reads the records of TFDS datasets of clips, several times faster than TFDS itself.

TFDS makes NumPy arrays of Python objects of all that a record holds before it decodes
one field. The fields of clips are arrays stored as their bytes, texts, lists of files
and single numbers (`data_builders.clip_features`), for which a copy is enough.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, overload

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.proto import tf_example_pb2, tf_feature_pb2

Decoder = Callable[[tf_feature_pb2.Feature], Any]


class Records(Sequence[dict[str, Any]]):
  """The records of a split, decoded as TFDS decodes them."""

  def __init__(self, stored: Any, features: tfds.features.FeaturesDict):
    """Wraps what is stored.

    Args:
      stored: random access to the split's serialized examples.
      features: the TFDS feature of each field.
    """
    self._stored = stored
    self._decoders = {name: _decoder(feature) for name, feature in features.items()}

  def __len__(self) -> int:
    return len(self._stored)

  @overload
  def __getitem__(self, key: int) -> dict[str, Any]: ...
  @overload
  def __getitem__(self, key: slice) -> list[dict[str, Any]]: ...
  def __getitem__(self, key: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
    if isinstance(key, slice):
      return [self[index] for index in range(len(self))[key]]
    fields = tf_example_pb2.Example.FromString(self._stored[key]).features.feature
    if missing := self._decoders.keys() - fields.keys():
      raise ValueError(f"it lacks the field {min(missing)}")
    return {name: decode(fields[name]) for name, decode in self._decoders.items()}


def _decoder(feature: tfds.features.FeatureConnector) -> Decoder:
  if isinstance(feature, tfds.features.Text):
    return _text
  if isinstance(feature, tfds.features.Sequence):
    return _files
  if not feature.shape:
    return _Number(feature.np_dtype)
  return _Array(
    feature.np_dtype, tuple(-1 if size is None else size for size in feature.shape)
  )


def _text(field: tf_feature_pb2.Feature) -> bytes:
  (value,) = field.bytes_list.value
  return value


def _files(field: tf_feature_pb2.Feature) -> list[bytes]:
  return list(field.bytes_list.value)


class _Array(NamedTuple):
  """Decodes the bytes of an array."""

  dtype: np.dtype
  shape: tuple[int, ...]

  def __call__(self, field: tf_feature_pb2.Feature) -> np.ndarray:
    return np.frombuffer(_text(field), self.dtype).reshape(self.shape)


class _Number(NamedTuple):
  """Decodes one number, or truth value, to Python's own type."""

  dtype: np.dtype

  def __call__(self, field: tf_feature_pb2.Feature) -> Any:
    (value,) = (*field.float_list.value, *field.int64_list.value)
    return np.dtype(self.dtype).type(value).item()
