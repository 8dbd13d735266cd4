"""How every program starts, and how it ends on bad input."""

import logging as python_logging
import pathlib
import sys
from collections.abc import Callable
from typing import Any

from absl import app, flags, logging
from etils import epath

from mhmr_jax.errors import RESTART, InputError, RestartError

WORKDIR = flags.DEFINE_string(
  "workdir", None, "The folder of a training run: its config, checkpoints and metrics."
)
OUT = flags.DEFINE_string(
  "out", None, "The folder that results go to (keypoints.detect: the .npz file)."
)
# For flags whose name several programs use, each for something else: one process, such
# as that of the tests, may import more than one of them.
REDEFINED_FLAG: dict[str, Any] = {"allow_override": True}


def run(
  main: Callable[[list[str]], Any], leave: Callable[[int], int] = lambda status: status
) -> None:
  """Runs `main` with parsed flags.

  An InputError becomes one sentence and status 1, a RestartError one and `RESTART`;
  `leave` is told, and what it returns is the status.
  """

  def guarded(argv: list[str]) -> int:
    if len(argv) > 1:
      return _fail(f"Unexpected argument {argv[1]!r}: every option starts with --.")
    logging.set_verbosity(logging.INFO)
    logging.get_absl_handler().addFilter(_ours_or_errors)
    try:
      main(argv)
    except InputError as error:
      return leave(_fail(str(error)))
    except RestartError as error:
      return leave(_fail(str(error), RESTART))
    return 0

  def parse(argv: list[str]) -> list[str]:
    try:
      return flags.FLAGS(argv)
    except flags.Error as error:
      sys.exit(_fail(_message(error)))
    # ml_collections raises these for overrides of keys that a config lacks, or
    # with values of another type.
    except (AttributeError, KeyError, TypeError, ValueError, OSError) as error:
      sys.exit(_fail(f"The config cannot be used: {_message(error)}"))

  app.run(guarded, flags_parser=parse)


def require(flag: flags.FlagHolder) -> Any:
  """The value of a flag; InputError unless it was given."""
  if flag.value is None:
    raise InputError(f"--{flag.name} is missing: {flags.FLAGS[flag.name].help}")
  return flag.value


def config_of(flag: flags.FlagHolder) -> Any:
  """The config that a flag names, locked; InputError unless it can be loaded."""
  config = require(flag)
  try:
    config.lock()
  # A config file that failed to load says so at the first look at its config.
  except OSError as error:
    reason = str(error).strip().splitlines()[-1].strip()
    raise InputError(f"--config cannot be loaded: {reason}") from error
  return config


def path_of(flag: flags.FlagHolder) -> pathlib.Path:
  """The path that a flag names; InputError unless it was given."""
  return pathlib.Path(str(require(flag))).expanduser().absolute()


def workdir() -> epath.Path:
  """The work directory that the flag names; InputError unless it was given."""
  return any_path(str(require(WORKDIR)))


def any_path(text: str) -> epath.Path:
  """A local path, or one in a bucket, such as gs://BUCKET/RUN."""
  path = epath.Path(text)
  return path if "://" in text else path.expanduser().absolute()


def _ours_or_errors(record: python_logging.LogRecord) -> bool:
  """Keeps libraries' running commentary out of what the user reads."""
  if any(name in record.pathname for name in ("mhmr_jax", "data_builders")):
    return True
  # What Orbax logs as an error, with a traceback, it also raises.
  return record.levelno >= python_logging.ERROR and "orbax" not in record.pathname


def _message(error: Exception) -> str:
  text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
  if "Traceback" in text:
    # ml_collections puts the whole trace of a config that fails into the message.
    text = text.strip().splitlines()[-1]
  return " ".join(text.split())


def _fail(message: str, status: int = 1) -> int:
  print(f"error: {message}", file=sys.stderr)
  return status
