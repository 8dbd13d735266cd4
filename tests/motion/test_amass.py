import zipfile

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mhmr_jax.errors import InputError
from mhmr_jax.motion import amass


def _arrays(width=156, rate="mocap_framerate", frames=9):
  rng = np.random.default_rng(0)
  return {
    "poses": rng.normal(0, 0.3, (frames, width)),
    "trans": rng.normal(0, 1, (frames, 3)),
    "betas": np.zeros(16),
    "gender": np.array("female"),
    rate: np.array(120.0),
  }


@pytest.mark.parametrize("width", [72, 156, 165])
@pytest.mark.parametrize("rate", ["mocap_framerate", "mocap_frame_rate"])
def test_reads_the_body_s_joints_with_y_up(tmp_path, width, rate):
  arrays = _arrays(width, rate)
  np.savez(tmp_path / "a.npz", **arrays)
  motion = amass.read(tmp_path / "a.npz")
  assert motion.pose.shape == (3, 24, 3)
  assert motion.fps == 30.0
  poses, trans = arrays["poses"][::4], arrays["trans"][::4]
  np.testing.assert_allclose(
    motion.pose[:, 1:22], poses[:, 3:66].reshape(3, 21, 3), 1e-6
  )
  assert not motion.pose[:, 22:].any()
  x, y, z = trans.T
  np.testing.assert_allclose(motion.transl, np.stack([x, z, -y], -1), rtol=1e-6)
  # The directions of the body's axes in AMASS's z-up world and in the y-up one.
  for axis in np.eye(3):
    x, y, z = Rotation.from_rotvec(poses[:, :3]).apply(axis).T
    now = Rotation.from_rotvec(motion.pose[:, 0]).apply(axis)
    np.testing.assert_allclose(now, np.stack([x, z, -y], -1), atol=1e-6)


@pytest.mark.parametrize("rate", [[120.0], [[120]]])
def test_a_rate_may_stand_in_brackets_and_the_gender_be_bytes(tmp_path, rate):
  arrays = _arrays()
  np.savez(tmp_path / "a.npz", **arrays)
  arrays |= {"mocap_framerate": np.array(rate), "gender": np.array(b"male")}
  np.savez(tmp_path / "b.npz", **arrays)
  one, other = (amass.read(tmp_path / f"{name}.npz") for name in "ab")
  np.testing.assert_array_equal(one.pose, other.pose)


def test_somebody_upright_stays_upright(tmp_path):
  arrays = _arrays()
  arrays["poses"][:, :3] = [np.pi / 2, 0, 0]  # Stands in AMASS's world.
  np.savez(tmp_path / "a.npz", **arrays)
  np.testing.assert_allclose(amass.read(tmp_path / "a.npz").pose[:, 0], 0, atol=1e-6)


def test_an_object_array_is_refused_unless_it_is_the_gender(tmp_path):
  arrays = _arrays()
  arrays["gender"] = np.array({"pickled": True}, dtype=object)
  np.savez(tmp_path / "a.npz", **arrays)
  assert len(amass.read(tmp_path / "a.npz")) == 3
  arrays["poses"] = arrays["poses"].astype(object)
  np.savez(tmp_path / "a.npz", **arrays)
  with pytest.raises(
    InputError, match=r"a\.npz is refused: it has Python objects in poses"
  ):
    amass.read(tmp_path / "a.npz")


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"poses": None}, "has no 'poses'"),
    ({"mocap_framerate": None}, "has no 'mocap_framerate'"),
    ({"mocap_framerate": np.array(0.0)}, "no frame rate from 1 to 10,000"),
    # Resampling it would make ten million frames.
    ({"mocap_framerate": np.array(1e-5)}, "no frame rate from 1 to 10,000"),
    ({"mocap_framerate": np.array(np.inf)}, "finite numbers"),
    ({"poses": np.full((9, 156), "0")}, "not a 2-dimensional array of numbers"),
    ({"poses": np.zeros((9, 60))}, r"poses \(9, 60\)"),
    ({"poses": np.zeros((0, 156)), "trans": np.zeros((0, 3))}, "no frames"),
    ({"trans": np.zeros((8, 3))}, r"trans \(8, 3\)"),
    ({"trans": np.full((9, 3), np.nan)}, "'trans' wants finite numbers"),
    ({"poses": np.zeros(9)}, "'poses' is not a 2-dimensional"),
  ],
)
def test_what_is_wrong_is_named(tmp_path, change, message):
  arrays = {k: v for k, v in {**_arrays(), **change}.items() if v is not None}
  np.savez(tmp_path / "a.npz", **arrays)
  with pytest.raises(InputError, match=message):
    amass.read(tmp_path / "a.npz")


def test_a_file_that_is_no_archive_is_named(tmp_path):
  (tmp_path / "a.npz").write_bytes(b"not an archive")
  np.save(tmp_path / "b.npy", np.zeros(3))
  (tmp_path / "b.npy").rename(tmp_path / "b.npz")
  for name in ("a.npz", "b.npz", "c.npz"):
    with pytest.raises(InputError, match=name):
      amass.read(tmp_path / name)


def test_a_header_of_100_gb_and_damage_are_refused(tmp_path):
  path = tmp_path / "a.npz"
  header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (80000000, 156), }"
  with zipfile.ZipFile(path, "w") as archive:
    archive.writestr(
      "poses.npy", b"\x93NUMPY\x01\x00v\x00" + header.ljust(117) + b"\n" + bytes(80)
    )
  with pytest.raises(
    InputError, match=r"a\.npz is refused: it has poses\.npy of shape"
  ):
    amass.read(path)
  np.savez_compressed(path, **_arrays())
  whole = path.read_bytes()
  for damaged in (whole[:-30], whole[:60] + bytes(200) + whole[260:]):
    path.write_bytes(damaged)
    with pytest.raises(InputError, match=r"a\.npz cannot be read"):
      amass.read(path)
