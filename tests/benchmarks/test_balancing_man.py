"""What becomes of wheels that are not those expected; the real ones are not fetched."""

import pytest

from mhmr_jax.errors import InputError
from tests.benchmarks import balancing_man
from tests.benchmarks.limb_errors import LIMB_JOINTS


def test_another_wheel_of_the_same_name_is_refused(tmp_path):
  (tmp_path / "pose2sim-0.4.0-py3-none-any.whl").write_bytes(b"another")
  with pytest.raises(InputError, match=r"0\.4\.0-py3-none-any\.whl is not the wheel"):
    balancing_man.fetch(tmp_path)
  assert len(list(tmp_path.iterdir())) == 1


def test_names_of_markers():
  markers = [balancing_man.marker(name) for name in LIMB_JOINTS]
  assert markers[:4] == ["LHip", "RHip", "LKnee", "RKnee"]
