"""Runs a network in TensorFlow Lite's format on the CPU, by LiteRT."""

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from mhmr_jax.keypoints import detectors
from mhmr_jax.runtime import ahead

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
    self._content = content
    self._by_threads: dict[int, Any] = {}
    run = self._interpreter()
    inputs, outputs = run.get_input_details(), run.get_output_details()
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
    run = self._interpreter()
    run.set_tensor(self._input, image[None])
    run.invoke()
    return [run.get_tensor(index)[0] for index in self._outputs]

  def _interpreter(self) -> Any:
    """One with as many threads as there are cores for it now.

    Its threads wait for each other in a loop after every layer, so one that has to
    share its core holds up all, and the loops take that core's time. The results are
    the same with any number of threads.
    """
    try:
      from ai_edge_litert import interpreter
    except ImportError as error:
      raise detectors.not_installed("LiteRT", error) from error
    threads = min(ahead.free_cores(), _MAX_THREADS)
    if threads not in self._by_threads:
      with _silent_stderr():
        made = interpreter.Interpreter(model_content=self._content, num_threads=threads)
        made.allocate_tensors()
      self._by_threads[threads] = made
    return self._by_threads[threads]


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
