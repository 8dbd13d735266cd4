"""What the builders of filmed people share: features, folder names, work in order."""

import collections
import concurrent.futures
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import numpy as np
import tensorflow_datasets as tfds

_SHAPES = {
  "pose": (None, 24, 3),
  "betas": (10,),
  "transl": (None, 3),
  "joints_camera": (None, 24, 3),
  "keypoints_image": (None, 17, 3),
  "box": (None, 4),
  "intrinsics": (3, 3),
  "camera_image": (None, 3),
}

Item = TypeVar("Item")
Result = TypeVar("Result")


def features(*floats: str) -> dict[str, Any]:
  """Of clips of any length: these fields, and those that all have."""
  tensor = tfds.features.Tensor
  text = tfds.features.Text
  return {
    # Any other encoding is an order of magnitude slower to read.
    **{
      name: tensor(shape=_SHAPES[name], dtype=np.float32, encoding="bytes")
      for name in floats
    },
    "valid": tensor(shape=(None,), dtype=np.bool_, encoding="bytes"),
    "frame_index": tensor(shape=(None,), dtype=np.int32, encoding="bytes"),
    "keypoints_detected": np.bool_,
    "fps": np.float32,
    "gender": text(),
    "sequence": text(),
  }


def folder_name(shown: str, settings: dict[str, Any]) -> str:
  """What to read of the settings, and a digest of all of them to tell apart."""
  text = json.dumps(settings, sort_keys=True)
  return f"{shown}_{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def absolute(path: str) -> str:
  """The path as it is told apart; empty stays empty."""
  return os.path.abspath(os.path.expanduser(path)) if path else ""


def in_order(
  function: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[Result]:
  """Calls the function in threads, a few items ahead; OpenCV lets them run at once."""
  workers = os.cpu_count() or 1
  pending: collections.deque[concurrent.futures.Future[Result]] = collections.deque()
  with concurrent.futures.ThreadPoolExecutor(workers) as pool:
    try:
      for item in items:
        pending.append(pool.submit(function, item))
        if len(pending) > 2 * workers:
          yield pending.popleft().result()
      while pending:
        yield pending.popleft().result()
    finally:
      for future in pending:
        future.cancel()
