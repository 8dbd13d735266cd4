"""XLA's printed programs: exchanges, loops and work, against what the program is.

tests/aot/goldens/make.py says what is in the two texts.
"""

import pathlib

import pytest

from mhmr_jax.aot import exchanges, hlo, work
from tests.aot.goldens.make import FEATURES, ROWS, TURNS, WIDTH

GOLDENS = pathlib.Path(__file__).parent / "goldens"
BACKENDS = ("cpu", "tpu")


def golden(backend: str) -> hlo.Module:
  return hlo.parse((GOLDENS / f"scan_{backend}.hlo").read_text())


@pytest.mark.parametrize("backend", BACKENDS)
def test_exchanges_are_found_in_and_out_of_the_loop(backend):
  inside, outside = exchanges.collectives(golden(backend))
  assert inside.kind == outside.kind == "all-reduce"
  assert inside.devices == outside.devices == 4
  assert (inside.times, inside.elements, inside.bytes) == (TURNS, ROWS * FEATURES, 4096)
  assert inside.loop.endswith("/while")
  assert inside.op_name.endswith("/psum")
  assert (outside.times, outside.elements, outside.bytes) == (1, FEATURES, 1024)
  assert outside.loop == ""


@pytest.mark.parametrize("backend", BACKENDS)
def test_products_of_a_loop_count_at_every_turn_after_the_first(backend):
  product = 2 * ROWS * WIDTH * FEATURES
  assert work.loop_flops(golden(backend)) == (TURNS - 1) * product


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_loops_body_runs_as_often_as_it_turns(backend):
  runs = list(hlo.executed(golden(backend)))
  (loop,) = [run for run in runs if run.instruction.opcode == "while"]
  assert (loop.times, loop.loop) == (1, "")
  products = [run for run in runs if run.instruction.op_name.endswith("/dot_general")]
  assert [run.times for run in products] == [TURNS]


def test_only_main_memory_counts_and_tiles_are_full():
  # The kernel and the inputs are read once and kept on the chip, the first frame is
  # read again for the last product, and the result is written: the rest is scalars.
  expected = 4 * (WIDTH * FEATURES + 2 * TURNS * ROWS * WIDTH + FEATURES)
  assert work.hbm_traffic(golden("tpu")) == pytest.approx(expected, rel=2e-3)


def test_estimated_cycles_count_every_turn():
  text = (GOLDENS / "scan_tpu.hlo").read_text()
  in_loop = 2088 + 1851
  outside = 1829 + 1881 + 2373 + 1849
  assert text.count('"estimated_cycles"') == 6
  assert work.estimated_cycles(golden("tpu")) == TURNS * in_loop + outside


@pytest.mark.parametrize(
  ("shape", "expected"),
  [
    ("f32[8,31]{1,0}", 8 * 31 * 4),
    ("bf16[3,64]{1,0:T(8,128)(2,1)}", 8 * 128 * 2),  # Padded on both axes.
    ("bf16[3,64]{0,1:T(8,128)(2,1)}", 64 * 128 * 2),  # The first axis is the minor one.
    ("f32[5,4,128]{2,1,0:T(4,128)}", 5 * 4 * 128 * 4),
    ("f32[256]{0:T(256)S(1)}", 0),  # On the chip.
    ("pred[]{:T(512)}", 1),
    ("(s32[], u8[10]{0}, token[])", 4 + 10),
    ("s4[16]{0}", 8),
    ("f8e4m3fn[16]{0}", 16),
  ],
)
def test_bytes_of_a_shape(shape, expected):
  assert hlo.hbm_bytes(shape) == expected


@pytest.mark.parametrize(
  ("groups", "expected"),
  [
    ("replica_groups={{0,1},{2,3}}", 2),
    ("replica_groups=[2,8]<=[16]", 8),
    ("replica_groups=[4,2]<=[2,4]T(1,0)", 2),
    ("replica_groups=mesh['a'=8,'b'=2] {'a'}", 8),
    ("replica_groups=mesh['a'=8,'b'=2,'c'=1] {'a','b'}", 16),
  ],
)
def test_groups_of_devices_in_every_notation(groups, expected):
  text = f"""HloModule m

ENTRY %main (x: f32[4]) -> f32[4] {{
  %x = f32[4]{{0}} parameter(0)
  ROOT %y = f32[4]{{0}} all-reduce(%x), channel_id=1, {groups}, to_apply=%add
}}
"""
  (collective,) = exchanges.collectives(hlo.parse(text))
  assert collective.devices == expected


# Hand-written after what XLA's GPU and TPU backends print.
ASYNCHRONOUS = """HloModule m

%gathered (p: f32[4]) -> f32[16] {
  %p = f32[4]{0} parameter(0)
  ROOT %all-gather.2 = f32[16]{0} all-gather(%p), replica_groups=[1,4]<=[4]
}

ENTRY %main (x: f32[4]) -> f32[16] {
  %x = f32[4]{0} parameter(0)
  %start = (f32[4]{0}, f32[16]{0}) all-gather-start(%x), replica_groups=[1,4]<=[4]
  %done = f32[16]{0} all-gather-done(%start)
  %scatter = f32[1]{0} reduce-scatter(%x), replica_groups=[1,4]<=[4], to_apply=%add
  ROOT %fused = f32[16]{0} fusion(%x), kind=kCustom, calls=%gathered
}
"""


def test_bytes_are_those_of_the_whole_that_is_gathered_or_scattered():
  found = [(c.kind, c.bytes) for c in exchanges.collectives(hlo.parse(ASYNCHRONOUS))]
  assert found == [("all-gather", 64), ("reduce-scatter", 16), ("all-gather", 64)]


IN_PLACE = """HloModule m

%updated (array: f32[31,128], row: f32[1,128], at: s32[]) -> f32[31,128] {
  %array = f32[31,128]{1,0} parameter(0)
  %row = f32[1,128]{1,0} parameter(1)
  %at = s32[] parameter(2)
  %zero = s32[] constant(0)
  ROOT %put = f32[31,128]{1,0} dynamic-update-slice(%array, %row, %at, %zero)
}

ENTRY %main (a: f32[31,128], r: f32[1,128], i: s32[]) -> f32[31,128] {
  %a = f32[31,128]{1,0} parameter(0)
  %r = f32[1,128]{1,0} parameter(1)
  %i = s32[] parameter(2)
  ROOT %new = f32[31,128]{1,0} fusion(%a, %r, %i), kind=kLoop, calls=%updated
}
"""


def test_of_an_array_updated_in_place_only_the_part_moves():
  row_read, row_written, index = 128 * 4, 128 * 4, 4
  moved = work.hbm_traffic(hlo.parse(IN_PLACE))
  assert moved == row_read + row_written + index


def test_a_copy_to_the_chip_reads_main_memory_once():
  text = """HloModule m

ENTRY %main (x: f32[256]) -> f32[256] {
  %x = f32[256]{0:T(256)} parameter(0)
  %go = (f32[256]{0:T(256)S(1)}, f32[256]{0:T(256)}, u32[]{:S(2)}) copy-start(%x)
  ROOT %y = f32[256]{0:T(256)S(1)} copy-done(%go)
}
"""
  assert work.hbm_traffic(hlo.parse(text)) == 256 * 4


def test_a_loop_of_unknown_length_counts_once():
  text = (GOLDENS / "scan_cpu.hlo").read_text().replace("known_trip_count", "unknown")
  inside, _ = exchanges.collectives(hlo.parse(text))
  assert inside.times == 1
