import pathlib
import shlex
import signal
import subprocess
import tarfile
import time

import pytest

from tests.launch import stubs

WORKDIR = "--workdir=gs://bucket/run"
PLACE = {"PROJECT": "ours", "ZONE": "us-west4-a", "WAIT": "0"}


@pytest.fixture
def cloud(tmp_path: pathlib.Path) -> stubs.Stubs:
  # Compressing the project takes most of the time of a script.
  faster = tmp_path / "gzip"
  faster.write_text("#!/bin/sh\nexec cat\n")
  faster.chmod(0o755)
  return stubs.Stubs(tmp_path)


def vm(**replies: list[str]) -> dict[str, list[str]]:
  """Replies of gcloud: its VM is there from the first `create` that succeeds on."""
  return {
    "tpu_host.sh train": replies.get("train", ["exit 0"]),
    "tpu_host.sh install": replies.get("install", ["exit 0"]),
    "tpu_host.sh stop": ["touch stopped"],
    " describe ": replies.get("describe", ["[ -e vm ] && cat vm"]),
    " create ": replies.get("create", ["echo READY >vm"]),
    " delete ": ["rm vm"],
    " scp ": ['cp "$5" .'],
  }


def train_commands(cloud: stubs.Stubs) -> list[list[str]]:
  calls = cloud.calls("gcloud", "tpu_host.sh train")
  commands = [part for call in calls for part in call if part.startswith("--command=")]
  return [shlex.split(command.removeprefix("--command=")) for command in commands]


def test_creates_with_retries_trains_on_all_hosts_and_deletes(
  cloud: stubs.Stubs,
) -> None:
  cloud.add("gcloud", vm(create=["exit 1", "exit 1", "echo READY >vm"]))
  status, _, errors = cloud.run(
    "tpu_vm.sh", "run", WORKDIR, "--config.data.dir=/a b", **PLACE, TYPE="v5litepod-64"
  )
  assert status == 0, errors
  creations = cloud.calls("gcloud", " create ")
  assert len(creations) == 3
  assert {"--spot", "--accelerator-type=v5litepod-64"} < set(creations[0])
  order = [
    next((word for word in call if word in ("create", "scp", "ssh", "delete")), "")
    for call in cloud.calls("gcloud")
  ]
  assert [word for word in order if word] == [
    *["create"] * 3,
    "scp",
    *["ssh"] * 2,
    "delete",
  ]
  for call in cloud.calls("gcloud"):
    assert {"--project=ours", "--zone=us-west4-a"} < set(call)
  for call in cloud.calls("gcloud", " ssh ") + cloud.calls("gcloud", " scp "):
    assert "--worker=all" in call
  assert train_commands(cloud) == [
    ["mhmr_jax/launch/tpu_host.sh", "train", WORKDIR, "--config.data.dir=/a b"]
  ]


def test_copies_the_project_and_nothing_else(cloud: stubs.Stubs) -> None:
  cloud.add("gcloud", vm())
  (cloud.folder / "gzip").unlink()  # As on the user's machine.
  assert cloud.run("tpu_vm.sh", "run", WORKDIR, **PLACE)[0] == 0
  with tarfile.open(cloud.folder / "mhmr_jax.tgz", "r:gz") as archive:
    names = archive.getnames()
  assert {"launch/tpu_host.sh", "setup.cfg", "configs/flow_kp.py"} < set(names)
  assert not [name for name in names if name.startswith((".git/", ".venv"))]


def test_gives_up_creating_after_so_many_tries(cloud: stubs.Stubs) -> None:
  cloud.add("gcloud", vm(create=["exit 1"]))
  status, _, errors = cloud.run("tpu_vm.sh", "run", WORKDIR, **PLACE, TRIES="4")
  assert status == 1
  assert "error: No v5litepod-16 could be had in us-west4-a in 4 tries" in errors
  assert len(cloud.calls("gcloud", " create ")) == 4
  assert not cloud.calls("gcloud", " delete ")
  assert not cloud.calls("gcloud", " ssh ")


def test_goes_on_with_the_same_command_after_75(cloud: stubs.Stubs) -> None:
  cloud.add("gcloud", vm(train=["exit 75", "exit 75", "exit 0"]))
  status, _, errors = cloud.run("tpu_vm.sh", "run", WORKDIR, **PLACE, SPOT="0")
  assert status == 0, errors
  first, second, third = train_commands(cloud)
  assert first == second == third
  (creation,) = cloud.calls("gcloud", " create ")
  assert "--spot" not in creation


@pytest.mark.parametrize("status", [1, 75, 143, 255])
def test_creates_a_preempted_vm_anew(cloud: stubs.Stubs, status: int) -> None:
  cloud.add("gcloud", vm(train=[f"echo PREEMPTED >vm; exit {status}", "exit 0"]))
  result, _, errors = cloud.run("tpu_vm.sh", "run", WORKDIR, **PLACE)
  assert result == 0, errors
  assert len(cloud.calls("gcloud", " create ")) == 2
  assert len(cloud.calls("gcloud", " delete ")) == 2  # What was left, and at the end.
  assert len(cloud.calls("gcloud", "tpu_host.sh install")) == 2
  assert len(train_commands(cloud)) == 2


def test_a_vm_lost_while_it_is_installed_is_created_anew(cloud: stubs.Stubs) -> None:
  cloud.add("gcloud", vm(install=["echo TERMINATED >vm; exit 255", "exit 0"]))
  assert cloud.run("tpu_vm.sh", "run", WORKDIR, **PLACE)[0] == 0
  assert len(cloud.calls("gcloud", " create ")) == 2
  assert len(train_commands(cloud)) == 1


@pytest.mark.parametrize(("delete", "deletions"), [("1", 1), ("0", 0)])
def test_bad_input_is_not_tried_again(
  cloud: stubs.Stubs, delete: str, deletions: int
) -> None:
  cloud.add("gcloud", vm(train=["exit 1"]))
  status, _, errors = cloud.run("tpu_vm.sh", "run", WORKDIR, **PLACE, DELETE=delete)
  assert status == 1
  assert stubs.sentence(errors) == "error: Training ended with exit code 1."
  assert len(train_commands(cloud)) == 1
  assert len(cloud.calls("gcloud", " delete ")) == deletions


def test_restarts_have_an_end(cloud: stubs.Stubs) -> None:
  cloud.add("gcloud", vm(train=["exit 75"]))
  status, _, errors = cloud.run("tpu_vm.sh", "run", WORKDIR, **PLACE, RESTARTS="2")
  assert status == 75
  assert "error: Training has stopped 3 times." in errors
  assert len(train_commands(cloud)) == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_training_and_deletes(cloud: stubs.Stubs, number: int) -> None:
  wait = "touch trains; until [ -e stopped ]; do sleep 0.05; done; exit 75"
  cloud.add("gcloud", vm(train=[wait]))
  process = cloud.start("tpu_vm.sh", "run", WORKDIR, **PLACE)
  _wait_for(cloud.folder / "trains", process)
  process.send_signal(number)
  process.communicate(timeout=60)
  assert process.returncode == 75
  assert len(cloud.calls("gcloud", "tpu_host.sh stop")) == 1
  assert len(train_commands(cloud)) == 1
  assert len(cloud.calls("gcloud", " delete ")) == 1


@pytest.mark.parametrize(
  ("arguments", "variables", "says"),
  [
    (["run", WORKDIR], {"ZONE": "z"}, "PROJECT is missing"),
    (["run", WORKDIR], {"PROJECT": "p"}, "ZONE is missing"),
    (["run", "--workdir=/tmp/run"], PLACE, "--workdir=gs://BUCKET/RUN is missing"),
    ([], PLACE, "Say what to do"),
  ],
)
def test_missing_parameters_are_named(
  cloud: stubs.Stubs, arguments: list[str], variables: dict[str, str], says: str
) -> None:
  cloud.add("gcloud", vm())
  status, _, errors = cloud.run("tpu_vm.sh", *arguments, **variables)
  assert status == 1
  assert says in stubs.sentence(errors)
  assert not cloud.calls("gcloud")


def test_without_access_nothing_is_tried(cloud: stubs.Stubs) -> None:
  cloud.add("gcloud", {" list ": ["echo 'You have no account.' >&2; exit 1"]} | vm())
  status, _, errors = cloud.run("tpu_vm.sh", "run", WORKDIR, **PLACE)
  assert status == 1
  assert "You have no account." in errors
  assert "error: gcloud does not reach TPU VMs of ours in us-west4-a" in errors
  assert not cloud.calls("gcloud", " create ")


@pytest.fixture
def host(cloud: stubs.Stubs) -> pathlib.Path:
  """The script of a host beside a stand-in for its Python, which says and waits."""
  script = cloud.folder / "launch" / "tpu_host.sh"
  python = cloud.folder / ".venv" / "bin" / "python"
  for path in (script, python):
    path.parent.mkdir(parents=True)
  script.write_bytes((stubs.LAUNCH / "tpu_host.sh").read_bytes())
  python.write_text(
    '#!/usr/bin/env bash\ntrap "exit 75" TERM\necho "trains $*"\n'
    'for i in {1..600}; do [ "$4" = --wait ] || exit "$4"; sleep 0.1; done\n'
  )
  python.chmod(0o755)
  return script


def test_a_host_trains_and_stops(cloud: stubs.Stubs, host: pathlib.Path) -> None:
  process = cloud.start(host, "train", "--wait")
  _wait_for(cloud.folder / "train.log", process)
  assert cloud.run(host, "stop") == (0, "", "")
  output, _ = process.communicate(timeout=60)
  assert process.returncode == 75
  assert output == "trains -m mhmr_jax.train --distributed --wait\n"
  assert (cloud.folder / "train.log").read_text() == output


@pytest.mark.parametrize("status", [0, 1, 75])
def test_a_host_passes_the_status_on(
  cloud: stubs.Stubs, host: pathlib.Path, status: int
) -> None:
  assert cloud.run(host, "train", str(status))[0] == status


def test_a_host_stops_no_other_program(cloud: stubs.Stubs, host: pathlib.Path) -> None:
  with subprocess.Popen(["sleep", "60"]) as other:
    (cloud.folder / "train.pid").write_text(str(other.pid))
    assert cloud.run(host, "stop") == (0, "", "")
    assert other.poll() is None
    other.terminate()


def test_a_host_installs_a_newer_python(cloud: stubs.Stubs, host: pathlib.Path) -> None:
  cloud.add("python3")
  assert cloud.run(host, "install")[0] == 0
  *_, venv, install = cloud.calls("python3")
  assert venv[-1] == "3.12"
  assert install[-2:] == ["--editable", ".[tpu,gcs]"]


def _wait_for(path: pathlib.Path, process: "subprocess.Popen[str]") -> None:
  for _ in range(600):
    if path.exists() and (path.stat().st_size or path.name == "trains"):
      return
    assert process.poll() is None, process.communicate()
    time.sleep(0.1)
  raise TimeoutError(f"there is no {path}")
