"""The roofline, by hand."""

import pytest

from mhmr_jax.aot import roofline, topologies
from mhmr_jax.aot.exchanges import Collective


def all_reduce(size: int, devices: int, kind: str = "all-reduce", times: int = 1):
  return Collective(
    kind=kind,
    bytes=size,
    elements=size // 4,
    devices=devices,
    op_name="",
    times=times,
    loop="",
  )


V5E = topologies.CHIPS["v5e"]
SQUARE = topologies.parse("v5e:4x4")


def test_each_resource_by_its_published_rate():
  line = roofline.of(V5E, SQUARE, flops=197e12, hbm_bytes=819e9 / 2, collectives=[])
  assert line.compute == pytest.approx(1.0)
  assert line.hbm == pytest.approx(0.5)
  assert line.interconnect == 0
  assert (line.seconds, line.bound_by) == (line.compute, "compute")


def test_a_step_is_bound_by_what_takes_longest():
  line = roofline.of(V5E, SQUARE, 1e12, 819e9, [all_reduce(10**8, 16)])
  assert line.bound_by == "hbm"
  assert line.seconds == pytest.approx(1.0)
  assert line.seconds_without_overlap == pytest.approx(1.0 + line.interconnect)


def test_an_all_reduce_sends_every_byte_twice_over_the_open_axes():
  # 4x4 of v5e closes no ring: one link of 50 GB/s an axis, three hops along each.
  bandwidth, hops = 2 * 50e9, 3 + 3
  size = 10**9
  expected = 2 * (size * 15 / 16 / bandwidth + hops * 1e-6)
  seconds = roofline.exchange_seconds(V5E, SQUARE, all_reduce(size, 16))
  assert seconds == pytest.approx(expected)
  gathered = all_reduce(size, 16, "all-gather")
  assert roofline.exchange_seconds(V5E, SQUARE, gathered) == pytest.approx(expected / 2)


def test_rings_of_a_whole_pod_have_twice_the_links_and_half_the_way():
  pod = topologies.parse("v5e:16x16")
  seconds = roofline.exchange_seconds(V5E, pod, all_reduce(10**9, 256))
  assert seconds == pytest.approx(2 * (1e9 * 255 / 256 / 200e9 + 16e-6))


def test_a_loops_exchanges_count_at_every_turn():
  once = roofline.of(V5E, SQUARE, 0.0, 0.0, [all_reduce(4, 16)])
  often = roofline.of(V5E, SQUARE, 0.0, 0.0, [all_reduce(4, 16, times=31)])
  assert often.interconnect == pytest.approx(31 * once.interconnect)
  assert often.bound_by == "interconnect"


def test_a_device_by_itself_exchanges_nothing():
  assert roofline.exchange_seconds(V5E, SQUARE, all_reduce(10**9, 1)) == 0
