"""Has Python look for garbage less often.

That is for programs whose objects mostly live to their end, such as those of imported
modules and of traced functions: each time, Python walks through many of them, and JAX
through its own. It took a sixth of the time in which `predict` loads.
"""

import contextlib
import gc
from collections.abc import Iterator

# New objects until the youngest are looked through; how often that happens until older
# ones are, and then the oldest. Python's own first number is 700.
_THRESHOLDS = (50_000, 20, 50)


@contextlib.contextmanager
def seldom_collected() -> Iterator[None]:
  """Looks for garbage once in 50 000 new objects while the block runs."""
  before = gc.get_threshold()
  gc.set_threshold(*_THRESHOLDS)
  try:
    yield
  finally:
    gc.set_threshold(*before)
