import itertools

import pytest

from mhmr_jax.runtime.stage_times import StageTimes


class Clock:
  """A clock that moves by what it is told."""

  def __init__(self):
    self._now = 0.0

  def __call__(self):
    return self._now

  def advance(self, seconds):
    self._now += seconds


@pytest.fixture
def clock():
  return Clock()


def test_a_stage_within_another_counts_for_its_own_alone(clock):
  times = StageTimes(clock)

  def read():
    for number in range(3):
      clock.advance(1)
      yield number

  def drawn(numbers):
    for number in numbers:
      clock.advance(10)
      yield number * 2

  with times.running("writing"):
    for number in times.over("drawing", drawn(times.over("reading", read()))):
      assert number in (0, 2, 4)
      clock.advance(100)
  assert times.seconds == {"reading": 3, "drawing": 30, "writing": 300}
  assert times.summary(666) == (
    "seconds: 3.0 reading, 30.0 drawing, 300.0 writing; 333.0 in all, 2.0 frames/s"
  )


def test_a_stage_that_fails_or_is_left_early_is_counted(clock):
  times = StageTimes(clock)

  def fail():
    clock.advance(2)
    raise KeyError

  with pytest.raises(KeyError), times.running("outer"), times.running("inner"):
    fail()
  clock.advance(50)
  ticks = (clock.advance(1) for _ in itertools.count())
  for _ in itertools.islice(times.over("endless", ticks), 4):
    pass
  assert times.seconds == {"inner": 2, "outer": 0, "endless": 4}
