"""Model files in SMPL's official form load; others are refused in one sentence."""

import pickle

import numpy as np
import pytest
from scipy import sparse

from mhmr_jax.body import model_files, smpl
from mhmr_jax.errors import InputError
from tests.body import random_smpl
from tests.files import python2


def write(folder, data: bytes):
  path = folder / "model.pkl"
  path.write_bytes(data)
  return path


def check_refused(path, match: str = "") -> None:
  with pytest.raises(InputError, match=rf"(?s)(?=.*{path.name}).*{match}"):
    model_files.read_model(path)


def test_an_official_style_pickle_gives_the_npzs_model(tmp_path, monkeypatch):
  chumpy = python2.stand_in_for_chumpy(monkeypatch)
  data = random_smpl.arrays(120)
  np.savez(tmp_path / "model.npz", **data)
  shapedirs = np.concatenate([data["shapedirs"], np.ones((120, 3, 2))], axis=-1)
  index = np.arange(shapedirs.size).reshape(shapedirs.shape)[..., :10]
  official = {
    **data,
    "v_template": chumpy.ch(data["v_template"]),
    "shapedirs": chumpy.select(chumpy.ch(shapedirs), index.ravel(), (120, 3, 10)),
    "posedirs": chumpy.ch(np.asfortranarray(data["posedirs"])),
    "J_regressor": sparse.csc_matrix(data["J_regressor"]),
    "weights": chumpy.ch(data["weights"]),
    "pose_training_info": {"gender": "male", "count": 3},
    "bs_type": "lrotmin",
  }
  path = write(tmp_path, python2.dumps(official))
  assert b"chumpy.ch\nCh\n" in path.read_bytes()
  loaded, expected = smpl.load(path), smpl.load(tmp_path / "model.npz")
  for name in ("v_template", "shapedirs", "posedirs", "joint_template", "weights"):
    np.testing.assert_array_equal(getattr(loaded, name), getattr(expected, name))


@pytest.mark.parametrize("form", [sparse.csc_matrix, sparse.csr_matrix])
def test_sparse_matrices_are_made_dense(tmp_path, form):
  dense = np.diag([1.0, 0, 3])[:2]
  path = write(tmp_path, pickle.dumps({"J": form(dense)}, protocol=2))
  np.testing.assert_array_equal(model_files.read_model(path)["J"], dense)


def test_a_sparse_matrix_too_large_to_unfold_is_refused(tmp_path):
  huge = sparse.csr_matrix(([1.0], [0], [0, 1]), shape=(1, 2**30))
  check_refused(write(tmp_path, pickle.dumps({"J": huge}, protocol=2)), "too large")


def test_hostile_files_are_refused(tmp_path):
  check_refused(write(tmp_path, b"cposix\nsystem\n."), r"posix\.system")
  np.savez(tmp_path / "model.npz", v_template=np.array([{"a": 1}]))
  check_refused(tmp_path / "model.npz", "Python objects in v_template")


def test_other_files_are_refused(tmp_path):
  check_refused(tmp_path / "missing.pkl", "there is no")
  (tmp_path / "model.obj").write_text("v 0 0 0")
  check_refused(tmp_path / "model.obj", "neither")
  check_refused(write(tmp_path, pickle.dumps([1, 2])), "does not hold a dict")
  (tmp_path / "folder.npz").mkdir()
  check_refused(tmp_path / "folder.npz")
