"""How often Python looks for garbage."""

import gc

from mhmr_jax.runtime.garbage import seldom_collected


def _collections_while_making(count):
  before = gc.get_stats()[0]["collections"]
  kept = [[] for _ in range(count)]
  del kept
  return gc.get_stats()[0]["collections"] - before


def test_garbage_is_looked_for_less_often_within_the_block_alone():
  usual = gc.get_threshold()
  gc.set_threshold(700, 10, 10)
  try:
    assert _collections_while_making(20_000) > 10
    with seldom_collected():
      assert _collections_while_making(20_000) <= 1
    assert gc.get_threshold() == (700, 10, 10)
  finally:
    gc.set_threshold(*usual)
