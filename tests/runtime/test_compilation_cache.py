"""Compiled programs are kept on disk, and found again by other processes."""

import os
import pathlib
import subprocess
import sys

import pytest

from tests import tiny

_PREDICT = """
import jax, numpy as np
from mhmr_jax.inference import packed, streaming
from mhmr_jax.runtime import compilation_cache
compilation_cache.keep()
run = packed.read()
step, carry = streaming.make_step(run.config, run.variables, mirrored=True)
window = run.config.data.window
step({
  "keypoints": np.ones((1, window, 17, 3), np.float32),
  "window": np.full((1, 3), 0.3, np.float32),
  "valid": np.ones((1, window), bool),
}, carry)
"""


@pytest.mark.slow
def test_a_second_process_compiles_no_network_anew(tmp_path):
  found = []
  for seed in ("1", "2"):  # Sets have another order in each process.
    environment = os.environ | {"HOME": str(tmp_path), "PYTHONHASHSEED": seed}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    subprocess.run(
      [sys.executable, "-c", _PREDICT], cwd=tiny.ROOT, env=environment, check=True
    )
    folder = pathlib.Path(tmp_path / ".cache" / "mhmr_jax" / "compiled")
    found.append({path.name for path in folder.rglob("*mirrored*-cache")})
  assert len(found[0]) == 1
  assert found[0] == found[1]
