"""Runs mhmr_jax.train in a process that is told to stop, as before a machine goes away.

  python -m tests.training.preempted_train [FLAG ...]

JAX notices a SIGTERM within a second or more, in which a tiny run of several processes
would end. From the signal on this one takes its time, and the others wait for it.
"""

import os
import signal
import time
from typing import Any

from mhmr_jax import train
from mhmr_jax.data import pipeline
from mhmr_jax.runtime import processes, program

TOLD_AT = 2  # The step whose batch is asked for when the signal comes.
_SECONDS = 2  # Between the steps after it.


class _Told:
  """Batches, and a signal to this process before one of them."""

  def __init__(self, batches: Any):
    self._batches = batches
    self._step = 0

  def __getattr__(self, name: str) -> Any:
    return getattr(self._batches, name)

  def __next__(self) -> Any:
    self._step += 1
    if self._step == TOLD_AT:
      os.kill(os.getpid(), signal.SIGTERM)
    if self._step > TOLD_AT:
      time.sleep(_SECONDS)
    return next(self._batches)


if __name__ == "__main__":
  make = pipeline.training_iterator
  pipeline.training_iterator = lambda *arguments: _Told(make(*arguments))
  program.run(train.main, processes.leave)
