"""The program that compiles for accelerators that you don't have."""

import importlib.util
import json
import sys

import jax
import pytest
from absl import flags
from absl.testing import flagsaver

from mhmr_jax import compile as program
from mhmr_jax.aot import measure, topologies
from mhmr_jax.errors import InputError
from tests import tiny

ROOM = 21  # Clips a chip with which the invented step of these tests still fits.


def run(tmp_path, *arguments: str) -> tuple[int, str, str]:
  return tiny.run("compile", *tiny.flags(tmp_path), *arguments)


def test_bad_flags_are_named(tmp_path, monkeypatch):
  monkeypatch.setattr(program, "_CONFIG", tiny.config_flag(tiny.config(tmp_path)))
  with (
    flagsaver.flagsaver(topology="v5e:2x2", price=-1.0),
    pytest.raises(InputError, match=r"^--price=-1\.0: give what a chip costs"),
  ):
    program.main([])
  with pytest.raises(flags.IllegalFlagValueError, match="effort"):
    flags.FLAGS["effort"].parse("least")


@pytest.mark.parametrize(
  ("name", "module", "extra"),
  [("v5e:2x2", "libtpu", "tpu-aot"), ("h100:1x1x8", "jax_plugins", "gpu-aot")],
)
def test_a_missing_compiler_says_what_to_install(monkeypatch, name, module, extra):
  monkeypatch.setitem(sys.modules, module, None)
  with pytest.raises(InputError, match=rf"pip install -e '.\[{extra}\]'"):
    measure.check_installed(topologies.parse(name))


class Pretended(program.Compiler):
  """A compiler of steps that fit with `ROOM` clips a chip or fewer."""

  def __init__(self, room: int):
    self.topology = topologies.parse("v5e:2x2")
    self.limit = 16e9
    self.room = room
    self.asked: list[int] = []

  def cost(self, step: str, batch_per_chip: int, effort: str) -> measure.Cost:
    assert (step, effort) == ("train", "low")
    self.asked.append(batch_per_chip)
    full = "" if batch_per_chip <= self.room else "Ran out of memory"
    return measure.Cost(out_of_memory=full)


@pytest.mark.parametrize("room", [1, 5, 8, ROOM, 64])
def test_the_largest_batch_is_found(room, capsys):
  compiler = Pretended(room)
  assert compiler.largest_batch() == room
  assert len(compiler.asked) == len(set(compiler.asked)) <= 11
  assert "does not fit" in capsys.readouterr().out


def test_where_not_one_clip_fits_remat_is_suggested():
  with pytest.raises(InputError, match="remat=True"):
    Pretended(0).largest_batch()


@pytest.mark.parametrize(
  ("message", "expected"),
  [
    ("Used 17.05G of 15.75G hbm.", 17.05 * 2**30),
    ("for HLO temporaries (512.5M) exceeds available HBM (15.75G)", 512.5 * 2**20),
    ("no figures", 0),
  ],
)
def test_what_does_not_fit_says_what_it_would_take(message, expected):
  assert measure.wanted_bytes(message) == pytest.approx(expected)


def test_a_step_is_measured_on_a_device_that_is_here(tmp_path, monkeypatch):
  # All but the topology, which needs a compiler for TPUs.
  monkeypatch.setattr(measure, "_devices", lambda topology, target: jax.devices()[:1])
  config = tiny.config(tmp_path)
  kept = tmp_path / "eval.hlo"
  cost = measure.compile_step(
    config, topologies.parse("v5e:2x2"), "eval", "default", text_file=str(kept)
  )
  (turns,) = cost.loops.values()
  assert turns == config.data.window
  assert cost.flops > 0
  assert cost.peak > cost.arguments > 4 * cost.parameters
  assert cost.collectives == ()
  assert not cost.out_of_memory
  assert kept.read_text().startswith("HloModule")


def test_an_unknown_field_of_a_gpu_is_named():
  errors = (
    b"E0000 text_format.cc:378] Error parsing text-format xla.GpuTargetConfigProto: "
    b'207:32: Message type "xla.GpuDeviceInfoProto" has no field named "granularity".\n'
    b"jax.errors.JaxRuntimeError: FAILED_PRECONDITION: Failed to parse the parameter.\n"
  )
  assert measure._reason(errors) == (
    "line 207 of --gpu_target is unknown to this version's compiler (Message type "
    '"xla.GpuDeviceInfoProto" has no field named "granularity"): delete that field, or '
    "take the file of an older XLA."
  )


@pytest.mark.slow
def test_a_tiny_step_compiles_for_a_slice(tmp_path):
  if importlib.util.find_spec("libtpu") is None:
    pytest.skip("libtpu is not installed: pip install -e '.[tpu-aot]'")
  status, output, errors = run(
    tmp_path, "--topology=v5e:2x2", "--batch_per_chip=2", "--effort=low", "--price=1"
  )
  assert status == 0, errors
  found = json.loads(output.splitlines()[-1])
  assert found["chips"] == 4
  assert found["fits"] is True
  assert found["collectives_in_loop"] == 0
  assert found["hbm_peak_gb"] < 1
  assert found["roofline_s"] > 0
  assert found["eval"]["collectives"] == 0
  status, _, errors = run(tmp_path, "--topology=v5e:16x32", "--batch_per_chip=1")
  assert status == 1
  assert errors.count("\n") == 1
  assert "v5e:16x32 cannot be compiled for" in errors
