"""Items made ahead in a thread."""

import threading

import pytest

from mhmr_jax.runtime.ahead import made_ahead


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
