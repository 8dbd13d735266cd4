"""Records of clips: the same fields as TFDS's own decoding, and damage."""

import pickle

import numpy as np
import pytest
import tensorflow_datasets as tfds
from google.protobuf.message import DecodeError
from tensorflow_datasets.core import example_serializer

from data_builders import clip_features
from mhmr_jax.data.records import Records

FRAMES = 5
FEATURES = {
  "synthetic": {
    "frames": clip_features.files(),
    **clip_features.of_clips("pose", "betas", "intrinsics", frames=FRAMES),
  },
  "people": {
    "frames": clip_features.files(),
    **clip_features.of_people_on_video("pose", "box", "camera_image"),
  },
}


def stored(name):
  """One serialized clip, and its features."""
  rng = np.random.default_rng(0)
  array = lambda *shape: rng.normal(0, 1, shape).astype(np.float32)
  clip = {
    "frames": [bytes([7, 0, number]) * number for number in range(FRAMES)],
    "pose": array(FRAMES, 24, 3),
    "betas": array(10),
    "intrinsics": array(3, 3),
    "box": array(FRAMES, 4),
    "camera_image": array(FRAMES, 3),
    "valid": np.arange(FRAMES) > 1,
    "frame_index": np.arange(FRAMES, dtype=np.int32),
    "fps": np.float32(29.97),
    "sequence": "downtown_00, Zürich",
    "keypoints_detected": True,
    "gender": "neutral",
  }
  features = tfds.features.FeaturesDict(FEATURES[name])
  encoded = features.encode_example({key: clip[key] for key in features})
  writer = example_serializer.ExampleSerializer(features.get_serialized_info())
  return writer.serialize_example(encoded), features


@pytest.mark.parametrize("name", FEATURES)
def test_fields_are_those_of_tfds(name):
  record, features = stored(name)
  # Processes that load are sent the records.
  records = pickle.loads(pickle.dumps(Records([b"", record], features)))
  assert len(records) == 2
  expected = features.deserialize_example_np(record)
  for own in (records[1], *records[1:]):
    assert own.keys() == expected.keys()
    for key, value in expected.items():
      assert type(own[key]) is type(value), key
      assert getattr(own[key], "dtype", None) == getattr(value, "dtype", None), key
      np.testing.assert_array_equal(own[key], value, err_msg=key)


def test_damage_raises_errors():
  record, features = stored("synthetic")
  other, _ = stored("people")
  for damaged in (
    b"",
    b"\xff" * 9,
    record[:-1],
    other,
    record.replace(b"pose", b"eosp"),
  ):
    with pytest.raises((ValueError, DecodeError)):
      Records([damaged], features)[0]
  fewer = tfds.features.FeaturesDict(clip_features.of_clips("betas", frames=FRAMES + 1))
  with pytest.raises(ValueError, match="size"):
    Records([record], fewer)[0]
