"""The tables from their runs to the page, with runs of a few steps on a few clips."""

import json
import re

import numpy as np
import pytest
from ml_collections import ConfigDict

from mhmr_jax.body import smpl
from mhmr_jax.errors import InputError
from mhmr_jax.files import video_writer
from mhmr_jax.inference.trained import TrainedRun
from mhmr_jax.runtime import config_check
from mhmr_jax.training import steps
from tests import motions, tiny
from tests.benchmarks import real_video
from tests.benchmarks.balancing_man import Recording, View
from tests.benchmarks.paper_tables import __main__ as program
from tests.benchmarks.paper_tables import page, pictures, runs, scoring
from tests.benchmarks.paper_tables.runs import Options
from tests.benchmarks.paper_tables.tables import PROXIES, TABLES, TITLES, Entry, Table
from tests.data_builders import miniature

pytestmark = pytest.mark.usefixtures("little_to_collect")

# Their networks and training steps are the same.
PAIR = Table(
  "Two kinds of keypoints.",
  (
    Entry("Exact", "kp", {"keypoints.noise": False}),
    Entry("KP", "kp", seeds=2, paper=74.7),
  ),
  tests=("full", "shifted"),
  pairs=(("kp", "kp-noise_False"),),
)


def _options(folder, **changes):
  paths = {"data.dir": str(tiny.DATA)}
  return Options("small", True, folder, paths)._replace(**changes)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  """The folder of the runs of PAIR and of their results, and the page."""
  folder = tmp_path_factory.mktemp("tables")
  results, place = folder / "results", folder / "page.md"
  make, seen = steps.make_train_step, {}

  def make_once(config, mesh):
    """Runs that differ in their seeds and noise alone have one compiled step."""
    like = ConfigDict({**config.to_dict(), "seed": 0})
    like.keypoints.noise = True
    text = like.to_json()
    if text not in seen:
      seen[text] = make(config, mesh)
    return seen[text]

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(steps, "make_train_step", make_once)
    program.make("pair", PAIR, _options(folder), results, place)
  assert len(seen) == 1
  return folder


def test_a_table_is_made_from_nothing(made):
  found = {path.name for path in (made / "results").iterdir()}
  names = ("kp-noise_False_seed0", "kp_seed0", "kp_seed1")
  assert found == {f"{name}.{test}.json" for name in names for test in PAIR.tests}
  text = (made / "page.md").read_text()
  rows = [
    [cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()
  ]
  rows = [row for row in rows if row]
  header = ["PA-MPJPE, mm", "seeds", "`full`", "`shifted`", "3DPW, the paper"]
  assert rows[0] == header
  assert [row[:2] for row in rows[2:6]] == [
    ["Exact", "1"],
    ["KP", "2"],
    ["mean pose", ""],
    ["best constant pose (oracle)", ""],
  ]
  assert re.fullmatch(r"\d+\.\d \[\d+\.\d, \d+\.\d\]", rows[2][2])
  assert rows[3][4] == "74.7"
  assert rows[8][0] == "KP less Exact"
  assert all(re.search("noise|paper|opposite", cell) for cell in rows[8][1:])


def test_a_result_says_how_it_came_about(made):
  result = json.loads((made / "results" / "kp_seed1.shifted.json").read_text())
  assert result["seed"] == 1
  assert result["test"] == "shifted"
  assert result["step"] == runs.QUICK["train.steps"]
  assert result["data"].startswith("shifted_")
  assert result["config"]["data.variant"] == "full"
  assert result["config"]["model.inputs"] == ["keypoints"]
  assert re.match("[0-9a-f]{12}", result["commit"])
  assert result["counts"] == [10, 10]
  assert result["pa_mpjpe_mm"] == pytest.approx(sum(result["sums"]) / 20, abs=0.01)
  command = result["command"]
  assert "--config=configs/kp.py:small" in command
  assert "--config.seed=1" in command
  assert "--config.train.steps=3" in command
  # Files in the repository name no folder of the machine that made them.
  assert str(tiny.RUN) not in json.dumps(result)
  assert str(made) not in json.dumps(result)


def test_what_is_there_is_not_made_again(made, capsys):
  results = made / "results"
  before = {path: path.stat().st_mtime_ns for path in results.iterdir()}
  lost = results / "kp-noise_False_seed0.full.json"
  kept = json.loads(lost.read_text())
  lost.unlink()
  program.make("pair", PAIR, _options(made), results, made / "page.md")
  shown = capsys.readouterr().out
  assert "[test] kp-noise_False_seed0 on full" in shown
  assert "kp_seed" not in shown
  assert {
    path: path.stat().st_mtime_ns for path in results.iterdir() if path != lost
  } == {path: time for path, time in before.items() if path != lost}
  again = json.loads(lost.read_text())
  assert again["sums"] == kept["sums"]


def test_a_part_of_a_table_leaves_the_rest_on_the_page(made, monkeypatch):
  results, place = made / "results", made / "page.md"
  whole = place.read_text()
  part = program.chosen(PAIR, ["kp"], ["full"])
  monkeypatch.setattr(runs, "fit", None)
  program.make("pair", PAIR, _options(made), results, place, part, seeds=1)
  assert place.read_text() == whole


def test_a_result_of_another_config_does_not_count(made):
  run = runs.of_entry(PAIR.entries[0], 0, _options(made))
  assert scoring.read(run, "full", made / "results") is not None
  run.config.train.learning_rate = 0.5
  assert scoring.read(run, "full", made / "results") is None
  damaged = scoring.path_of(run, "real", made / "results")
  damaged.write_text("[]")
  with pytest.raises(InputError, match="is damaged: delete it"):
    scoring.read(run, "real", made / "results")
  damaged.unlink()


def _result(run, test, errors, data="clips"):
  sums = [16 * float(error) for error in errors]
  return {
    "run": run,
    "test": test,
    "data": data,
    "sums": sums,
    "counts": [16] * len(sums),
    "baselines": {"mean pose": 150.0, "best constant pose (oracle)": 140.0},
  }


@pytest.mark.parametrize(
  ("better", "verdict"),
  [(-5.0, "as in the paper"), (5.0, "the opposite"), (0.1, "within noise")],
)
def test_a_difference_is_called_what_its_interval_says(better, verdict):
  rng = np.random.default_rng(0)
  level = rng.normal(100, 20, 50)
  found = {
    "kp-noise_False": {
      "full": [_result("kp-noise_False", "full", level + rng.normal(0, 3, 50))]
    },
    "kp": {
      "full": [
        _result("kp", "full", level + better + rng.normal(0, 3, 50)) for _ in range(2)
      ]
    },
  }
  text = page.render(PAIR, found)
  assert text.splitlines()[-1].endswith(f"], {verdict} |")
  assert "| mean pose |  | 150.0 |  |" in text
  # The same test clips may lie beside other training clips.
  (other,) = found["kp-noise_False"]["full"]
  other["data"] = "others"
  assert page.render(PAIR, found) == text
  # What the paper does not compare is neither confirmed nor refuted.
  asked = page.render(PAIR._replace(of_paper=False), found)
  neutral = {"as in the paper": "lower", "the opposite": "higher"}
  assert asked == text.replace(verdict, neutral.get(verdict, verdict))
  # Other clips cannot be compared.
  other["baselines"]["best constant pose (oracle)"] = 141.0
  assert "less" not in page.render(PAIR, found)


def test_only_a_tables_own_place_on_a_page_changes(tmp_path):
  path = tmp_path / "page.md"
  path.write_text(
    "# Before\n<!-- table a -->\nold\n<!-- end of table -->\n"
    "<!-- table b -->\nkept\n<!-- end of table -->\nAfter \\1.\n"
  )
  page.write(path, "a", r"new \1")
  assert path.read_text() == (
    "# Before\n<!-- table a -->\n\nnew \\1\n<!-- end of table -->\n"
    "<!-- table b -->\nkept\n<!-- end of table -->\nAfter \\1.\n"
  )
  with pytest.raises(InputError, match="no place for the table c"):
    page.write(path, "c", "new")


@pytest.mark.parametrize("name", TABLES)
def test_every_row_is_a_good_config_of_its_own(name, tmp_path):
  table = TABLES[name]
  names = [entry.run for entry in table.entries]
  assert len(set(names)) == len(names)
  assert {run for pair in table.pairs for run in pair} <= set(names)
  for quick in (False, True):
    options = _options(tmp_path, quick=quick, raft_weights="raft.pth")
    for entry in table.entries:
      config = runs.of_entry(entry, 3, options).config
      assert config_check.problem(config.to_dict()) is None, entry
      assert config.seed == 3


def test_a_row_is_one_run_in_all_tables_that_have_it():
  entries: dict[str, Entry] = {}
  for table in TABLES.values():
    for entry in table.entries:
      same = entries.setdefault(entry.run, entry)
      assert (same.config, dict(same.changes)) == (entry.config, dict(entry.changes))


def test_seed_0_of_the_rows_with_most_seeds_comes_first(tmp_path):
  order = [run.name for run in program.plan(TABLES["inputs"], _options(tmp_path), 3)]
  assert order[:4] == ["rgb_seed0", "flow_seed0", "kp_seed0", "flow_kp_seed0"]
  assert order[4] == "hmr_seed0"
  assert order[-4:] == ["rgb_seed2", "flow_seed2", "kp_seed2", "flow_kp_seed2"]


# Two rows of each table that the others lack, and what they read.
COMMANDS = {
  "inputs": ("hmr,rgb_kp", "full,shifted"),
  "dann": ("rgb,dann", "full,shifted"),
  "clips": ("flow_kp,flow_kp-variant_plain", "full,shifted"),
  "context": ("kp-lstm_features_0,kp-window_64", "full,shifted"),
  "kinetics": ("kinetics,flow_kp_kinetics", "full,shifted"),
  "flow": ("flow-source_flownets,flow-source_exact-cache_False", "full,shifted"),
  "3dpw": ("kp,flow_kp", "3dpw"),
}


@pytest.fixture(scope="module")
def little_data(tmp_path_factory):
  """The keys of miniature sets in the forms of Kinetics' labels and 3DPW."""
  folder = tmp_path_factory.mktemp("little_data")
  paths = miniature.write_bodies(folder)
  miniature.write_threedpw(folder / "3DPW", miniature.load_bodies(paths))
  return {
    **miniature.write_kinetics(folder / "kinetics", smpl.load()),
    "threedpw.dir": str(folder / "3DPW"),
    "body.male": str(paths["male"]),
    "body.female": str(paths["female"]),
    "data.dir": str(tiny.DATA),
  }


@pytest.mark.parametrize("name", TABLES)
def test_each_command_makes_its_table(name, tmp_path, little_data):
  rows, tests = COMMANDS[name]
  keys = little_data if name in ("kinetics", "3dpw") else {"data.dir": str(tiny.DATA)}
  status, output, errors = tiny.end(
    tiny.start_module(
      "tests.benchmarks.paper_tables",
      *(f"--table={name}", "--size=small", "--quick", f"--runs={tmp_path}"),
      *(f"--rows={rows}", f"--tests={tests}", "--seeds=1"),
      *(f"--config.{key}={value}" for key, value in keys.items()),
    )
  )
  assert status == 0, errors
  results = json.loads(output.splitlines()[-1])
  names = [f"{row}_seed0" for row in rows.split(",")]
  assert set(results) == {f"{n}_{test}" for n in names for test in tests.split(",")}
  assert all(1 < error < 1000 for error in results.values())
  labels = {entry.run: entry.label for entry in TABLES[name].entries}
  text = (tmp_path / f"{name}.md").read_text()
  cells = [[cell.strip() for cell in line.split("|")] for line in text.splitlines()]
  for row in rows.split(","):
    (found,) = (line for line in cells if line[1:2] == [labels[row]])
    assert found[2] == "1"
    shown = [float(cell.split()[0]) for cell in found[3:] if "[" in cell]
    assert shown == pytest.approx(
      [results[f"{row}_seed0_{test}"] for test in tests.split(",")], abs=0.051
    )
  for test in tests.split(","):
    assert TITLES[test] in text


def test_real_video_is_scored_by_view(made, monkeypatch):
  seen = motions.walking(smpl.load(), frames=60)
  turn = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]])
  truth = np.full((seen.frame_index[-1] + 1, 12, 3), np.nan)
  truth[seen.frame_index] = seen.joints_camera[:, real_video.LIMBS] @ turn
  wrong = seen.joints_camera.copy()
  wrong[:, real_video.LIMBS[0]] += 0.3
  motions_of = {"near": seen, "off": seen._replace(joints_camera=wrong)}
  views = tuple(View(name, name, name, np.array([0, -1, 0])) for name in motions_of)
  asked = []

  def predict_video(path, source, *, run, people, scene):
    asked.append((source.path, people, scene.fit))
    return [motions_of[path]]

  monkeypatch.setattr(scoring.video_motion, "predict_video", predict_video)
  filmed = Recording(views, 30.0, truth, truth[:, :2])
  monkeypatch.setattr(scoring, "recording", lambda: filmed)
  run = runs.of_entry(PAIR.entries[1], 0, _options(made))
  for test, fit in (("real", "off"), ("real_with_fit", "on")):
    result = scoring.score(run, test, _options(made), made / "real")
    assert result["sums"][0] < 0.1
    assert 5 < result["sums"][1] < 300
    assert result["counts"] == [1, 1]
    constant = result["baselines"]["best constant pose (oracle)"]
    assert 1 < constant < result["baselines"]["SMPL's rest pose"]
    assert asked == [("near", [0], fit), ("off", [0], fit)]
    assert scoring.read(run, test, made / "real") == result
    asked.clear()


@pytest.mark.parametrize("name", TABLES)
def test_at_the_papers_size_the_missing_data_is_named(name, tmp_path, capsys):
  options = _options(tmp_path, size="paper", quick=False)
  table = TABLES[name]._replace(tests=("3dpw",))
  # Rows that differ in their clips or their flow alone have steps of the same shapes,
  # and the last table has the rows of the others.
  own = {
    "inputs": table.entries,
    "dann": [entry for entry in table.entries if entry.run == "dann"],
    "context": [entry for entry in table.entries if entry.config == "kp"],
  }
  entries = tuple(own.get(name, table.entries[-1:]))
  program.check_shapes(table._replace(entries=entries), options)
  for line in capsys.readouterr().out.splitlines():
    # ResNet-50 and the regressor, and an LSTM of 2048, which some rows lack.
    assert 25 < float(re.search(r": (\d+\.\d) M parameters", line)[1]) < 75
  with pytest.raises(InputError) as refused:
    program.make(name, table, options, tmp_path / "r", tmp_path / "page.md")
  keys = ["body.path", "surreal.dir", "kinetics.dir", "threedpw.dir", "body.male"]
  keys += ["kinetics.pseudo_gt"] * (name in ("dann", "kinetics", "3dpw"))
  for key in keys:
    assert f"config.{key} (not set)" in str(refused.value)
  assert ("raft_weights (not set)" in str(refused.value)) == (name in ("flow", "3dpw"))
  assert len(str(refused.value).splitlines()) == 1
  assert not list(tmp_path.iterdir())


def test_rows_and_tests_are_chosen_by_name():
  table = program.chosen(TABLES["inputs"], ["flow", "rgb"], ["real"])
  assert [entry.run for entry in table.entries] == ["rgb", "flow"]
  assert table.tests == ("real",)
  assert program.chosen(TABLES["inputs"], [], []).tests == PROXIES
  with pytest.raises(InputError, match="--rows=depth: this table has hmr, rgb"):
    program.chosen(TABLES["inputs"], ["depth"], [])


def test_raft_without_weights_is_refused(tmp_path):
  with pytest.raises(InputError, match=r"don't have: raft_weights \(not set\);"):
    program.make(
      "flow", TABLES["flow"], _options(tmp_path), tmp_path / "r", tmp_path / "p.md"
    )


def test_pictures_show_each_runs_body_over_the_same_frames(tmp_path, monkeypatch):
  grey = np.full((480, 640, 3), 90, np.uint8)
  with video_writer.writing(tmp_path / "cam.mp4", 30.0) as writer:
    for _ in range(52):
      writer.write(grey)
  planned = [
    runs.of_entry(entry, 0, _options(tmp_path))
    for entry in TABLES["inputs"].entries[:2]
  ]
  seen = motions.walking(smpl.load(), frames=60)
  opened = TrainedRun(planned[0].config, {}, 3)
  monkeypatch.setattr(pictures.trained, "restore", lambda workdir: opened)
  monkeypatch.setattr(
    pictures.video_motion, "predict_video", lambda *args, **options: [seen]
  )
  view = View("cam", tmp_path / "cam.mp4", tmp_path, np.array([0, -1, 0]))
  nothing = np.zeros((52, 12, 3))
  drawn = pictures.draw(planned, Recording((view, view), 30.0, nothing, nothing[:, :2]))
  assert drawn.shape == (2 * 328 + 4, 3 * 300 + 2 * 4, 3)
  video, first, second = (drawn[28:328, x : x + 300] for x in (0, 304, 608))
  assert np.abs(video.astype(int) - 90).max() < 10
  np.testing.assert_array_equal(first, second)
  there = np.abs(first.astype(int) - video).max(-1) > 20
  # The body covers the joints that lie in the square, which is the crop of its moment.
  row = 50 - seen.frame_index[0]
  places = np.rint(seen.keypoints_image[row] - seen.box[row, :2]).astype(int)
  inside = places[((places > 5) & (places < 295)).all(-1)]
  assert len(inside) > 10
  assert there[inside[:, 1], inside[:, 0]].mean() > 0.8
  assert there.mean() < 0.5
