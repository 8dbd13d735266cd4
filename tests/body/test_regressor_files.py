"""Regressors made up on the free body: which order they are in is read off it."""

import pickle

import numpy as np
import pytest
from scipy import sparse

from mhmr_jax.body import joints, regressor_files, smpl
from mhmr_jax.errors import InputError
from tests.body.made_up_regressors import SWAPPED_LEGS, made_up


@pytest.fixture(scope="module")
def body():
  return smpl.load()


@pytest.mark.parametrize("kind", ["h36m", "cocoplus"])
@pytest.mark.parametrize("form", ["npy", "npz", "pkl", "sparse", "turned"])
def test_a_regressor_is_read_from_each_form(body, tmp_path, kind, form):
  regressor = made_up(body, regressor_files.KINDS[kind])
  path = tmp_path / f"regressor.{dict(sparse='pkl', turned='npy').get(form, form)}"
  if form == "npz":
    np.savez(path, **{"other": np.zeros(3), regressor_files._KEYS[kind]: regressor})
  elif form == "pkl":
    path.write_bytes(pickle.dumps(regressor, protocol=2))
  elif form == "sparse":
    values = {regressor_files._KEYS[kind]: sparse.csc_matrix(regressor), "f": [1]}
    path.write_bytes(pickle.dumps(values, protocol=2))
  else:
    np.save(path, regressor.T if form == "turned" else regressor)
  np.testing.assert_array_equal(regressor_files.read(path, kind, body), regressor)


def test_swapped_legs_are_put_right_and_said(body, tmp_path, caplog):
  regressor = made_up(body, joints.H36M_JOINTS)
  np.save(tmp_path / "swapped.npy", regressor[SWAPPED_LEGS])
  found = regressor_files.read(tmp_path / "swapped.npy", "h36m", body)
  np.testing.assert_array_equal(found, regressor)
  assert "legs were swapped" in caplog.text
  points = found @ np.asarray(body.v_template)
  assert (points[1:4, 0] > 0.05).all()
  assert (points[4:7, 0] < -0.05).all()


@pytest.mark.parametrize(
  ("rows", "words"),
  [
    ([*range(11), 14, 15, 16, 11, 12, 13], "left_shoulder"),
    ([0, 4, 2, 3, 1, 5, 6, *range(7, 17)], "left_hip"),
    ([0, 3, 2, 1, 6, 5, 4, *range(7, 17)], "left_ankle"),
    ([*range(8), 10, 9, 8, *range(11, 17)], "head_top"),
    ([8, *range(1, 8), 0, *range(9, 17)], "pelvis"),
  ],
)
def test_unknown_orders_are_refused_by_name(body, tmp_path, rows, words):
  np.save(tmp_path / "odd.npy", made_up(body, joints.H36M_JOINTS)[rows])
  with pytest.raises(InputError, match=words):
    regressor_files.read(tmp_path / "odd.npy", "h36m", body)


def test_swapped_legs_of_the_other_kind_are_refused(body, tmp_path):
  rows = [5, 4, 3, 2, 1, 0, *range(6, 19)]
  np.save(tmp_path / "odd.npy", made_up(body, joints.COCOPLUS_JOINTS)[rows])
  with pytest.raises(InputError, match="right_ankle"):
    regressor_files.read(tmp_path / "odd.npy", "cocoplus", body)


class _Runs:
  def __reduce__(self):
    return print, ("this ran",)


def test_what_is_no_regressor_is_refused(body, tmp_path, capsys):
  num_vertices = len(body.v_template)
  regressor = made_up(body, joints.H36M_JOINTS)
  huge = b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, "
  huge += b"'shape': (17, 800000000), }"
  files = {
    "mesh.npy": ("another mesh", lambda p: np.save(p, regressor[:, :-1])),
    "rows.npy": ("another mesh", lambda p: np.save(p, np.zeros((24, num_vertices)))),
    "nan.npy": ("finite", lambda p: np.save(p, regressor * np.nan)),
    "text.npy": ("finite", lambda p: np.save(p, regressor.astype("U4"))),
    "objects.npy": (
      "Python objects",
      lambda p: np.save(p, regressor.astype(object), allow_pickle=True),
    ),
    "huge.npy": ("do not hold", lambda p: p.write_bytes(huge.ljust(127) + b"\n")),
    "cut.npy": ("damaged", lambda p: p.write_bytes(b"\x93NUMPY")),
    "none.npz": ("has no array", lambda p: np.savez(p, a=regressor, b=regressor)),
    "runs.pkl": ("refused", lambda p: p.write_bytes(pickle.dumps(_Runs(), protocol=2))),
    "words.txt": ("neither", lambda p: p.write_text("0 1")),
  }
  for name, (words, write) in files.items():
    write(tmp_path / name)
    with pytest.raises(InputError, match=words):
      regressor_files.read(tmp_path / name, "h36m", body)
  with pytest.raises(InputError, match="There is no joint regressor"):
    regressor_files.read(tmp_path / "absent.npy", "h36m", body)
  assert "this ran" not in capsys.readouterr().out
