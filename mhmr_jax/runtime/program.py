"""How every program starts, and how it ends on bad input."""

import functools
import gc
import logging as python_logging
import pathlib
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import tqdm
from absl import app, flags, logging
from etils import epath
from ml_collections import ConfigDict, config_flags

from mhmr_jax.errors import RESTART, InputError, RestartError
from mhmr_jax.runtime import (
  compilation_cache,
  config_check,
  config_rules,
  program_help,
)

WORKDIR = flags.DEFINE_string(
  "workdir", None, "The folder of a training run: its config, checkpoints and metrics."
)
OUT = flags.DEFINE_string(
  "out", None, "The folder that results go to (keypoints.detect: the .npz file)."
)
# Programs pass this to flags.DEFINE_* for a flag that another program defines too, with
# another meaning or help (--config, --dataset). absl keeps one table of flags in each
# process and refuses a second definition; the tests import several programs in one.
REDEFINED_FLAG: dict[str, Any] = {"allow_override": True}


# --help of absl and, because people type it, -h.
_HELP = frozenset({"--help", "-help", "--helpshort", "-helpshort", "-?", "-h"})


def run(
  main: Callable[[list[str]], Any],
  leave: Callable[[int], int] = lambda status: status,
  usual: Sequence[str] = (),
) -> None:
  """Parses the flags, runs `main` and exits with its status.

  An InputError is printed as one sentence and ends with status 1, a RestartError with
  `RESTART`.

  Args:
    main: takes the arguments that are not flags: the program's name alone.
    leave: takes the status of such an error, and returns the status to exit with;
      `processes.leave` in programs that run as several processes.
    usual: the flags that --help lists first.
  """

  def guarded(argv: list[str]) -> int:
    if len(argv) > 1:
      return _fail(f"Unexpected argument {argv[1]!r}: every option starts with --.")
    logging.set_verbosity(logging.INFO)
    logging.get_absl_handler().addFilter(_ours_or_errors)
    compilation_cache.keep()
    try:
      main(argv)
    except InputError as error:
      return leave(_fail(str(error)))
    except RestartError as error:
      return leave(_fail(str(error), RESTART))
    # All memory is given back now: to look through it for garbage first, as Python does
    # at its end, takes up to a second.
    gc.freeze()
    return 0

  app.run(guarded, flags_parser=functools.partial(_parse, usual))


def _parse(usual: Sequence[str], argv: list[str]) -> list[str]:
  if _HELP & set(argv):
    print(program_help.text(flags.FLAGS, usual))
    sys.exit(0)
  try:
    return flags.FLAGS(argv)
  except flags.Error as error:
    sys.exit(_fail(_message(error)))
  # A config file may raise anything, and ml_collections errors of many kinds for
  # overrides of keys that a config lacks, or with values of another type.
  except Exception as error:
    sys.exit(_fail(_config_problem(argv, error)))


def _config_problem(argv: list[str], error: Exception) -> str:
  """The sentence for a config that could not be loaded or overridden."""
  text = str(error)
  if "has no attribute 'get_config'" in text:
    return (
      "--config: the file has no function get_config: give one such as "
      "configs/flow_kp.py."
    )
  if isinstance(error, SyntaxError):
    return (
      f"--config: the file is not Python ({text}): give one such as configs/flow_kp.py."
    )
  words = set(re.findall(r"[\w.]+", text))
  for argument in argv:
    override = re.match(r"--?(?:no)?config\.([^=]+)", argument)
    # The error names the unknown part of the key.
    if override and words & {override[1], *override[1].split(".")}:
      return f"{config_check.unknown(override[1])}."
  return f"The config cannot be used: {_message(error)}"


def require(flag: flags.FlagHolder) -> Any:
  """Returns the value of a flag; raises InputError if it was not given."""
  if flag.value is None:
    raise InputError(f"--{flag.name} is missing: {flags.FLAGS[flag.name].help}")
  return flag.value


def config_of(flag: flags.FlagHolder) -> ConfigDict:
  """Returns the config that a flag names, locked; InputError if it cannot be loaded."""
  config = flag.value
  if isinstance(config, ConfigDict):
    return config.lock()
  try:
    getattr(config, "lock", None)
  # A config file that failed to load raises this when its config is first used.
  except OSError as error:
    reason = str(error).strip().splitlines()[-1].strip()
    raise InputError(f"--config cannot be loaded: {reason}") from error
  if not flags.FLAGS[flag.name].present:
    require(flag)
  raise InputError(
    f"--config: get_config returned {config_rules.shown(config)} and no ConfigDict: "
    "give a file such as configs/flow_kp.py."
  )


def define_config(default: ConfigDict) -> flags.FlagHolder:
  """Defines --config with a few keys, for programs that take no config file.

  ml_collections reads the command line here already: an override of an unknown key
  ends the program with one sentence.
  """
  keys = ", ".join(key for key, _ in config_check.flattened(default.to_dict()))
  words = f"Replaces a key of a run's config, as --config.KEY=VALUE; KEY is {keys}."
  try:
    return config_flags.DEFINE_config_dict(
      "config", default, help_string=words, **REDEFINED_FLAG
    )
  except (AttributeError, KeyError, TypeError, ValueError) as error:
    sys.exit(_fail(_config_problem(sys.argv, error)))


def path_of(flag: flags.FlagHolder) -> pathlib.Path:
  """Returns the absolute path that a flag names; raises as `require` does."""
  return pathlib.Path(str(require(flag))).expanduser().absolute()


def workdir() -> epath.Path:
  """Returns the work directory that its flag names; raises as `require` does."""
  return any_path(str(require(WORKDIR)))


def any_path(text: str) -> epath.Path:
  """Returns an absolute local path, or one in a bucket, such as gs://BUCKET/RUN."""
  path = epath.Path(text)
  return path if "://" in text else path.expanduser().absolute()


def _ours_or_errors(record: python_logging.LogRecord) -> bool:
  """Whether to log a record: what libraries log below an error is left out."""
  if any(name in record.pathname for name in ("mhmr_jax", "data_builders")):
    return True
  # Orbax also raises what it logs as an error with a traceback.
  return record.levelno >= python_logging.ERROR and "orbax" not in record.pathname


def _message(error: Exception) -> str:
  text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
  if "Traceback" in text:
    # ml_collections puts the whole trace of a config that fails into the message.
    text = text.strip().splitlines()[-1]
  return " ".join(text.split())


def _fail(message: str, status: int = 1) -> int:
  # A progress bar that was left open has no line end yet.
  for bar in list(getattr(tqdm.tqdm, "_instances", ())):
    bar.close()
  print(f"error: {message}", file=sys.stderr)
  return status
