"""What `--topology` may name."""

import pytest

from mhmr_jax.aot import topologies
from mhmr_jax.errors import InputError


@pytest.mark.parametrize(
  ("name", "shape", "chips"),
  [
    ("v5e:4x4", (4, 4), 16),
    ("v6e:16x16", (16, 16), 256),
    ("v4:2x2x4", (2, 2, 4), 16),
    ("v5p:4x4x4", (4, 4, 4), 64),
    ("h100:1x2x8", (1, 2, 8), 16),
  ],
)
def test_names_are_read(name, shape, chips):
  topology = topologies.parse(name)
  assert (topology.shape, topology.chips) == (shape, chips)
  assert (topology.chip is None) == name.startswith("h100")
  assert topology.extra == ("gpu-aot" if name.startswith("h100") else "tpu-aot")


@pytest.mark.parametrize("name", ["v9:4x4", "4x4", "", "V5E:4x4"])
def test_unknown_accelerators_are_refused_with_those_there_are(name):
  with pytest.raises(InputError, match="v4, v5e, v5p, v6e or h100"):
    topologies.parse(name)


@pytest.mark.parametrize(
  ("name", "example"),
  [
    ("v5e:4", "v5e:4x4"),
    ("v5e:4x4x4", "v5e:4x4"),
    ("v5e:", "v5e:4x4"),
    ("v5e:0x4", "v5e:4x4"),
    ("v5e:-4x4", "v5e:4x4"),
    ("v5e:4 x4", "v5e:4x4"),
    ("v4:4x4", "v4:4x4x4"),
    ("h100:8", "h100:1x2x8"),
  ],
)
def test_impossible_shapes_are_refused_with_an_example(name, example):
  with pytest.raises(InputError, match=f"such as {example}."):
    topologies.parse(name)


def test_chips_of_one_generation_cost_less_memory_than_is_sold():
  sold = {"v4": 32, "v5e": 16, "v5p": 96, "v6e": 32}
  for name, chip in topologies.CHIPS.items():
    assert 0.9 < chip.hbm_bytes / topologies.GIB / sold[name] < 1
