import logging
import os
import pickle
import re

import numpy as np
import pytest

from mhmr_jax.errors import InputError
from mhmr_jax.motion import library
from tests.motion import biovision
from tests.motion.acclaim import write_pair


def _write_amass(path, frames=200, seed=0):
  rng = np.random.default_rng(seed)
  path.parent.mkdir(parents=True, exist_ok=True)
  np.savez(
    path,
    poses=rng.normal(0, 0.3, (frames, 156)),
    trans=rng.normal(0, 1, (frames, 3)),
    mocap_framerate=30.0,
  )


def _same(a, b):
  return np.array_equal(a.pose, b.pose) and np.array_equal(a.transl, b.transl)


def test_procedural_clips_have_the_length_asked_for_and_no_seed_in_both_splits():
  source = library.open_motions("")
  assert not set(source.split("train")) & set(source.split("test"))
  train = source.sample(np.random.default_rng(0), "train", 40)
  assert train.pose.shape == (40, 24, 3)
  assert train.fps == 30.0
  assert _same(train, source.sample(np.random.default_rng(0), "train", 40))
  assert not _same(train, source.sample(np.random.default_rng(0), "test", 40))


def test_an_unknown_split_is_an_error():
  with pytest.raises(ValueError, match="validation"):
    library.open_motions("").sample(np.random.default_rng(0), "validation", 8)


def test_subjects_are_held_out_where_there_are_enough(tmp_path):
  for subject in range(6):
    for motion in range(3):
      _write_amass(tmp_path / f"{subject:02d}" / f"{motion}.npz", seed=subject)
  source = library.open_motions(str(tmp_path))
  train, test = ({n.split("/")[0] for n in source.split(s)} for s in ("train", "test"))
  assert not train & test
  assert train | test == {f"{subject:02d}" for subject in range(6)}
  assert test


def test_files_are_held_out_where_subjects_are_few(tmp_path):
  for motion in range(7):
    _write_amass(tmp_path / f"{motion}.npz")
  source = library.open_motions(str(tmp_path))
  train, test = set(source.split("train")), set(source.split("test"))
  assert (len(train), len(test)) == (6, 1)
  assert not train & test


def test_time_is_held_out_of_a_single_file(tmp_path):
  _write_amass(tmp_path / "only.npz")
  source = library.open_motions(str(tmp_path))
  rng = np.random.default_rng(0)
  rows = {
    split: {
      row.tobytes() for _ in range(40) for row in source.sample(rng, split, 20).transl
    }
    for split in ("train", "test")
  }
  assert not rows["train"] & rows["test"]
  assert len(rows["train"]) > 140
  assert len(rows["test"]) > 35


def test_a_sample_depends_on_its_generator_alone(tmp_path):
  for motion in range(6):
    _write_amass(tmp_path / f"{motion}.npz", frames=20 + 20 * motion, seed=motion)
  (tmp_path / "broken.npz").write_bytes(b"no archive")
  fresh, used = (library.open_motions(str(tmp_path)) for _ in range(2))
  for seed in range(20):
    used.sample(np.random.default_rng(seed), "train", 50)
  used = pickle.loads(pickle.dumps(used))
  first = fresh.sample(np.random.default_rng(3), "train", 50)
  assert len(first) == 50
  assert _same(first, used.sample(np.random.default_rng(3), "train", 50))


def test_an_unreadable_file_is_skipped_counted_and_named(tmp_path, caplog):
  _write_amass(tmp_path / "good.npz")
  (tmp_path / "broken.npz").write_bytes(b"no archive" * 10_000)
  (tmp_path / "04_01.amc").write_text("1\nroot 0 0 0 0 0 0\n" * 5000)
  source = library.open_motions(str(tmp_path))
  with caplog.at_level(logging.WARNING):
    for seed in range(10):
      assert len(source.sample(np.random.default_rng(seed), "train", 30)) == 30
  skipped = [r.getMessage() for r in caplog.records if "Skipped" in r.getMessage()]
  assert len(skipped) == 2  # Once each, however often they are drawn.
  assert any("broken.npz" in message for message in skipped)
  assert any("04.asf" in message for message in skipped)
  assert "(2 so far)" in skipped[-1]


def test_hostile_files_are_skipped_and_named(tmp_path, caplog):
  _write_amass(tmp_path / "good.npz")
  (tmp_path / "dangling.bvh").symlink_to(tmp_path / "nowhere")
  (tmp_path / "looping.npz").symlink_to(tmp_path / "looping.npz")
  (tmp_path / "zero.amc").symlink_to("/dev/zero")
  os.mkfifo(tmp_path / "pipe.bvh")
  poses, trans = np.zeros((50, 156)), np.zeros((50, 3))
  for name, array in (("poses", poses), ("trans", trans)):
    arrays = {"poses": poses, "trans": trans, name: np.full_like(array, 1e308)}
    np.savez(tmp_path / f"huge_{name}.npz", **arrays, mocap_framerate=30.0)
  with caplog.at_level(logging.WARNING):
    source = library.open_motions(str(tmp_path))
    assert len(list(source.motions("train"))) == 1
  skipped = [r.getMessage() for r in caplog.records if "Skipped" in r.getMessage()]
  assert len(skipped) == 6
  assert "(6 so far)" in skipped[-1]
  for name in ("dangling", "looping", "zero", "pipe", "huge_poses", "huge_trans"):
    assert sum(f"/{name}." in message for message in skipped) == 1


def test_clips_longer_than_every_motion_are_refused(tmp_path):
  _write_amass(tmp_path / "short.npz", frames=40)
  source = library.open_motions(str(tmp_path))
  assert len(source.sample(np.random.default_rng(0), "train", 32)) == 32
  with pytest.raises(InputError, match="no motion of the test split has 32 frames"):
    source.sample(np.random.default_rng(0), "test", 32)


def test_a_folder_without_motion_is_refused(tmp_path):
  with pytest.raises(InputError, match="no motion capture"):
    library.open_motions(str(tmp_path))
  with pytest.raises(InputError, match="nowhere"):
    library.open_motions(str(tmp_path / "nowhere"))


def test_cmu_s_own_layout_is_found(tmp_path):
  folder = tmp_path / "subjects" / "09"
  folder.mkdir(parents=True)
  write_pair(folder, [{"root": f"0 {i} 0 0 0 0"} for i in range(400)])
  source = library.open_motions(str(tmp_path))
  assert source.split("train") == ["subjects/09/09_01.amc[0%-80%]"]
  motion = source.sample(np.random.default_rng(0), "test", 20)
  assert motion.transl[0, 1] >= 0.8 * 400 * 0.0254 / 0.45 - 1e-3


def _write_mixed(folder):
  """Motions of five subjects in three formats, whose vertical speeds differ."""
  for number in (1, 2):
    pair = folder / f"{number:02d}"
    pair.mkdir(parents=True)
    asf, amc = write_pair(pair, [{"root": f"0 {i} 0 0 0 0"} for i in range(400)])
    asf.rename(pair / f"{number:02d}.asf")
    amc.rename(pair / f"{number:02d}_01.amc")
  other = folder / "other"
  other.mkdir()
  for name in ("02_01.bvh", "02_02.bvh", "03_01.bvh", "Dance.BVH"):
    biovision.write(other / name, biovision.actor(frames=90))
  _write_amass(folder / "amass" / "walk.npz")


def test_formats_lie_in_one_folder_and_a_subject_in_one_split(tmp_path, caplog):
  _write_mixed(tmp_path)
  source = library.open_motions(str(tmp_path))
  files = {name: source.split(name) for name in ("train", "test")}
  assert sum(len(names) for names in files.values()) == 7
  numbers = ("01", "02", "03")
  subjects = [
    {n.split("/")[-1][:2] for n in names} & set(numbers) for names in files.values()
  ]
  assert files["test"]
  assert not subjects[0] & subjects[1]
  assert subjects[0] | subjects[1] == set(numbers)
  formats = set()
  for split, names in files.items():
    for seed in range(20 * len(names)):
      path = source.sample(np.random.default_rng(seed), split, 60).transl
      speed = np.abs(np.diff(path[:, 1])).mean()
      formats.add("bvh" if speed < 0.1 else "amc" if speed < 0.3 else "amass")
  assert formats == {"amc", "bvh", "amass"}
  assert not caplog.records  # None was skipped.


def test_one_recording_in_two_formats_is_in_one_split(tmp_path):
  folder = tmp_path / "09"
  folder.mkdir()
  asf, amc = write_pair(folder, [{"root": "0 0 0 0 0 0"}] * 200)
  text = amc.read_text()
  for number in range(1, 7):
    (folder / f"09_{number:02d}.amc").write_text(text)
    biovision.write(folder / f"09_{number:02d}.bvh", biovision.actor(frames=50))
  assert asf.exists()
  source = library.open_motions(str(tmp_path))
  stems = [{name.split(".")[0] for name in source.split(s)} for s in ("train", "test")]
  assert [len(names) for names in stems] == [5, 1]
  assert not stems[0] & stems[1]


def test_real_files_of_two_formats_are_divided_by_subject(shared_data):
  source = library.open_motions(str(shared_data))
  assert source.split("test")
  names = {split: source.split(split) for split in ("train", "test")}
  assert sum(len(files) for files in names.values()) > 160
  subjects = [
    {(re.findall(r"/(\d\d)_\d\d\.", f) or [f.split("/")[-2]])[0] for f in files}
    for files in names.values()
  ]
  assert {"01", "03", "07", "salsa", "martial"} <= subjects[0] | subjects[1]
  assert not subjects[0] & subjects[1]
  motion = source.sample(np.random.default_rng(0), "test", 32)
  assert motion.pose.shape == (32, 24, 3)


def test_real_files_are_sampled(shared_data):
  source = library.open_motions(str(shared_data / "cmu"))
  assert len(source.split("train")) == 20
  assert len(source.split("test")) == 5
  motion = source.sample(np.random.default_rng(0), "test", 32)
  assert motion.pose.shape == (32, 24, 3)
