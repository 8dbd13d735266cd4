"""The report of invented steps."""

import dataclasses
import json

import pytest

from mhmr_jax.aot import report, topologies
from mhmr_jax.aot.exchanges import Collective
from mhmr_jax.aot.measure import Cost

NORM = "jit(step)/jvp(MotionHMR)/encoder/stage1_block1/norm1/reduce_sum"
GRADIENT = "jit(step)/transpose(jvp(MotionHMR))/temporal/lstm/dot_general"


def exchange(op_name: str, elements: int, loop: str = "", times: int = 1) -> Collective:
  return Collective(
    kind="all-reduce",
    bytes=4 * elements,
    elements=elements,
    devices=16,
    op_name=op_name,
    times=times,
    loop=loop,
  )


COST = Cost(
  arguments=10**9,
  temporaries=4 * 10**9,
  peak=5 * 10**9,
  flops=1.97e12,
  hbm_bytes=81.9e9,
  bytes_accessed=90e9,
  cycles=300_000_000,
  collectives=(
    exchange(NORM, 128),
    exchange(GRADIENT, 1_000_000),
    exchange("jit(step)/reduce_sum", 1),
  ),
  loops={"lstm/while": 31},
  parameters=1_000_000,
  seconds=60.0,
)
LIMIT = 16e9


def make(cost: Cost, price: float | None = None, name: str = "v5e:4x4"):
  topology = topologies.parse(name)
  return report.Report(topology, cost, LIMIT, 128, price, training=True)


def lines(cost: Cost, price: float | None = None, name: str = "v5e:4x4") -> str:
  return "\n".join(make(cost, price, name).lines())


def test_figures_of_a_step_that_fits():
  found = make(COST, price=3.6).summary()
  json.dumps(found)
  assert found["fits"] is True
  assert found["hbm_peak_gb"] == 5
  assert found["flops_per_step"] == 1.97e12
  assert found["compute_s"] == pytest.approx(0.01)
  assert (found["roofline_s"], found["bound_by"]) == (pytest.approx(0.1), "hbm")
  assert found["allreduce_mb"] == pytest.approx(4 * 1_000_129 / 1e6, abs=1e-3)
  assert found["gradients_over_parameters"] == 1
  assert (found["collectives"], found["collectives_in_loop"]) == (3, 0)
  # 1,280 clips/s of 16 chips at 0.001 a second each.
  assert found["clips_per_s"] == 1280
  assert found["price_per_million_clips"] == pytest.approx(12.5)
  text = lines(COST, price=3.6)
  assert "HBM-bound" in text
  assert "200.00 ms at 1.50 GHz" in text
  assert "12.50 a million clips" in text


def test_exchanges_are_told_apart_by_what_they_are_for():
  owners = [report.owner(each) for each in COST.collectives]
  assert owners == ["batch norm, forward", "gradients", "scalars"]
  backward = NORM.replace("jvp(MotionHMR)", "transpose(jvp(MotionHMR))")
  assert report.owner(exchange(backward, 256)) == "batch norm, backward"


def test_an_exchange_in_a_loop_is_named_with_its_loop():
  inside = exchange(GRADIENT, 1_000_000, loop="lstm/while", times=31)
  cost = dataclasses.replace(COST, collectives=(inside,))
  found = make(cost).summary()
  assert found["collectives_in_loop"] == 31
  assert found["gradients_over_parameters"] == 31
  assert "in the loop lstm/while" in lines(cost)
  assert "outside loops" not in lines(cost)


def test_a_step_that_does_not_fit_says_what_may():
  cost = Cost(out_of_memory="Used 20G of 15.75G hbm.", peak=20 * 10**9, parameters=1)
  found = make(cost, price=1.0).summary()
  assert (found["fits"], found["hbm_peak_gb"]) == (False, 20)
  assert found["roofline_s"] is None
  assert "remat=True" in lines(cost)


def test_what_the_compiler_computes_twice_is_said():
  assert "computes 7 operations twice" in lines(
    dataclasses.replace(COST, rematerialised=7)
  )
  assert "without rematerialisation" in lines(COST)


def test_of_gpus_the_time_is_not_known():
  found = make(COST, name="h100:1x2x8").summary()
  assert found["fits"] is True
  assert found["roofline_s"] is found["flops_per_step"] is None
  assert "no costs for GPUs" in lines(COST, name="h100:1x2x8")
