"""Runs the commands of the README and of docs/ word for word, on small inputs.

Blocks of the language `sh` are commands. A block that begins with `# Needs` or
`# Takes` says why it is not run here; the modules, scripts and config keys in it exist
all the same.
"""

import json
import pathlib
import re
import shlex
import shutil
import typing
from typing import NamedTuple

import numpy as np
import pytest

from mhmr_jax.body import smpl
from mhmr_jax.data import sources
from mhmr_jax.export import prediction_npz
from mhmr_jax.files import video_writer
from mhmr_jax.inference import sequences
from mhmr_jax.keypoints.formats import detections_npz
from mhmr_jax.schema import Motion
from tests import motions, tiny, workdirs
from tests.keypoints import people
from tests.motion import acclaim

PAGES = (tiny.ROOT / "README.md", *sorted((tiny.ROOT / "docs").glob("*.md")))
FRAMES = 12


class Command(NamedTuple):
  """A command of a page, as words, and whether it is run here."""

  page: str
  words: tuple[str, ...]
  is_run: bool


def read_commands(page: pathlib.Path) -> list[Command]:
  found = []
  for block in re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.M | re.DOTALL):
    is_run = not block.startswith(("# Needs", "# Takes"))
    for line in block.replace("\\\n", " ").splitlines():
      words = tuple(shlex.split(line, comments=True))
      if words:
        found.append(Command(page.name, words, is_run))
  return found


# Tests need what these leave, so that `workdirs` runs them on the tiny config.
RUN_ELSEWHERE = {
  "python -m mhmr_jax.train --config=configs/flow_kp.py --workdir=runs/flow_kp": (
    workdirs.trained
  ),
  "python -m mhmr_jax.evaluate --workdir=runs/flow_kp --dataset=synthetic_clips": (
    workdirs.evaluated
  ),
  "python -m mhmr_jax.visualize.clips --config=configs/flow_kp.py --out=clips": (
    workdirs.shown
  ),
}
COMMANDS = [command for page in PAGES for command in read_commands(page)]
RUN = {
  " ".join(command.words): command
  for command in COMMANDS
  if command.is_run and command.words[0] == "python"
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """Where the user stands: runs, a video, its keypoints, another method's joints."""
  folder = tmp_path_factory.mktemp("user")
  for name in ("configs", "data_builders", "mhmr_jax", "tests"):
    (folder / name).symlink_to(tiny.ROOT / name)
  shutil.copytree(workdirs.trained(), folder / "runs" / "flow_kp")
  workdirs.make_untrained(folder / "runs" / "longer")
  with video_writer.writing(folder / "run.mp4", 30.0) as writer:
    for _ in range(FRAMES):
      writer.write(np.zeros((320, 400, 3), np.uint8))
  walk = people.movement(0)
  detections_npz.write(folder / "run.npz", list(walk[:, None]))
  (folder / "run_keypoints").mkdir()
  for frame in range(FRAMES):
    body25 = np.concatenate([walk[frame], walk[frame, :8]]).astype(float)
    record = {"people": [{"pose_keypoints_2d": body25.ravel().tolist()}]}
    path = folder / "run_keypoints" / f"run_{frame:012}_keypoints.json"
    path.write_text(json.dumps(record))
  _write_predictions(folder / "theirs.npz")
  return folder


def _write_predictions(path: pathlib.Path) -> None:
  clips = list(sequences.labels(sources.open_source(tiny.config(), "test")))
  lengths = [len(clip["valid"]) for clip in clips]
  rng = np.random.default_rng(0)
  np.savez(
    path,
    sequence=np.repeat([clip["sequence"] for clip in clips], lengths),
    frame_index=np.concatenate([clip["frame_index"] for clip in clips]),
    joints=rng.normal(0, 0.3, (sum(lengths), 24, 3)),
  )


def _smaller(words: tuple[str, ...]) -> list[str]:
  """What makes a command of the default's size a tiny one."""
  config = next((word for word in words if word.startswith("--config=")), None)
  if config is None:
    return [f"--config.data.dir={tiny.DATA}"] if "mhmr_jax.evaluate" in words else []
  _, *rest = tiny.flags(name=pathlib.Path(config).stem)
  assert words[2] == "mhmr_jax.train", words
  return rest  # As long as workdirs.trained is, so that the step is compiled already.


@pytest.mark.slow
@pytest.mark.parametrize("line", RUN_ELSEWHERE)
def test_a_command_that_other_tests_need_runs(line):
  assert line in RUN
  assert RUN_ELSEWHERE[line]().exists()


@pytest.mark.slow
@pytest.mark.parametrize("line", [line for line in RUN if line not in RUN_ELSEWHERE])
def test_a_command_runs(line, folder):
  words = RUN[line].words
  flags = dict(word.split("=", 1) for word in words if word.startswith("--"))
  assert words[:2] == ("python", "-m")
  process = tiny.start_module(*words[2:], *_smaller(words), folder=folder)
  status, _, errors = tiny.end(process)
  assert status == 0, errors
  written = flags.get("--out", flags.get("--workdir", "")).split(",")[0]
  assert (folder / written).exists()


def test_all_that_is_not_run_here_exists():
  for page, words, _ in COMMANDS:
    while "=" in words[0] and not words[0].startswith("-"):
      words = words[1:]  # Variables of the environment.
    if words[0].startswith("./launch/") or words[0] == "sbatch":
      script = next(word for word in words if "launch/" in word)
      assert (tiny.ROOT / script).is_file(), (page, script)
    elif words[:2] == ("python", "-m"):
      module = tiny.ROOT.joinpath(*words[2].split("."))
      is_there = (
        module.with_suffix(".py").is_file() or (module / "__main__.py").is_file()
      )
      assert is_there, (page, words[2])
    elif words[:2] == ("python", "-c"):
      compile(words[2], page, "exec")
    elif words[:2] == ("pip", "install"):
      for word in words:  # tests/test_extras.py knows the extras.
        assert not word.endswith(".txt") or (tiny.ROOT / word).is_file(), (page, word)
    else:
      assert words[0] in ("for", "do", "done"), (page, words)


def test_config_keys_exist():
  checked = 0
  for page, words, _ in COMMANDS:
    named = (re.match(r"--config=configs/(\w+)\.py", word) for word in words)
    experiment = next((match[1] for match in named if match), "flow_kp")
    for word in words:
      if match := re.match(r"--config\.([\w.]+)=", word):
        config = tiny.experiment(experiment)
        *parents, key = match[1].split(".")
        for parent in parents:
          config = config[parent]
        assert key in config, (page, word)
        checked += 1
  assert checked > 10


def test_no_command_is_hidden_from_these_tests():
  for page in PAGES:
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(), re.M | re.DOTALL)
    for language, block in blocks:
      if language != "sh":
        assert not re.search(r"^(python|pip|\./launch|sbatch) ", block, re.M), page


def test_the_library_page_runs(folder, tmp_path, monkeypatch, capsys):
  page = (tiny.ROOT / "docs" / "library.md").read_text()
  blocks = re.findall(r"^```python\n(.*?)^```", page, re.M | re.DOTALL)
  video, readers, skinning = blocks
  found = {}
  monkeypatch.chdir(folder)
  exec(video, found)
  assert found["motion"].joints_world.shape == (FRAMES, 24, 3)
  assert len(video.splitlines()) <= 10
  skeleton, recording = acclaim.write_pair(tmp_path, [{"root": "0 4 0 0 90 0"}] * 8)
  skeleton.rename(tmp_path / "02.asf")
  recording.rename(tmp_path / "02_01.amc")
  monkeypatch.chdir(tmp_path)
  exec(readers, found)
  assert found["vertices"].shape[0] == found["joints"].shape[0] == 2
  np.testing.assert_allclose(found["error_mm"], 0, atol=1e-2)
  pytest.importorskip("smplx")
  exec(skinning, found)
  np.testing.assert_allclose(found["skinned"], found["vertices"], atol=1e-5)


def test_the_export_page_runs(tmp_path, monkeypatch):
  page = (tiny.ROOT / "docs" / "export.md").read_text()
  (code,) = re.findall(r"^```python\n(.*?)^```", page, re.M | re.DOTALL)
  walk = motions.walking(smpl.load())
  prediction_npz.write(tmp_path / "prediction.npz", walk)
  monkeypatch.chdir(tmp_path)
  exec(code, {})
  names = {"prediction.npz", "motion.glb", "motion.bvh", "motion_amass.npz"}
  assert {path.name for path in tmp_path.iterdir()} == names


def test_the_export_page_has_every_key_of_a_motion():
  page = (tiny.ROOT / "docs" / "export.md").read_text()
  rows = re.findall(r"^\| `(\w+)` \| ([N0-9 x,or]*)\|", page, re.M)
  assert [name for name, _ in rows] == list(Motion._fields)
  for name, shape in rows:
    hint = typing.get_type_hints(Motion)[name]
    dims = getattr(hint, "dim_str", "").replace("*", "").split()
    assert shape.split(" or ")[-1].split() == " x ".join(dims).split(), name
