"""What is made ahead in a thread."""

import sys
import threading

import pytest

from mhmr_jax.runtime import ahead
from mhmr_jax.runtime.ahead import computed_ahead, made_ahead


def test_items_come_in_order():
  assert list(made_ahead(iter(range(100)))) == list(range(100))
  assert list(made_ahead([])) == []


def test_no_more_than_the_count_are_made_ahead():
  made = []
  all_made = threading.Event()

  def items():
    for number in range(20):
      made.append(number)
      if number == 3:
        all_made.set()
      yield number

  iterator = made_ahead(items(), count=2)
  assert next(iterator) == 0
  # One is used, two wait, and one more is in the maker's hand.
  assert all_made.wait(10)
  assert made == [0, 1, 2, 3]
  iterator.close()


def test_an_error_is_raised_after_the_items_before_it():
  def items():
    yield 1
    raise ZeroDivisionError

  iterator = made_ahead(items())
  assert next(iterator) == 1
  with pytest.raises(ZeroDivisionError):
    next(iterator)


def test_closing_early_ends_the_thread():
  before = threading.active_count()
  iterator = made_ahead(iter(int, 1))
  next(iterator)
  iterator.close()
  assert threading.active_count() == before


def test_a_result_is_computed_while_the_block_runs():
  interval = sys.getswitchinterval()
  begun, go_on = threading.Event(), threading.Event()

  def compute():
    begun.set()
    assert go_on.wait(10)
    return 7

  with computed_ahead(compute) as result:
    assert begun.wait(10)
    go_on.set()
    assert result() == 7
  assert sys.getswitchinterval() == interval


def test_the_error_of_a_computation_is_raised_where_its_result_is_wanted():
  with computed_ahead(lambda: 1 / 0) as result, pytest.raises(ZeroDivisionError):
    result()


def test_a_block_that_fails_waits_for_the_computation():
  ended = threading.Event()
  with pytest.raises(KeyError), computed_ahead(ended.set):
    raise KeyError
  assert ended.is_set()


def test_what_is_computed_ahead_needs_a_core(monkeypatch):
  monkeypatch.setattr(ahead.os, "cpu_count", lambda: 4)
  go_on = threading.Event()
  assert ahead.free_cores() == 4
  with computed_ahead(lambda: go_on.wait(10)) as result:
    assert ahead.free_cores() == 3
    monkeypatch.setattr(ahead.os, "cpu_count", lambda: 1)
    assert ahead.free_cores() == 1
    monkeypatch.setattr(ahead.os, "cpu_count", lambda: 4)
    go_on.set()
    assert result()
    assert ahead.free_cores() == 4
  with pytest.raises(ZeroDivisionError), computed_ahead(lambda: 1 / 0) as result:
    result()
  assert ahead.free_cores() == 4
