"""The file of a predicted motion: its keys and types, and what a failure leaves."""

import numpy as np
import pytest

from mhmr_jax.errors import InputError
from mhmr_jax.export import prediction_npz
from mhmr_jax.schema import Motion


def _motion():
  shapes = [(24, 3), (10,), (3,), (4,), (3,), (24, 3), (24, 2)]
  rng = np.random.default_rng(0)
  columns = (rng.normal(size=(5, *shape)).astype(np.float32) for shape in shapes)
  return Motion(np.arange(5), *columns)


def test_every_field_is_an_array_of_its_name_and_type(tmp_path):
  motion = _motion()
  prediction_npz.write(tmp_path / "prediction.npz", motion)
  with np.load(tmp_path / "prediction.npz") as file:
    assert set(file) == {
      *("frame_index", "pose", "betas", "camera", "box", "transl_camera"),
      *("joints_camera", "keypoints_image"),
    }
    for name, column in motion._asdict().items():
      np.testing.assert_array_equal(file[name], column)
      assert file[name].dtype == column.dtype
  assert [path.name for path in tmp_path.iterdir()] == ["prediction.npz"]


def test_a_folder_that_is_missing_is_named(tmp_path):
  with pytest.raises(InputError, match=r"absent.*cannot be written"):
    prediction_npz.write(tmp_path / "absent" / "prediction.npz", _motion())
