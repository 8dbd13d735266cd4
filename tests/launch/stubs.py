"""Stand-ins for the programs that launch/ calls: they note arguments, and reply."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
from typing import Any

from tests import tiny

LAUNCH = tiny.ROOT / "launch"

# The first reply whose pattern is in the arguments counts; at each call the
# next of its scripts is run, in the end always the last.
_STUB = """#!{python} -IS
import json, os, sys
os.chdir({folder!r})
arguments = sys.argv[1:]
with open("calls.jsonl", "a") as calls:
  calls.write(json.dumps([{name!r}, *arguments]) + "\\n")
for number, (pattern, scripts) in enumerate({replies!r}):
  if pattern in " ".join(arguments):
    called = 0
    while True:  # Calls may come at the same time: a file for each.
      try:
        os.close(os.open(f"{name}.{{number}}.{{called}}", os.O_CREAT | os.O_EXCL))
        break
      except FileExistsError:
        called += 1
    script = scripts[min(called, len(scripts) - 1)]
    os.execvp("bash", ["bash", "-c", script, "bash", *arguments])
"""


@dataclasses.dataclass
class Stubs:
  """A folder of stand-ins, first on the PATH of the scripts that it runs.

  The scripts of replies run in this folder, with the call's arguments.
  """

  folder: pathlib.Path

  def add(self, name: str, replies: dict[str, list[str]] | None = None) -> None:
    """Makes one: for a pattern in its arguments, the shell script of each call."""
    path = self.folder / name
    path.write_text(
      _STUB.format(
        python=sys.executable,
        folder=str(self.folder),
        name=name,
        replies=list((replies or {}).items()),
      )
    )
    path.chmod(0o755)

  def calls(self, name: str, pattern: str = "") -> list[list[str]]:
    """The arguments of its calls in order, of those that hold the pattern."""
    log = self.folder / "calls.jsonl"
    lines = log.read_text().splitlines() if log.exists() else []
    calls = [json.loads(line) for line in lines]
    return [
      call[1:] for call in calls if call[0] == name and pattern in " ".join(call[1:])
    ]

  def start(
    self, script: str | pathlib.Path, *arguments: str, **variables: str
  ) -> "subprocess.Popen[str]":
    """Starts a script of launch/, with these environment variables."""
    path = f"{self.folder}{os.pathsep}{os.environ['PATH']}"
    # Tests that a shell runs in the background would hand on that they ignore Ctrl-C.
    heard = ["env", "--default-signal=INT"]
    return subprocess.Popen(
      [*heard, "bash", str(LAUNCH / script), *arguments],
      cwd=tiny.ROOT,
      env=_plain_environment() | {"PATH": path} | variables,
      text=True,
      stdin=subprocess.DEVNULL,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
    )

  def run(self, *arguments: Any, **variables: str) -> tuple[int, str, str]:
    """Runs it to its end: exit status, standard output, standard error."""
    process = self.start(*arguments, **variables)
    output, errors = process.communicate(timeout=120)
    return process.returncode, output, errors


def _plain_environment() -> dict[str, str]:
  """Ours without what the scripts take for parameters."""
  return {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}


def sentence(errors: str) -> str:
  """The one line of an error; AssertionError if there are more lines, or none."""
  (line,) = errors.splitlines()
  assert line.startswith("error: ")
  assert line.endswith(".")
  return line
