import itertools

import pytest

from mhmr_jax.runtime import stage_times
from mhmr_jax.runtime.stage_times import StageTimes


@pytest.fixture
def clock(monkeypatch):
  """A clock that moves by what is put into it."""
  now = [0.0]
  monkeypatch.setattr(stage_times.time, "monotonic", lambda: now[0])
  return lambda seconds: now.__setitem__(0, now[0] + seconds)


def test_a_stage_within_another_counts_for_its_own_alone(clock):
  times = StageTimes()

  def read():
    for number in range(3):
      clock(1)
      yield number

  def drawn(numbers):
    for number in numbers:
      clock(10)
      yield number * 2

  with times.running("writing"):
    for number in times.over("drawing", drawn(times.over("reading", read()))):
      assert number in (0, 2, 4)
      clock(100)
  assert times.seconds == {"reading": 3, "drawing": 30, "writing": 300}
  assert times.summary(666) == (
    "seconds: 3.0 reading, 30.0 drawing, 300.0 writing; 333.0 in all, 2.0 frames/s"
  )


def test_a_stage_that_fails_or_is_left_early_is_counted(clock):
  times = StageTimes()

  def fail():
    clock(2)
    raise KeyError

  with pytest.raises(KeyError), times.running("outer"), times.running("inner"):
    fail()
  clock(50)
  ticks = (clock(1) for _ in itertools.count())
  for _ in itertools.islice(times.over("endless", ticks), 4):
    pass
  assert times.seconds == {"inner": 2, "outer": 0, "endless": 4}
