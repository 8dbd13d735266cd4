"""Trains the toy in a process that is told to stop, as before a machine goes away.

  python -m tests.training.preempted_toy [FLAG ...]

JAX notices a SIGTERM within a second or more, in which the toy would end. From the
signal on this process takes its time, and the others wait for it.
"""

import functools
import time

import numpy as np

from mhmr_jax.runtime import processes, program
from tests.training import toy, toy_program

TOLD_AT = 2  # The step whose batch is asked for when the signal comes.
_SECONDS = 2  # Between the steps after it.


class _Slow(toy.Numbers):
  """Numbers that come slowly after the step `TOLD_AT`."""

  def __next__(self) -> dict[str, np.ndarray]:
    if self._position // toy.BATCH_SIZE >= TOLD_AT:
      time.sleep(_SECONDS)
    return super().__next__()


if __name__ == "__main__":
  numbers = functools.partial(_Slow, sigterm_at=TOLD_AT)
  program.run(functools.partial(toy_program.main, numbers=numbers), processes.leave)
