"""The evaluation program: run as its users run it, or called in this process."""

import json
import os
import pathlib
import shutil
import types

import cv2
import numpy as np
import pytest
from absl.testing import flagsaver

from mhmr_jax import evaluate
from mhmr_jax.data import config_paths, sources
from mhmr_jax.errors import InputError
from tests import tiny, workdirs

MEASURES = {
  *("pa_mpjpe_mm", "mpjpe_mm", "pve_mm", "accel_mm_s2"),
  *("pck_150mm_percent", "auc_150mm_percent"),
}


@pytest.fixture(scope="module")
def workdir():
  return workdirs.evaluated()


@pytest.fixture(scope="module")
def evaluated(workdir):
  out = workdir / "evaluation" / "synthetic_clips"
  return out, (workdir.parent / "output.txt").read_text()


@pytest.mark.slow
def test_metrics_hold_the_model_its_baselines_and_every_sequence(evaluated, workdir):
  out, output = evaluated
  text = (out / "metrics.json").read_text()
  results = json.loads(text)
  assert results.keys() >= MEASURES | {"num_frames", "protocol", "dataset"}
  assert results["protocol"] == "smpl24"
  assert len(results["per_joint"]) == 24
  low, high = results["intervals"]["pa_mpjpe_mm"]
  assert low <= results["pa_mpjpe_mm"] <= high
  assert results["dataset"] == "synthetic_clips"
  assert results["step"] == workdirs.STEP
  assert results["body"] == "free"
  baselines = results["baselines"]
  assert baselines.keys() == {"mean_pose", "best_constant_pose"}
  for row in (results, *baselines.values(), *results["per_sequence"]):
    assert row.keys() >= MEASURES
  assert baselines["best_constant_pose"]["pve_mm"] is None
  for name in ("pa_mpjpe_mm", "mpjpe_mm"):
    assert baselines["best_constant_pose"][name] < baselines["mean_pose"][name]
  ratio = results["pa_mpjpe_mm"] / baselines["mean_pose"]["pa_mpjpe_mm"]
  assert results["ratio_to_mean_pose"] == pytest.approx(ratio)
  frames = [row["num_frames"] for row in results["per_sequence"]]
  assert sum(frames) == results["num_frames"] == 20
  weighted = np.average(
    [r["pa_mpjpe_mm"] for r in results["per_sequence"]], None, frames
  )
  assert weighted == pytest.approx(results["pa_mpjpe_mm"])
  assert str(workdir.parent) not in text
  assert f"{results['pa_mpjpe_mm']:.1f}" in output
  assert str(out / "report.html") in output
  assert not list(out.glob("*.partial"))


@pytest.mark.slow
def test_report_and_video_are_there(evaluated):
  out, _ = evaluated
  page = (out / "report.html").read_text()
  assert page.count("<svg") >= 5  # Training, sequences, joints, timelines.
  assert page.count("data:image/jpeg;base64,") >= 4
  assert len(page) < 5e6
  video = cv2.VideoCapture(str(out / "overlay.mp4"))
  assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 20


def call(h36m_regressor="", paths=None, **values):
  """Calls the program in this process, with these flags."""
  paths = paths or config_paths.local_paths()
  paths.body.h36m_regressor = h36m_regressor
  # Other programs that this process has imported may have flags of the same names.
  values = {"split": None, "protocol": None} | values
  with pytest.MonkeyPatch.context() as patch, flagsaver.flagsaver(**values):
    patch.setattr(evaluate, "_CONFIG", types.SimpleNamespace(value=paths))
    evaluate.main([])


@pytest.mark.slow
def test_a_fit_changes_the_figures_and_is_named_beside_them(
  evaluated, workdir, tmp_path, capsys
):
  call(
    workdir=str(workdir), dataset="synthetic_clips", out=str(tmp_path), with_fit=True
  )
  output = capsys.readouterr().out
  without, fitted = (
    json.loads((folder / "metrics.json").read_text())
    for folder in (evaluated[0], tmp_path)
  )
  assert (without["fit"], fitted["fit"]) == (False, True)
  assert fitted["pa_mpjpe_mm"] != without["pa_mpjpe_mm"]
  assert "bodies fitted to the keypoints" in output
  assert "fitted to the keypoints" not in evaluated[1]
  assert "bodies fitted to the keypoints" in (tmp_path / "report.html").read_text()


def check_fails_with(words, h36m_regressor="", **values):
  with pytest.raises(InputError, match=words):
    call(h36m_regressor, **values)


@pytest.mark.slow
def test_bad_input_is_named(workdir, tmp_path):
  known = {"workdir": str(workdir), "dataset": "synthetic_clips"}
  check_fails_with("--workdir is missing", workdir=None, dataset="synthetic_clips")
  check_fails_with("--dataset is missing", workdir=str(workdir), dataset=None)
  check_fails_with("not a work directory", **known | {"workdir": f"{tmp_path}/none"})
  check_fails_with("synthetic_clips", **known | {"dataset": "threedpw_"})
  check_fails_with("smpl24", **known, protocol="spin")
  check_fails_with("train or test", **known, split="validation")
  check_fails_with("no joint regressor", **known, h36m_regressor="absent.npy")
  bare = tmp_path / "bare"
  bare.mkdir()
  shutil.copy(workdir / "config.json", bare)
  check_fails_with("train it first", **known | {"workdir": str(bare)})


@pytest.mark.slow
def test_unwritable_results_and_damaged_clips_are_named(evaluated, workdir, tmp_path):
  blocked = tmp_path / "file"
  blocked.write_text("")
  known = {"workdir": str(workdir), "dataset": "synthetic_clips"}
  check_fails_with("cannot be written", **known, out=f"{blocked}/deeper")
  clips = sources.open_source(tiny.config(), "test", "synthetic_clips").folder
  copy = tmp_path / "data" / pathlib.Path(clips).relative_to(tiny.DATA)
  shutil.copytree(clips, copy)
  (record,) = copy.glob("*-test.array_record*")
  os.truncate(record, record.stat().st_size // 2)
  workdirs.make_untrained(tmp_path / "run", tmp_path / "data")
  check_fails_with("delete that folder", **known | {"workdir": str(tmp_path / "run")})


@pytest.mark.slow
def test_predictions_are_read_before_clips_are_made(tmp_path):
  bad = tmp_path / "bad.npz"
  bad.write_bytes(b"no archive")
  known = {"workdir": None, "dataset": "synthetic_clips", "out": str(tmp_path / "out")}
  paths = config_paths.local_paths()
  paths.data.dir = str(tmp_path / "data")
  with pytest.raises(InputError, match=r"bad\.npz cannot be read"):
    call(paths=paths, **known, predictions=[str(bad)])
  assert not (tmp_path / "data").exists()


@pytest.mark.slow
def test_results_come_together_or_not_at_all(evaluated, workdir, tmp_path):
  (tmp_path / "report.html").mkdir()
  (tmp_path / "metrics.json").write_text("before")
  known = {"workdir": str(workdir), "dataset": "synthetic_clips"}
  check_fails_with(r"report\.html is a folder", **known, out=str(tmp_path))
  assert (tmp_path / "metrics.json").read_text() == "before"
  assert {path.name for path in tmp_path.iterdir()} == {"report.html", "metrics.json"}


def test_the_mean_pose_is_of_the_clips_of_the_training(monkeypatch):
  config = tiny.config(data__variant="shifted")
  asked = []
  monkeypatch.setattr(
    sources, "training_is_here", lambda config: asked.append(config.data.variant)
  )
  assert evaluate._mean_pose(evaluate.Run(None, config, "alone", {}, 7)) is None
  assert asked == ["alone"]
  assert config.data.variant == "shifted"


def test_table_is_aligned():
  row = dict.fromkeys(MEASURES, 12345.678)
  few = {**row, "pa_mpjpe_mm": 1.25, "pve_mm": None}
  results = {**row, "baselines": {"mean_pose": few, "best_constant_pose": few}}
  lines = evaluate.table(results).splitlines()
  assert len(lines) == 4
  assert len(set(map(len, lines))) == 1
  assert lines[1].split()[1:] == ["12,346"] * 4
  assert lines[2].split()[-4:] == ["1.2", "12,346", "-", "12,346"]
