"""The loop, in this process, with a toy in place of a network."""

import json
import re

import jax
import numpy as np
import pytest
from etils import epath
from orbax.checkpoint import v1 as ocp

from mhmr_jax.errors import InputError, RestartError
from mhmr_jax.training import checkpoints
from tests import tiny, workdirs
from tests.training import toy
from tests.workdirs import losses

# The tests read checkpoints without saying where on the devices they go.
pytestmark = [
  pytest.mark.filterwarnings("ignore:Sharding info not provided"),
  pytest.mark.usefixtures("little_to_collect"),
]


@pytest.fixture
def workdir(tmp_path):
  return epath.Path(tmp_path)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
  workdir = epath.Path(tmp_path_factory.mktemp("uninterrupted"))
  return workdir, toy.run(workdir, toy.Numbers())


def records(workdir):
  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  return [json.loads(line) for line in lines]


def saved_steps(workdir):
  folders = (workdir / "checkpoints").iterdir()
  return sorted(int(folder.name) for folder in folders)


def assert_same_bits(left, right):
  for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_every_step_is_reported_once_and_in_order(uninterrupted):
  workdir, state = uninterrupted
  expected, data = toy.init(jax.random.key(0)), toy.Numbers()
  for number, record in enumerate(records(workdir), 1):
    expected, scalars = toy.step(expected, next(data), jax.random.key(0))
    assert record.keys() == {"step", "loss", "grad_norm", "input_wait_s"}
    assert record["step"] == number
    assert record["loss"] == float(f"{float(scalars['loss']):.6g}")
  assert number == int(state.step) == 10
  np.testing.assert_allclose(state.params["weight"], expected.params["weight"], 1e-6)


def test_progress_is_shown_every_few_steps(workdir, capsys):
  toy.run(workdir, toy.Numbers(), print_every=4)
  shown = re.findall(r"^step (\d+)/10, loss .*, norm .*", capsys.readouterr().err, re.M)
  assert shown == ["4", "8", "10"]


def test_checkpoints_are_written_every_few_steps_and_at_the_end(workdir, monkeypatch):
  written = []
  save = checkpoints.Checkpoints.save

  def spy(self, state, position):
    written.append((int(state.step), position))
    save(self, state, position)

  monkeypatch.setattr(checkpoints.Checkpoints, "save", spy)
  toy.run(workdir, toy.Numbers(), checkpoint_every=3)
  assert [step for step, _ in written] == [3, 6, 9, 10]
  for step, position in written:
    assert position == {"global_next_index": step * toy.BATCH_SIZE}


@pytest.mark.parametrize("fail_at", [2, 4, 5, 10])
def test_a_killed_run_resumes_to_the_same_bits(fail_at, uninterrupted, workdir):
  data = toy.Numbers(fail_at=fail_at)
  with pytest.raises(KeyError):
    toy.run(workdir, data)
  assert data.closed
  # The next run repeats the steps since the last checkpoint.
  state = toy.run(workdir, toy.Numbers())
  assert_same_bits(state, uninterrupted[1])
  assert losses(workdir) == losses(uninterrupted[0])
  assert len(records(workdir)) == 10


def test_a_finished_run_does_nothing_more(uninterrupted):
  workdir, state = uninterrupted
  before = (workdir / "metrics.jsonl").read_text()
  assert_same_bits(toy.run(workdir, toy.Numbers()), state)
  assert (workdir / "metrics.jsonl").read_text() == before


def test_a_full_disk_is_one_sentence_and_the_run_resumes_to_the_same_bits(
  uninterrupted, workdir
):
  toy.run(workdir, toy.Numbers(), steps=3)
  # Writing the next checkpoint fails as on a full disk.
  process = tiny.start_alone(
    "tests.training.toy_program", f"--workdir={workdir}", largest_file=1
  )
  status, _, errors = tiny.end(process)
  assert status == 1
  last = errors.strip().splitlines()[-1]
  assert last.startswith("error: A checkpoint cannot be written")
  assert "Traceback" not in errors
  assert workdirs.saved_steps(workdir) == [3]
  assert_same_bits(toy.run(workdir, toy.Numbers()), uninterrupted[1])
  assert losses(workdir) == losses(uninterrupted[0])


@pytest.mark.parametrize("step", [1, 6, 10])
def test_a_loss_that_is_not_finite_keeps_the_state_before(step, workdir, tmp_path):
  data = toy.Numbers(nan_at=step)
  with pytest.raises(InputError, match=f"not finite at step {step}: ") as caught:
    toy.run(workdir, data)
  assert data.closed
  assert str(workdir / "not_finite") in str(caught.value)
  kept = ocp.load_checkpointables(workdir / "not_finite")
  assert kept["optimizer"]["step"] == step - 1
  assert kept["data"] == {"global_next_index": (step - 1) * toy.BATCH_SIZE}
  expected, data = toy.init(jax.random.key(0)), toy.Numbers()
  for _ in range(step - 1):
    expected, _ = toy.step(expected, next(data), jax.random.key(0))
  weight = kept["model"]["params"]["weight"]
  np.testing.assert_allclose(weight, expected.params["weight"], rtol=1e-6)
  # The failing step's own figures are written too.
  assert records(workdir)[step - 1]["step"] == step


def test_sigterm_saves_the_step_and_another_run_goes_on(uninterrupted, workdir):
  data = toy.Numbers(sigterm_at=4)
  with pytest.raises(RestartError, match="after step 4, which is saved"):
    toy.run(workdir, data)
  assert data.closed
  assert saved_steps(workdir) == [3, 4]
  assert list(losses(workdir)) == [1, 2, 3, 4]
  assert_same_bits(toy.run(workdir, toy.Numbers()), uninterrupted[1])
  assert losses(workdir) == losses(uninterrupted[0])


def test_sigterm_in_the_last_step_ends_the_run_as_usual(uninterrupted, workdir):
  state = toy.run(workdir, toy.Numbers(sigterm_at=10))
  assert_same_bits(state, uninterrupted[1])
