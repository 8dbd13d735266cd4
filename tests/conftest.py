"""What all tests share: one folder a run, compiled programs in it, and fixtures."""

import contextlib
import functools
import gc
import itertools
import os
import pathlib
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator

import pytest
from absl import flags

from tests import (
  checked_calls,  # noqa: F401  # By its name, in setup.cfg.
  forked,
)

# The first process of a run makes the folder; its workers and the programs that tests
# start inherit the environment.
_FIRST = "MHMR_JAX_TEST_RUN" not in os.environ
if _FIRST:
  os.environ["MHMR_JAX_TEST_RUN"] = tempfile.mkdtemp(prefix="mhmr_jax_tests_")
_RUN = os.environ["MHMR_JAX_TEST_RUN"]
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Most time would go into compiling what runs for a moment: XLA and LLVM do less for it,
# and what one process compiled, the others read. XLA does not verify its programs after
# each of its passes. The arrays are too small to share out among threads.
os.environ.setdefault(
  "XLA_FLAGS",
  "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false "
  "--xla_cpu_parallel_codegen_split_count=1 --xla_llvm_disable_expensive_passes=true "
  "--xla_cpu_multi_thread_eigen=false --xla_disable_hlo_passes=hlo-verifier",
)
os.environ.setdefault("JAX_OPTIMIZATION_LEVEL", "O0")
# Nor does anyone read in compiled programs where an operation comes from.
os.environ.setdefault("JAX_TRACEBACK_IN_LOCATIONS_LIMIT", "0")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", f"{_RUN}/compiled")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
# Those who make clips have one thread, too.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Modules are compiled once, and not by each of the programs that tests start.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

gc.set_threshold(*forked.GARBAGE_THRESHOLDS)

# Grain's worker processes read absl flags, which pytest never parses.
flags.FLAGS.mark_as_parsed()

_at_end = contextlib.ExitStack()

_SHARED_DATA = pathlib.Path(__file__).parents[2] / "shared" / "data"


def pytest_configure(config: pytest.Config) -> None:
  if _FIRST:
    config.add_cleanup(functools.partial(shutil.rmtree, _RUN, ignore_errors=True))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
  """Begins with the files that have slow tests, so that no process waits at the end.

  The longest file is the first. It also makes what others need, which then do not wait
  for it.
  """
  slow = {item.path for item in items if item.get_closest_marker("slow")}
  longest = "test_distributed.py"
  items.sort(key=lambda item: (item.path.name != longest, item.path not in slow))


def pytest_unconfigure() -> None:
  _at_end.close()


def pytest_collection_finish() -> None:
  """Keeps modules and collected tests, which stay, out of the garbage collector."""
  _share_mlir_contexts()
  _share_a_clip_worker()
  gc.collect()
  gc.freeze()


def _share_mlir_contexts() -> None:
  """Has JAX lower a hundred programs in one MLIR context, and then take another.

  It makes a context for each, which takes five times as long as lowering a program of
  one operation. What programs leave in a context goes with it.
  """
  # Not imported above: the process that only hands out tests does without JAX.
  from jax._src.interpreters import mlir

  make = functools.lru_cache(1)(lambda _, make=mlir.make_ir_context: make())
  programs = itertools.count()
  mlir.make_ir_context = lambda: make(next(programs) // 100)


def _share_a_clip_worker() -> None:
  """Has all builds by one worker share it, as it takes seconds to start.

  Builds by several workers start their own.
  """
  if (clips := sys.modules.get("mhmr_jax.synth.clips")) is None:
    return  # No collected test makes clips.
  start = clips.workers
  shared = functools.cache(lambda: _at_end.enter_context(start(1)))
  clips.workers = lambda count: (
    contextlib.nullcontext(shared()) if count == 1 else start(count)
  )


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
  """A folder of real motion capture and video, kept outside the project."""
  if not _SHARED_DATA.is_dir():
    pytest.skip(f"the folder of real data is not at {_SHARED_DATA}")
  return _SHARED_DATA


@pytest.fixture(scope="module")
def little_to_collect() -> None:
  """For tests that train in this process, or read what cannot be read.

  These collect garbage, for more than a second each if they look through all that
  earlier tests have left: it is kept out of the garbage collector.
  """
  gc.collect()
  gc.freeze()


@pytest.fixture
def failed_read(little_to_collect: None) -> Iterator[None]:
  """For a test in which Orbax fails to read a checkpoint in this process.

  Of the coroutines of such a read, Orbax abandons those that have not begun when one
  fails. Python warns of each when it is collected, which may be in a later test: they
  are collected here, where the warning is ignored.
  """
  with warnings.catch_warnings():
    warnings.filterwarnings(
      "ignore", "coroutine .* was never awaited", category=RuntimeWarning
    )
    yield
    gc.collect()
