"""Runs a network in TensorFlow Lite's format on the CPU, by LiteRT."""

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from mhmr_jax.keypoints import detectors

_MAX_THREADS = 4


class Network:
  """A network that takes one image.

  Raises:
    InputError: LiteRT is not installed.
    ValueError: the content is no network, or its inputs and outputs have other shapes.
  """

  def __init__(
    self, content: bytes, size: int, output_shapes: Sequence[tuple[int, ...]]
  ) -> None:
    """Loads a network from a file's content.

    Args:
      content: the bytes of a .tflite file.
      size: the side that its input [1, size, size, 3] must have.
      output_shapes: the shapes that its outputs must have, in their order.
    """
    try:
      from ai_edge_litert import interpreter
    except ImportError as error:
      raise detectors.not_installed("LiteRT", error) from error
    threads = min(os.cpu_count() or 1, _MAX_THREADS)
    with _silent_stderr():
      self._run: Any = interpreter.Interpreter(
        model_content=content, num_threads=threads
      )
      self._run.allocate_tensors()
    inputs, outputs = self._run.get_input_details(), self._run.get_output_details()
    if [_form(tensor) for tensor in inputs] != [((1, size, size, 3), np.float32)]:
      raise ValueError(f"its input is not an image of {size} x {size} pixels")
    if [_form(tensor) for tensor in outputs] != [
      (s, np.float32) for s in output_shapes
    ]:
      raise ValueError("its outputs have other shapes")
    self._input = inputs[0]["index"]
    self._outputs = [output["index"] for output in outputs]

  def __call__(
    self, image: Float[np.ndarray, "size size 3"]
  ) -> list[Float[np.ndarray, "..."]]:
    """The outputs for one image, without the axis of the batch."""
    self._run.set_tensor(self._input, image[None])
    self._run.invoke()
    return [self._run.get_tensor(index)[0] for index in self._outputs]


def _form(tensor: dict[str, Any]) -> tuple[tuple[int, ...], type]:
  return tuple(tensor["shape"].tolist()), tensor["dtype"]


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
  """Redirects file descriptor 2, to which the C++ library logs as it loads a network.

  No setting turns these logs off. The library raises its errors as exceptions too.
  """
  sys.stderr.flush()
  original = os.dup(2)
  try:
    with open(os.devnull, "w") as nowhere:
      os.dup2(nowhere.fileno(), 2)
    yield
  finally:
    os.dup2(original, 2)
    os.close(original)
