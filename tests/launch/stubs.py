"""Stand-ins for the programs that launch/ calls: they note arguments, and reply."""

import dataclasses
import itertools
import os
import pathlib
import shlex
import shutil
import subprocess
from typing import Any

from tests import tiny

LAUNCH = tiny.ROOT / "launch"

# It is in bash, which starts in a tenth of the time that Python takes.
_STUB = """#!{bash}
cd {folder} || exit
printf '%s\\0' $# {name} "$@" >>calls
arguments="$*"
{replies}
exit 0
"""
# The first reply whose pattern is in the arguments counts; at each call the next of its
# scripts is run, in the end always the last.
_REPLY = """
if [[ $arguments == *{pattern}* ]]; then
  scripts=({scripts})
  called=0
  set -o noclobber  # Calls may come at the same time: a file for each.
  until {{ : >{name}.{number}.$called; }} 2>/dev/null; do
    called=$((called + 1))
  done
  ((called < {count})) || called=$(({count} - 1))
  exec bash -c "${{scripts[called]}}" bash "$@"
fi
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
    parts = [
      _REPLY.format(
        pattern=shlex.quote(pattern),
        scripts=" ".join(map(shlex.quote, scripts)),
        name=name,
        number=number,
        count=len(scripts),
      )
      for number, (pattern, scripts) in enumerate((replies or {}).items())
    ]
    path.write_text(
      _STUB.format(
        bash=shutil.which("bash"),
        folder=shlex.quote(str(self.folder)),
        name=name,
        replies="".join(parts),
      )
    )
    path.chmod(0o755)

  def calls(self, name: str, pattern: str = "") -> list[list[str]]:
    """The arguments of its calls in order, of those that hold the pattern."""
    log = self.folder / "calls"
    words = iter(log.read_text().split("\0")[:-1] if log.exists() else [])
    calls = []
    for count in words:
      called, *arguments = itertools.islice(words, 1 + int(count))
      if called == name and pattern in " ".join(arguments):
        calls.append(arguments)
    return calls

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
