"""Files of other methods' predictions: matched by name and frame, or refused."""

import zipfile

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mhmr_jax.body import smpl
from mhmr_jax.body.gendered import Bodies
from mhmr_jax.errors import InputError
from mhmr_jax.evaluation import predictions_file, protocols
from mhmr_jax.evaluation.scores import Scorer
from mhmr_jax.evaluation.truth import Truth
from mhmr_jax.runtime import sharding

TRACKS = {"street_00_0": [0, 1, 2, 3], "street_00_1": [2, 3, 7]}


BODY = smpl.load()
NUM_VERTICES = len(BODY.v_template)


def _scorer(protocol="smpl24"):
  """A scorer of two tracks, whose very last frame does not count."""
  clips = [
    {
      "pose": np.zeros((len(frames), 24, 3), np.float32),
      "betas": np.zeros(10, np.float32),
      "joints_camera": np.zeros((len(frames), 24, 3), np.float32),
      "keypoints_image": np.ones((len(frames), 17, 3), np.float32),
      "valid": np.array([frame != 7 for frame in frames]),
      "frame_index": np.array(frames),
      "fps": 30.0,
      "sequence": name,
    }
    for name, frames in TRACKS.items()
  ]
  truth = Truth.of(clips, "threedpw")
  mesh = sharding.make_mesh()
  return Scorer(protocols.get(protocol), None, Bodies(BODY), truth, mesh)


def _rows(seed=0):
  """All frames of both tracks, shuffled, and one of a stranger."""
  rng = np.random.default_rng(seed)
  rows = [(name, frame) for name, frames in TRACKS.items() for frame in frames]
  rows = [rows[i] for i in rng.permutation(len(rows))] + [("nobody_0", 5)]
  names, frames = zip(*rows, strict=True)
  return {"sequence": np.array(names), "frame_index": np.array(frames)}


def _save(path, **arrays):
  np.savez(path, **{k: v for k, v in arrays.items() if v is not None})
  return path


def _read(path, scorer):
  return predictions_file.match(predictions_file.load(path), scorer)


def _wanted(arrays, values):
  """The values in the truth's order, found one by one."""
  where = zip(arrays["sequence"].tolist(), arrays["frame_index"].tolist(), strict=True)
  row_of = {key: row for row, key in enumerate(where)}
  keys = [(name, frame) for name, frames in TRACKS.items() for frame in frames]
  return values[[row_of[key] for key in keys]]


@pytest.mark.parametrize("flat", [False, True])
def test_bodies_are_matched_by_name_and_frame(tmp_path, caplog, flat):
  rows = _rows()
  rng = np.random.default_rng(1)
  pose, betas = rng.normal(size=(8, 24, 3)), rng.normal(size=(8, 10))
  stored = pose.reshape(8, 72) if flat else pose
  path = _save(tmp_path / "a.npz", **rows, pose=stored, betas=betas)
  found = _read(path, _scorer())
  assert found.present.all()
  matrices = Rotation.from_rotvec(_wanted(rows, pose).reshape(-1, 3)).as_matrix()
  np.testing.assert_allclose(
    found.arrays["rotations"].reshape(-1, 3, 3), matrices, atol=1e-5
  )
  np.testing.assert_allclose(found.arrays["betas"], _wanted(rows, betas), rtol=1e-6)
  assert "nobody_0" in caplog.text


def test_people_may_be_numbered_apart(tmp_path):
  rows = _rows()
  names = [name.rpartition("_") for name in rows["sequence"].tolist()]
  people = {
    "sequence": np.array([n[0] for n in names]),
    "person": np.array([int(n[2]) for n in names]),
    "frame_index": rows["frame_index"],
  }
  vertices = np.random.default_rng(2).normal(size=(8, NUM_VERTICES, 3))
  path = _save(tmp_path / "a.npz", **people, vertices=vertices.astype(np.float16))
  found = _read(path, _scorer())
  expected = _wanted(rows, vertices.astype(np.float16))
  np.testing.assert_array_equal(found.arrays["vertices"], expected)


def test_names_may_be_bytes(tmp_path, caplog):
  rows = _rows()
  names = np.array([name.encode() for name in rows["sequence"].tolist()])
  names[-1] = b"\xff\xfe"  # No UTF-8: it is nobody's name.
  path = _save(tmp_path / "a.npz", **{**rows, "sequence": names}, **POSE)
  assert _read(path, _scorer()).present.all()
  assert "which the dataset has no clip of" in caplog.text


def test_rows_without_a_prediction_may_be_nan(tmp_path):
  joints = np.ones((8, 24, 3))
  joints[-1] = np.nan
  path = _save(tmp_path / "a.npz", **_rows(), joints=joints)
  assert np.isfinite(_read(path, _scorer()).arrays["points"]).all()


def test_missing_frames_are_counted_and_named(tmp_path, caplog):
  rows = _rows()
  lacking = (rows["sequence"] == "street_00_1") & (rows["frame_index"] != 3)
  kept = {name: values[~lacking] for name, values in rows.items()}
  count = len(kept["sequence"])
  path = _save(tmp_path / "a.npz", **kept, joints=np.ones((count, 24, 3)))
  found = _read(path, _scorer())
  np.testing.assert_array_equal(found.present, [1, 1, 1, 1, 0, 1, 0])
  # The other missing frame does not count.
  assert "lacks 1 of the 6 frames" in caplog.text
  assert "street_00_1 (1)" in caplog.text


@pytest.mark.parametrize(
  ("protocol", "shape", "rows", "root"),
  [
    ("smpl24", 24, range(24), [0]),
    ("hmmr", 14, range(14), [2, 3]),
    ("hmmr", 19, range(14), [2, 3]),
    ("spin", 17, [6, 5, 4, 1, 2, 3, 16, 15, 14, 11, 12, 13, 8, 10], [0]),
  ],
)
def test_joints_are_the_protocols_or_the_regressors(
  tmp_path, protocol, shape, rows, root
):
  keys = _rows()
  joints = np.random.default_rng(3).normal(size=(8, shape, 3)).astype(np.float32)
  path = _save(tmp_path / "a.npz", **keys, joints=joints)
  points = _read(path, _scorer(protocol)).arrays["points"]
  wanted = _wanted(keys, joints)
  np.testing.assert_array_equal(points[:, :-1], wanted[:, list(rows)])
  np.testing.assert_allclose(points[:, -1], wanted[:, root].mean(1), rtol=1e-6)


def test_spins_root_is_given_apart_or_asked_for(tmp_path):
  keys = _rows()
  joints, root = np.ones((8, 14, 3)), np.arange(24.0).reshape(8, 3)
  path = _save(tmp_path / "a.npz", **keys, joints=joints)
  with pytest.raises(InputError, match="H36M pelvis"):
    _read(path, _scorer("spin"))
  path = _save(tmp_path / "b.npz", **keys, joints=joints, root=root)
  points = _read(path, _scorer("spin")).arrays["points"]
  np.testing.assert_array_equal(points[:, -1], _wanted(keys, root))


POSE = {"pose": np.zeros((8, 24, 3)), "betas": np.zeros((8, 10))}


@pytest.mark.parametrize(
  ("changed", "words"),
  [
    ({"sequence": None, **POSE}, "has no sequence"),
    ({"frame_index": None, **POSE}, "has no frame_index"),
    ({"pose": POSE["pose"]}, "has no betas"),
    ({}, "pose and betas, or joints, or vertices"),
    ({**POSE, "joints": np.zeros((8, 24, 3))}, "pose and joints"),
    ({**POSE, "sequence": np.arange(8)}, "not text"),
    ({**POSE, "frame_index": np.zeros(8)}, "not whole numbers"),
    ({**POSE, "frame_index": np.zeros(7, int)}, "7 rows"),
    ({**POSE, "person": np.zeros(9, int)}, "9 rows"),
    ({**POSE, "betas": np.zeros((8, 300))}, "betas"),
    ({"pose": np.zeros((8, 23, 3)), "betas": POSE["betas"]}, "pose"),
    ({"joints": np.zeros((8, 13, 3))}, "has 24 joints"),
    ({"joints": np.full((8, 24, 3), "a")}, "not numbers"),
    ({"joints": np.full((8, 24, 3), None)}, "Python objects"),
    ({"vertices": np.zeros((8, 6890, 3))}, "vertices"),
    ({"sequence": np.array([], str), "joints": np.zeros((0, 24, 3))}, "has no rows"),
    ({"pose": np.float32(1), "betas": POSE["betas"]}, "pose of .* a single number"),
    ({**POSE, "sequence": np.array("street_00_0")}, "not text"),
    ({"pose": np.zeros((0, 72)), "betas": POSE["betas"]}, "pose of .* has 0 rows"),
    ({"pose": np.zeros((8, 0)), "betas": POSE["betas"]}, "pose of .* shape"),
    ({"joints": np.full((8, 24, 3), 1e30)}, "joints .* beyond 10,000: give metres"),
    ({"joints": np.full((8, 24, 3), 2**62)}, "joints .* beyond 10,000: give metres"),
    ({"joints": np.full((8, 24, 3), -np.inf)}, "joints .* beyond 10,000: give metres"),
    ({**POSE, "sequence": np.array(["street_00_0"] * 8)}, None),
    ({**POSE, "frame_index": np.array([3] * 8)}, "more than one row"),
  ],
)
def test_other_layouts_are_refused_by_name(tmp_path, changed, words):
  path = _save(tmp_path / "a.npz", **{**_rows(), **changed})
  if words is None:  # Frames of both, called by one name: 2 and 3 are there twice.
    words = "more than one row for a frame of street_00_0"
  with pytest.raises(InputError, match=words):
    _read(path, _scorer())


def test_headers_that_promise_what_is_not_there_are_refused(tmp_path):
  path = _save(tmp_path / "a.npz", **_rows())
  header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (%d, 24, 3), }"
  for count in (10**9, 9):
    with zipfile.ZipFile(path, "a") as archive:
      text = (header % count).ljust(117) + b"\n"
      archive.writestr("joints.npy", b"\x93NUMPY\x01\x00v\x00" + text)
    with pytest.raises(InputError, match="refused"):
      _read(path, _scorer())
    path = _save(tmp_path / "b.npz", **_rows())
  path.write_bytes(path.read_bytes()[:200])
  with pytest.raises(InputError, match="damaged"):
    _read(path, _scorer())
  with pytest.raises(InputError, match="no file of predictions"):
    _read(tmp_path / "absent.npz", _scorer())
