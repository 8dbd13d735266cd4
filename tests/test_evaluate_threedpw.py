"""Each protocol on a miniature 3DPW against plain NumPy; runs and files in a table."""

import json
import types

import numpy as np
import pytest
from absl.testing import flagsaver

from mhmr_jax import evaluate
from mhmr_jax.body import joints, smpl
from mhmr_jax.data import config_paths
from tests import workdirs
from tests.body.made_up_regressors import SWAPPED_LEGS, made_up
from tests.data_builders import miniature
from tests.evaluation import reference


class Release:
  """The miniature release, its regressors, and what each protocol counts of it."""

  def __init__(self, folder):
    body = smpl.load()
    paths = miniature.write_bodies(folder)
    bodies = miniature.load_bodies(paths)
    self.regressors = {
      "h36m": made_up(body, joints.H36M_JOINTS),
      "cocoplus": made_up(body, joints.COCOPLUS_JOINTS),
    }
    np.save(folder / "h36m.npy", self.regressors["h36m"][SWAPPED_LEGS])
    np.save(folder / "cocoplus.npy", self.regressors["cocoplus"].T)
    self.root = folder / "3DPW"
    self.cache = folder / "cache"
    miniature.write_threedpw(self.root, bodies)
    # The same again, for the people in it.
    again = folder / "again"
    self.people = {}
    for split, name, genders, frames in (
      ("train", "park_walk_00", "m", 9),
      ("validation", "stairs_up_00", "f", 7),
      ("test", "downtown_talk_00", "mf", 13),
      ("test", "flat_alone_01", "f", 6),
    ):
      size = (120, 160) if "alone" in name else (160, 120)
      _, people = miniature.write_sequence(
        again, split, name, bodies, genders, frames, size=size
      )
      for number, person in enumerate(people):
        self.people[f"{name}_{number}"] = (split, person)
    # Keys of the config.
    self.paths = {
      "threedpw.dir": str(self.root),
      "data.dir": str(self.cache),
      "body.male": str(paths["male"]),
      "body.female": str(paths["female"]),
    }
    self.folder = folder

  def counted(self, protocol, track):
    """The frames that count, from what `write_threedpw` put into the pickles."""
    split, person = self.people[track]
    frames = len(person.joints_camera)
    camera, visible = np.ones((2, frames), bool)
    if track == "downtown_talk_00_0":
      camera[[2, 7]] = False
    if track == "downtown_talk_00_1":
      visible[4:6] = False
    if track == "flat_alone_01_0":
      visible[:] = False
    if protocol != "smpl24" and split != "test":
      return np.zeros(frames, bool)
    return camera if protocol == "spin" else camera & visible

  def true_points(self, protocol, track):
    """All rows that the protocol's joints and root are taken from."""
    _, person = self.people[track]
    if protocol == "smpl24":
      return person.joints_camera
    kind = {"spin": "h36m", "hmmr": "cocoplus"}[protocol]
    return np.einsum("kv,tvc->tkc", self.regressors[kind], person.vertices_camera)


@pytest.fixture(scope="module")
def release(tmp_path_factory):
  return Release(tmp_path_factory.mktemp("release"))


def _write_predictions(path, release, protocol, seed=0):
  """Other joints for every frame, by all rows of the regressor."""
  rng = np.random.default_rng(seed)
  predicted, names, frames = {}, [], []
  for track in release.people:
    true = release.true_points(protocol, track)
    predicted[track] = (true + rng.normal(0, 0.08, true.shape)).astype(np.float32)
    names += [track] * len(true)
    frames += range(len(true))
  np.savez(
    path,
    sequence=np.array(names),
    frame_index=np.array(frames),
    joints=np.concatenate(list(predicted.values())),
  )
  return predicted


def _expected(release, protocol, predicted):
  """PA-MPJPE, MPJPE and acceleration error, and the number of frames."""
  found = {}
  for track, points in predicted.items():
    counted = release.counted(protocol, track)
    ours, _ = reference.joints_and_root(protocol, points.astype(np.float64))
    true, _ = reference.joints_and_root(protocol, release.true_points(protocol, track))
    rows = found.setdefault(track[:-2], {"pa": [], "root": [], "acceleration": []})
    for t in np.flatnonzero(counted):
      aligned = reference.aligned(ours[t], true[t])
      rows["pa"].append(reference.distances_mm(aligned, true[t]).mean())
      rows["root"].append(reference.distances_mm(ours[t], true[t]).mean())
      three = slice(t - 1, t + 2)
      if 0 < t < len(ours) - 1 and counted[three].all():
        error = reference.acceleration_error(ours[three], true[three], 30)
        rows["acceleration"].append(error)
  frames = sum(len(rows["pa"]) for rows in found.values())
  means = []
  for measure in ("pa", "root", "acceleration"):
    parts = [rows[measure] for rows in found.values() if rows[measure]]
    if protocol == "hmmr":
      means.append(np.mean([np.mean(part) for part in parts]))
    else:
      means.append(np.mean(np.concatenate(parts)))
  return *means, frames


def _evaluate_here(paths, **flags):
  """Runs the program in this process, with these keys of its config and flags."""
  config = config_paths.local_paths()
  config.update_from_flattened_dict(paths)
  values = {"workdir": None, "dataset": "threedpw", "split": None, **flags}
  with pytest.MonkeyPatch.context() as patch, flagsaver.flagsaver(**values):
    patch.setattr(evaluate, "_CONFIG", types.SimpleNamespace(value=config))
    evaluate.main([])


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["spin", "hmmr", "smpl24"])
def test_a_file_of_joints_scores_as_numpy_says(
  release, tmp_path, protocol, capsys, caplog
):
  predicted = _write_predictions(tmp_path / "others.npz", release, protocol)
  regressors = {
    f"body.{name}_regressor": str(release.folder / f"{name}.npy")
    for name in ("h36m", "cocoplus")
  }
  _evaluate_here(
    release.paths | regressors,
    predictions=[str(tmp_path / "others.npz")],
    # spin is the default where its regressor is named.
    protocol=None if protocol == "spin" else protocol,
    out=str(tmp_path / "out"),
  )
  output = capsys.readouterr().out
  assert ("legs were swapped" in caplog.text) == (protocol == "spin")
  results = json.loads((tmp_path / "out" / "metrics.json").read_text())
  pa, root, acceleration, frames = _expected(release, protocol, predicted)
  assert results["protocol"] == protocol
  assert results["split"] == ("all" if protocol == "smpl24" else "test")
  assert results["num_frames"] == frames
  assert results["pa_mpjpe_mm"] == pytest.approx(pa, abs=0.02)
  assert results["mpjpe_mm"] == pytest.approx(root, abs=0.02)
  assert results["accel_mm_s2"] == pytest.approx(acceleration, rel=1e-3)
  assert f"{results['pa_mpjpe_mm']:.1f}" in output


@pytest.mark.slow
def test_runs_and_files_stand_in_one_table(release, tmp_path, capsys, caplog):
  for name in ("one", "two"):
    workdirs.make_untrained(tmp_path / name, release.cache)
  _write_predictions(tmp_path / "others.npz", release, "smpl24")
  _evaluate_here(
    release.paths,
    workdir=f"{tmp_path / 'one'},{tmp_path / 'two'}",
    predictions=[str(tmp_path / "others.npz")],
    split="test",
    protocol=None,
    out=None,
  )
  output = capsys.readouterr().out
  assert "protocol smpl24 is used" in caplog.text
  out = tmp_path / "one" / "evaluation" / "threedpw"
  rows = json.loads((out / "comparison.json").read_text())
  assert list(rows) == ["one", "two", "others"]
  assert rows["one"]["pa_mpjpe_mm"] == rows["two"]["pa_mpjpe_mm"]
  assert rows["one"]["pve_mm"] > 0
  # Clips that are not on the machine are not made for a baseline alone.
  assert "no mean pose to compare with" in output
  assert list(rows["one"]["baselines"]) == ["best_constant_pose"]
  assert not (release.cache / "synthetic_clips").exists()
  assert rows["others"]["pve_mm"] is None
  assert rows["others"]["pa_mpjpe_mm"] < rows["one"]["pa_mpjpe_mm"]
  assert (out / "comparison.png").stat().st_size > 1000
  assert "<svg" in (out / "comparison.html").read_text()
  for name in ("one", "two", "others", "Best constant joints"):
    assert name in output
