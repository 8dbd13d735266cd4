"""What happens to a run when its folder, its disk or another run gets in its way."""

import json
import os
import pathlib
import resource
import shutil
import signal
import time

import jax
import numpy as np
import pytest
from etils import epath
from orbax.checkpoint import v1 as ocp

from mhmr_jax.errors import InputError, RestartError
from mhmr_jax.runtime import processes
from mhmr_jax.training import checkpoints
from tests.training import toy
from tests.workdirs import losses, saved_steps

pytestmark = pytest.mark.usefixtures("little_to_collect")


@pytest.fixture
def workdir(tmp_path):
  return epath.Path(tmp_path / "run").mkdir() or epath.Path(tmp_path / "run")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  """A run that nothing disturbed, and its state; not to write in."""
  workdir = epath.Path(tmp_path_factory.mktemp("whole"))
  return workdir, toy.run(workdir, toy.Numbers())


def assert_same(state, workdir, whole):
  for ours, theirs in zip(
    jax.tree.leaves(state), jax.tree.leaves(whole[1]), strict=True
  ):
    np.testing.assert_array_equal(ours, theirs)
  assert losses(workdir) == losses(whole[0])


class Disturbed(toy.Numbers):
  """Batches before one of which something happens."""

  def __init__(self, before: int, event):
    super().__init__()
    self._before = before
    self._event = event

  def __next__(self):
    if self._position // toy.BATCH_SIZE + 1 == self._before:
      self._event()
    return super().__next__()


def test_a_second_run_is_refused_and_the_first_goes_on(workdir, whole):
  def start_second():
    data = toy.Numbers()
    with pytest.raises(InputError, match=r"Another process is writing in .*: wait for"):
      toy.run(workdir, data)
    assert data.get_state() == {"global_next_index": 0}

  state = toy.run(workdir, Disturbed(5, start_second))
  assert_same(state, workdir, whole)
  # The file of the lock stays; it keeps nobody out.
  assert (workdir / ".lock").exists()
  assert_same(toy.run(workdir, toy.Numbers()), workdir, whole)


def _flip_bits(folder: epath.Path) -> int:
  """Flips a bit of every file of a checkpoint's arrays."""
  found = pathlib.Path(folder).rglob("*")
  files = [path for path in found if path.is_file() and "/d/" in str(path)]
  for path in files:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
  return len(files)


@pytest.mark.usefixtures("failed_read")
# Orbax closes its loop before all that failed with a read is collected.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("part", ["model", "optimizer", "data"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(
  workdir, whole, part, caplog
):
  shutil.copytree(whole[0], workdir, dirs_exist_ok=True)
  assert _flip_bits(workdir / "checkpoints" / "10" / part)
  state = toy.run(workdir, toy.Numbers())
  assert_same(state, workdir, whole)
  (warning,) = [each for each in caplog.messages if "Going on from" in each]
  assert warning.startswith(f"The checkpoint {workdir}/checkpoints/10 ")
  assert warning.endswith("Going on from the one of step 9.")
  assert saved_steps(workdir) == [9, 10]
  assert (workdir / "damaged" / "10").exists()


def test_what_reads_right_but_is_not_what_was_saved_is_damage(workdir, whole, caplog):
  """The files are whole, but a weight differs by its last bit."""
  shutil.copytree(whole[0], workdir, dirs_exist_ok=True)
  path = workdir / "checkpoints" / "10"
  with pytest.warns(UserWarning, match="Sharding info"):
    saved = ocp.load_checkpointables(path)
  weight = np.array(saved["model"]["params"]["weight"])
  weight.view(np.uint32)[1] ^= 1
  saved["model"]["params"]["weight"] = weight
  ocp.save_checkpointables(path, saved, overwrite=True)
  assert_same(toy.run(workdir, toy.Numbers()), workdir, whole)
  assert "10 is damaged (it does not hold what was saved)" in caplog.text


@pytest.mark.usefixtures("failed_read")
def test_where_all_are_damaged_nothing_is_moved(workdir, whole):
  shutil.copytree(whole[0], workdir, dirs_exist_ok=True)
  for step in (9, 10):
    _flip_bits(workdir / "checkpoints" / str(step))
  with pytest.raises(InputError, match=r"checkpoints/10 .*: delete it to use the"):
    toy.run(workdir, toy.Numbers())
  assert saved_steps(workdir) == [9, 10]
  assert not (workdir / "damaged").exists()


@pytest.mark.parametrize(
  "error", [MemoryError("no memory"), PermissionError(13, "Permission denied")]
)
def test_a_checkpoint_is_not_called_damaged_for_other_reasons(
  workdir, whole, monkeypatch, error
):
  shutil.copytree(whole[0], workdir, dirs_exist_ok=True)

  def fail(*_):
    raise error

  monkeypatch.setattr(ocp.training.Checkpointer, "load_checkpointables", fail)
  with pytest.raises(InputError, match="does not mean that it is damaged") as caught:
    toy.run(workdir, toy.Numbers())
  assert "delete" not in str(caught.value)
  assert saved_steps(workdir) == [9, 10]


def _wait_for_checkpoint(workdir):
  deadline = time.monotonic() + 60
  while not (workdir / "checkpoints" / "3").exists():
    assert time.monotonic() < deadline
    time.sleep(0.01)


def test_a_removed_work_directory_ends_the_run(workdir):

  def remove():
    _wait_for_checkpoint(workdir)
    shutil.rmtree(workdir)

  with pytest.raises(InputError, match="was removed or replaced while this run"):
    toy.run(workdir, Disturbed(5, remove))


def test_metrics_without_room_are_a_sentence_and_the_run_resumes(workdir, whole):
  """No file may grow further, as on a full disk."""
  before = resource.getrlimit(resource.RLIMIT_FSIZE)

  def fill():
    _wait_for_checkpoint(workdir)
    size = (workdir / "metrics.jsonl").stat().length
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))

  data = Disturbed(6, fill)
  try:
    with pytest.raises(InputError, match=r"metrics\.jsonl cannot be written .*: make"):
      toy.run(workdir, data)
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
  assert data.closed
  assert_same(toy.run(workdir, toy.Numbers()), workdir, whole)


def test_lines_that_are_no_metrics_are_dropped(workdir, whole):
  shutil.copytree(whole[0], workdir, dirs_exist_ok=True)
  path = workdir / "metrics.jsonl"
  with path.open("a") as file:
    file.write('[1]\n{"loss": 3}\nnull\n{"step": 11, "los')
  toy.run(workdir, toy.Numbers())
  records = [json.loads(line) for line in path.read_text().splitlines()]
  assert [record["step"] for record in records] == list(range(1, 11))


def test_a_folder_in_place_of_the_checkpoints_is_a_sentence(workdir):
  (workdir / "checkpoints").write_text("")
  with pytest.raises(InputError, match="A checkpoint cannot be written to"):
    toy.run(workdir, toy.Numbers())


def test_sigterm_before_the_loop_is_a_sentence():
  previous = signal.getsignal(signal.SIGTERM)

  def prepare():
    with processes.stoppable():
      try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
      except Exception as error:  # As readers of files explain all errors.
        raise InputError("It cannot be read: delete it.") from error

  with pytest.raises(RestartError, match="Stopped as asked: run the same command"):
    prepare()
  assert signal.getsignal(signal.SIGTERM) == previous


def test_a_loss_that_is_not_finite_advises_another_workdir(workdir):
  with pytest.raises(InputError, match="in another --workdir with a lower config"):
    toy.run(workdir, toy.Numbers(nan_at=2))


def test_a_claim_ends_with_its_block(workdir):
  for _ in range(2):
    with checkpoints.claimed(workdir) as check:
      check()
