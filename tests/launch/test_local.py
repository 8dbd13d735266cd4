import pathlib
import signal
import sys
import time

import pytest

from tests.launch import stubs

FLAGS = ["--config=configs/flow_kp.py", "--workdir=/tmp/run"]


@pytest.fixture
def machine(tmp_path: pathlib.Path) -> stubs.Stubs:
  """A machine without GPUs, whose Python does not train."""
  machine = stubs.Stubs(tmp_path)
  machine.add("nvidia-smi", {"": ["exit 9"]})
  return machine


def trains(machine: stubs.Stubs, *scripts: str) -> None:
  """What the processes do, in the order in which they start."""
  machine.add("python", {"mhmr_jax.train": list(scripts), "-c": ["echo 4242"]})


def launch(machine: stubs.Stubs, *flags: str, **variables: str) -> tuple[int, str, str]:
  return machine.run("local.sh", *flags, VIRTUAL_ENV=sys.prefix, **variables)


def processes(machine: stubs.Stubs) -> list[list[str]]:
  return sorted(machine.calls("python", "mhmr_jax.train"))


def test_one_process_needs_no_coordinator(machine: stubs.Stubs) -> None:
  trains(machine, "exit 0")
  assert launch(machine, *FLAGS) == (0, "", "")
  assert processes(machine) == [["-m", "mhmr_jax.train", *FLAGS]]


def test_several_processes_are_numbered(machine: stubs.Stubs) -> None:
  trains(machine, "exit 0")
  assert launch(machine, *FLAGS, PROCESSES="3") == (0, "", "")
  group = ["--coordinator=127.0.0.1:4242", "--num_processes=3"]
  assert processes(machine) == [
    ["-m", "mhmr_jax.train", *FLAGS, *group, f"--process_id={number}"]
    for number in range(3)
  ]


@pytest.mark.parametrize(
  ("visible", "expected"),
  [(None, ["0,1", "2,3"]), ("3,5", ["3", "5"]), ("", ["", ""])],
)
def test_processes_share_out_the_gpus(
  machine: stubs.Stubs, visible: str | None, expected: list[str]
) -> None:
  machine.add("nvidia-smi", {"": ["printf '%s\\n' 0 1 2 3"]})
  trains(machine, 'echo "$CUDA_VISIBLE_DEVICES" >"${@: -1}"')
  variables = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
  assert launch(machine, *FLAGS, PROCESSES="2", **variables) == (0, "", "")
  seen = [
    (machine.folder / f"--process_id={number}").read_text() for number in range(2)
  ]
  assert [line.strip() for line in seen] == expected


def test_goes_on_after_75(machine: stubs.Stubs) -> None:
  # Two processes, three times: one of them is enough for another start.
  trains(machine, "exit 75", "exit 75", "exit 0", "exit 75", "exit 0")
  status, _, errors = launch(machine, *FLAGS, PROCESSES="2")
  assert status == 0
  assert errors.count("going on from the last checkpoint") == 2
  assert len(processes(machine)) == 6


def test_restarts_have_an_end(machine: stubs.Stubs) -> None:
  trains(machine, "exit 75")
  status, _, _ = launch(machine, *FLAGS, RESTARTS="2")
  assert status == 75
  assert len(processes(machine)) == 3


@pytest.mark.parametrize("statuses", [(1, 75), (75, 1), (0, 1)])
def test_the_process_that_failed_by_itself_counts(
  machine: stubs.Stubs, statuses: tuple[int, int]
) -> None:
  trains(machine, *(f"exit {status}" for status in statuses))
  status, _, errors = launch(machine, *FLAGS, PROCESSES="2")
  assert status == 1
  assert not errors
  assert len(processes(machine)) == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_all_processes(machine: stubs.Stubs, number: int) -> None:
  # Each takes a while to save, and one longer than the other.
  trains(
    machine,
    *(
      f"trap 'sleep {seconds}; touch saved{seconds}; exit 75' TERM; touch up{seconds};"
      " for i in {1..600}; do sleep 0.1; done"
      for seconds in ("0.1", "0.6")
    ),
  )
  process = machine.start("local.sh", *FLAGS, VIRTUAL_ENV=sys.prefix, PROCESSES="2")
  while len(list(machine.folder.glob("up*"))) < 2:
    assert process.poll() is None
    time.sleep(0.05)
  process.send_signal(number)
  process.communicate(timeout=60)
  assert process.returncode == 75
  assert len(list(machine.folder.glob("saved*"))) == 2
  assert len(processes(machine)) == 2


@pytest.mark.parametrize(
  ("flags", "variables", "says"),
  [
    (FLAGS[:1], {}, "--workdir is missing"),
    (FLAGS, {"PROCESSES": "two"}, "PROCESSES is 'two'"),
    (FLAGS, {"PROCESSES": "0"}, "PROCESSES is '0'"),
    (FLAGS, {"PROCESSES": "2", "CUDA_VISIBLE_DEVICES": "0,1,2"}, "the 3 GPUs"),
  ],
)
def test_wrong_parameters_are_named(
  machine: stubs.Stubs, flags: list[str], variables: dict[str, str], says: str
) -> None:
  trains(machine, "exit 0")
  status, _, errors = launch(machine, *flags, **variables)
  assert status == 1
  assert says in stubs.sentence(errors)
  assert not processes(machine)
