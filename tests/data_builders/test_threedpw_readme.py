"""Runs the commands of 3DPW's README word for word, on the miniature set."""

import json
import os
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest

from mhmr_jax.body import joints, smpl
from tests import tiny, workdirs
from tests.body.made_up_regressors import made_up
from tests.data_builders import miniature
from tests.files import python2

README = tiny.ROOT / "data_builders" / "threedpw" / "README.md"


def _blocks(text: str, language: str = "") -> list[str]:
  """The fenced blocks of a language, without their indentation."""
  found = re.findall(
    rf"^( *)```{language}\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE
  )
  return [
    re.sub(rf"^{indent}", "", block, flags=re.MULTILINE) for indent, block in found
  ]


LAYOUT, *COMMANDS = _blocks(README.read_text())
(SNIPPET,) = _blocks(README.read_text(), "python")


def test_the_page_on_evaluation_says_the_same_command():
  assert COMMANDS[0] in (tiny.ROOT / "docs" / "evaluate.md").read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """Where the user stands: a trained model, the release, and SMPL's files."""
  folder = tmp_path_factory.mktemp("user")
  bodies = miniature.load_bodies(miniature.write_bodies(folder))
  for name, path in (("m", smpl.FREE_BODY), ("f", folder / "female.npz")):
    with np.load(path) as data:
      pickled = python2.dumps(dict(data))
    for file in (f"basicmodel_{name}_lbs_10_207_0_v1.1.0.pkl", f"{name}.pkl"):
      (folder / file).write_bytes(pickled)
  regressor = made_up(bodies["male"], joints.H36M_JOINTS)
  np.save(folder / "J_regressor_h36m.npy", regressor)
  miniature.write_sequence(
    folder / "3DPW", "test", "downtown_arguing_00", bodies, "mf", 9
  )
  workdirs.make_untrained(
    folder / "runs" / "flow_kp", folder / "home" / ".cache" / "mhmr_jax"
  )
  return folder


def test_the_layout_is_the_miniatures(folder):
  for line in LAYOUT.split():
    assert (folder / line).is_file()


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["smpl24", "spin"])
def test_the_commands_lead_to_a_table(folder, protocol):
  command = COMMANDS[["smpl24", "spin"].index(protocol)].replace("\\\n", " ")
  python, option, module, *arguments = shlex.split(command)
  assert (python, option) == ("python", "-m")
  home = {"HOME": str(folder / "home")}
  process = tiny.start_module(module, *arguments, folder=folder, variables=home)
  status, output, errors = tiny.end(process)
  assert status == 0, errors
  results = folder / "runs" / "flow_kp" / "evaluation" / "threedpw"
  figures = json.loads((results / "metrics.json").read_text())
  assert figures["protocol"] == protocol
  assert figures["num_frames"] == 18
  assert f"{figures['pa_mpjpe_mm']:.1f}" in output
  assert "downtown_arguing_00_1" in (results / "report.html").read_text()


@pytest.mark.slow
def test_the_snippet_reads_a_frame(folder):
  code = f"{SNIPPET}\nprint(first[:2])"
  paths = {"PYTHONPATH": str(tiny.ROOT), "HOME": str(folder / "home")}
  output = subprocess.check_output(
    [sys.executable, "-c", code], cwd=folder, env=os.environ | paths, text=True
  )
  assert repr(b"\xff\xd8") in output
