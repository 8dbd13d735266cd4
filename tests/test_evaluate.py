"""The evaluation program, run as its users run it."""

import json
import os
import shutil

import cv2
import jax
import numpy as np
import pytest

from mhmr_jax import evaluate
from mhmr_jax.errors import InputError
from mhmr_jax.models import motion_hmr
from mhmr_jax.training import checkpoints, train_step
from tests import tiny

MEASURES = {
  *("pa_mpjpe_mm", "mpjpe_mm", "pve_mm", "accel_mm_s2"),
  *("pck_150mm_percent", "auc_150mm_percent"),
}


def _make_workdir(workdir, data_dir):
  """A work directory as training leaves it, with parameters as they start."""
  config = tiny.config(data_dir)
  model = motion_hmr.from_config(config.model, config.data.size)
  optimizer = train_step.make_optimizer(config.train)
  state = train_step.init_state(
    jax.random.key(0), motion_hmr.input_shapes(config), model, optimizer
  )
  checkpoints.prepare_workdir(workdir, config)
  saved = checkpoints.Checkpoints(workdir)
  saved.save(state.replace(step=state.step + 7), {"global_next_index": 28})
  saved.close()
  lines = [{"step": s, "loss": 1 / s, "pa_mpjpe_mm": 90.0} for s in range(1, 8)]
  (workdir / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
  folder = tmp_path_factory.mktemp("runs") / "run"
  _make_workdir(folder, tmp_path_factory.mktemp("data"))
  return folder


def _run(workdir, *arguments, devices=1):
  return tiny.run(
    "evaluate",
    f"--workdir={workdir}",
    "--dataset=synthetic_clips",
    *arguments,
    devices=devices,
  )


@pytest.fixture(scope="module")
def evaluated(workdir):
  status, output, errors = _run(workdir)
  assert status == 0, errors
  return workdir / "evaluation" / "synthetic_clips", output


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
  assert results["step"] == 7
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
  assert "<polyline" in page
  assert page.count("data:image/jpeg;base64,") >= 4
  assert len(page) < 5e6
  video = cv2.VideoCapture(str(out / "overlay.mp4"))
  assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 20


@pytest.mark.slow
def test_four_devices_give_one_devices_figures(evaluated, workdir, tmp_path):
  status, _, errors = _run(workdir, f"--out={tmp_path}", devices=4)
  assert status == 0, errors
  one = json.loads((evaluated[0] / "metrics.json").read_text())
  four = json.loads((tmp_path / "metrics.json").read_text())
  for name in MEASURES:
    assert four[name] == pytest.approx(one[name], rel=1e-4)


def check_fails_with(words, *arguments):
  status, output, errors = tiny.run("evaluate", *arguments)
  last = errors.strip().splitlines()[-1]
  assert status == 1
  assert last.startswith("error: ")
  assert words in last
  assert "Traceback" not in output + errors


@pytest.mark.slow
def test_bad_input_ends_in_one_sentence(workdir, tmp_path):
  known = "--dataset=synthetic_clips"
  check_fails_with("--workdir is missing", known)
  check_fails_with("not a work directory", f"--workdir={tmp_path}/none", known)
  check_fails_with("synthetic_clips", f"--workdir={workdir}", "--dataset=threedpw_")
  check_fails_with("smpl24", f"--workdir={workdir}", known, "--protocol=spin")
  check_fails_with("train or test", f"--workdir={workdir}", known, "--split=validation")
  absent = "--config.body.h36m_regressor=absent.npy"
  check_fails_with("no joint regressor", f"--workdir={workdir}", known, absent)
  bare = tmp_path / "bare"
  bare.mkdir()
  shutil.copy(workdir / "config.json", bare)
  check_fails_with("train it first", f"--workdir={bare}", known)


@pytest.mark.slow
def test_unwritable_results_and_damaged_clips_are_named(evaluated, workdir, tmp_path):
  blocked = tmp_path / "file"
  blocked.write_text("")
  run = (f"--workdir={workdir}", "--dataset=synthetic_clips")
  check_fails_with("cannot be written", *run, f"--out={blocked}/deeper")
  data_dir = json.loads((workdir / "config.json").read_text())["data"]["dir"]
  damaged = tmp_path / "damaged"
  shutil.copytree(data_dir, damaged / "data")
  shutil.copytree(workdir, damaged / "run")
  config = json.loads((damaged / "run" / "config.json").read_text())
  config["data"]["dir"] = str(damaged / "data")
  (damaged / "run" / "config.json").write_text(json.dumps(config))
  (record,) = (damaged / "data").rglob("*-test.array_record*")
  os.truncate(record, record.stat().st_size // 2)
  check_fails_with(
    "delete that folder", f"--workdir={damaged / 'run'}", "--dataset=synthetic_clips"
  )


def test_table_is_aligned():
  row = dict.fromkeys(MEASURES, 12345.678)
  few = {**row, "pa_mpjpe_mm": 1.25, "pve_mm": None}
  results = {**row, "baselines": {"mean_pose": few, "best_constant_pose": few}}
  lines = evaluate.table(results).splitlines()
  assert len(lines) == 4
  assert len(set(map(len, lines))) == 1
  assert lines[1].split()[1:] == ["12,346"] * 4
  assert lines[2].split()[-4:] == ["1.2", "12,346", "-", "12,346"]


def test_files_appear_whole_or_not_at_all(tmp_path, monkeypatch):
  path = tmp_path / "metrics.json"
  evaluate.write_atomically(path, "first")
  monkeypatch.setattr(
    os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "full"))
  )
  with pytest.raises(InputError, match="full"):
    evaluate.write_atomically(path, "second")
  assert path.read_text() == "first"
  assert list(tmp_path.iterdir()) == [path]
