"""How properties are tested: a few examples, the same ones in every run."""

import hypothesis
import numpy as np
from hypothesis import strategies
from hypothesis.extra import numpy as arrays

# No deadline: the first example compiles. No database: a run depends on no other.
check = hypothesis.settings(
  max_examples=30, deadline=None, derandomize=True, database=None
)


def floats(
  shape: tuple[int, ...], low: float, high: float
) -> strategies.SearchStrategy:
  """float32 arrays of a shape, with values between the bounds."""
  low, high = (float(np.float32(bound)) for bound in (low, high))
  elements = strategies.floats(low, high, width=32, allow_subnormal=False)
  return arrays.arrays(np.float32, shape, elements=elements)
