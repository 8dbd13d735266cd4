"""Keeps compiled programs on disk, so that the next run need not compile them again."""

import hashlib
import os
import pathlib
import platform
import sys

_FOLDER = pathlib.Path("~/.cache/mhmr_jax/compiled")
# The least seconds of compilation that are worth a file.
_LEAST_SECONDS = 0.2


def keep() -> None:
  """Has JAX keep what it compiles, unless a folder for it is configured already.

  This does not import JAX, which takes a second and which not every program needs.
  The folder is the kind of processor's own: programs compiled for a newer one crash on
  an older one, and machines may share a home folder.
  """
  folder = str(_FOLDER.expanduser() / _processor())
  if "jax" not in sys.modules:
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
      os.environ["JAX_COMPILATION_CACHE_DIR"] = folder
      os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = str(_LEAST_SECONDS)
    return
  import jax

  if jax.config.values.get("jax_compilation_cache_dir") is None:
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", _LEAST_SECONDS)


def _processor() -> str:
  """A name for the kind of processor, from its instruction sets if they are known."""
  told = pathlib.Path("/proc/cpuinfo")
  lines = told.read_text().splitlines() if told.is_file() else []
  kinds = {line for line in lines if line.startswith(("flags", "Features"))}
  digest = hashlib.sha256("".join(sorted(kinds)).encode()).hexdigest()[:12]
  return f"{platform.machine()}-{digest}"
