import pathlib

import pytest

from tests.launch import stubs

WORKDIR = "--workdir=/shared/run"


@pytest.fixture
def cluster(tmp_path: pathlib.Path) -> stubs.Stubs:
  """A cluster, and a project's folder on it with a virtual environment."""
  for folder in ("mhmr_jax", ".venv/bin"):
    (tmp_path / folder).mkdir(parents=True)
  python = tmp_path / ".venv/bin/python"
  python.touch()
  python.chmod(0o755)
  cluster = stubs.Stubs(tmp_path)
  cluster.add("scontrol")
  return cluster


def submit(
  cluster: stubs.Stubs, *arguments: str, **variables: str
) -> tuple[int, str, str]:
  job = {"SLURM_JOB_ID": "7", "SLURM_SUBMIT_DIR": str(cluster.folder)} | variables
  return cluster.run("slurm.sbatch", *arguments, **job)


def test_starts_training_with_the_flags(cluster: stubs.Stubs) -> None:
  cluster.add("srun")
  assert submit(cluster, WORKDIR, "--config.data.dir=/a b") == (0, "", "")
  (call,) = cluster.calls("srun")
  program = [".venv/bin/python", "-m", "mhmr_jax.train", "--distributed"]
  # While one process writes the checkpoint others end: that must not kill it.
  assert call == [
    "--kill-on-bad-exit=0",
    *program,
    WORKDIR,
    "--config.data.dir=/a b",
  ]
  assert not cluster.calls("scontrol")


def test_requeues_what_was_stopped(cluster: stubs.Stubs) -> None:
  cluster.add("srun", {"": ["exit 75"]})
  status, _, errors = submit(cluster, WORKDIR, SLURM_RESTART_COUNT="3")
  assert status == 75
  assert "job 7 will go on from the last checkpoint" in errors
  assert cluster.calls("scontrol") == [["requeue", "7"]]


@pytest.mark.parametrize("status", [1, 137])
def test_requeues_nothing_else(cluster: stubs.Stubs, status: int) -> None:
  cluster.add("srun", {"": [f"exit {status}"]})
  assert submit(cluster, WORKDIR)[0] == status
  assert not cluster.calls("scontrol")


def test_requeues_have_an_end(cluster: stubs.Stubs) -> None:
  cluster.add("srun", {"": ["exit 75"]})
  status, _, _ = submit(cluster, WORKDIR, SLURM_RESTART_COUNT="5", RESTARTS="5")
  assert status == 75
  assert not cluster.calls("scontrol")


@pytest.mark.parametrize(
  ("arguments", "variables", "says"),
  [
    ([], {}, "--workdir is missing"),
    ([WORKDIR], {"SLURM_JOB_ID": ""}, "This is no SLURM job"),
    ([WORKDIR], {"SLURM_SUBMIT_DIR": "/tmp"}, "There is no mhmr_jax in /tmp"),
    ([WORKDIR], {"VENV": "other"}, "There is no other/bin/python"),
  ],
)
def test_missing_parameters_are_named(
  cluster: stubs.Stubs, arguments: list[str], variables: dict[str, str], says: str
) -> None:
  cluster.add("srun")
  status, _, errors = submit(cluster, *arguments, **variables)
  assert status == 1
  assert says in stubs.sentence(errors)
  assert not cluster.calls("srun")


def test_options_stand_where_sbatch_reads_them() -> None:
  # It reads none after the first command, and does not say so.
  lines = (stubs.LAUNCH / "slurm.sbatch").read_text().splitlines()
  commands = [line for line in lines if line and not line.startswith("#")]
  head = lines[: lines.index(commands[0])]
  options = dict(
    line.removeprefix("#SBATCH --").partition("=")[::2]
    for line in head
    if line.startswith("#SBATCH")
  )
  assert len(options) == sum(line.startswith("#SBATCH") for line in lines)
  # To the tasks, not (as by "B:") to the shell alone; and in time for a checkpoint.
  assert options["signal"] == "TERM@180"
  assert options["requeue"] == ""
  # Process k of a node drives GPU k.
  assert options["ntasks-per-node"] == options["gpus-per-node"]
  assert "gpus-per-task" not in options
