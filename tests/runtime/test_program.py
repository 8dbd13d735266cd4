"""How programs start and end, in this process."""

import functools
import logging as python_logging
import pathlib
import re
import sys

import pytest
import tqdm
from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from mhmr_jax.errors import RESTART, InputError, RestartError
from mhmr_jax.runtime import program
from tests import tiny

# ml_collections loads config files by it.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")

CONFIG = """
from ml_collections import ConfigDict
def get_config():
  return ConfigDict({"train": {"steps": 10}})
"""


@pytest.fixture
def flag_values(monkeypatch):
  """The flags of a program that has no others."""
  values = flags.FlagValues()
  monkeypatch.setattr(flags, "FLAGS", values)
  return values


@pytest.fixture
def config_flag(flag_values):
  return config_flags.DEFINE_config_file("config", None, flag_values=flag_values)


@pytest.fixture
def config_file(tmp_path):
  path = tmp_path / "experiment.py"
  path.write_text(CONFIG)
  return path


@pytest.fixture
def start(monkeypatch, flag_values):
  """Runs a program as absl does, to its exit status."""
  verbosity, handler = logging.get_verbosity(), logging.get_absl_handler()
  filters = list(handler.filters)

  def run(main, *arguments, **options):
    argv = ["program", *arguments]
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.setattr(
      app, "run", lambda guarded, flags_parser: sys.exit(guarded(flags_parser(argv)))
    )
    with pytest.raises(SystemExit) as ended:
      program.run(main, **options)
    return ended.value.code

  yield run
  handler.filters[:] = filters
  logging.set_verbosity(verbosity)


def _raise(error):
  raise error


def test_a_program_that_returns_ends_with_status_0(start, capsys):
  called = []
  assert start(called.append) == 0
  assert called == [["program"]]
  assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
  ("error", "status"), [(InputError, 1), (RestartError, RESTART)]
)
def test_errors_of_the_user_end_in_their_sentence(start, capsys, error, status):
  assert start(lambda argv: _raise(error("x.json is damaged."))) == status
  assert capsys.readouterr().err == "error: x.json is damaged.\n"


def test_every_program_that_reads_flags_ends_so():
  root = pathlib.Path(__file__).parents[2]
  texts = {
    path: path.read_text()
    for folder in ("mhmr_jax", "data_builders")
    for path in (root / folder).rglob("*.py")
  }
  names = re.findall(r"DEFINE_\w+\(\s*\"(\w+)\"", "\n".join(texts.values()))
  found = 0
  for path, text in texts.items():
    rest, is_program, start = text.partition('if __name__ == "__main__":')
    if is_program and "program" in rest and "def main(argv" in rest:
      assert re.match(r"\s*program\.run\(\s*main\b", start), path
      usual = re.findall(r"\"(\w+)\"", start.partition("usual=")[2])
      assert set(usual) <= set(names), path
      found += 1
  assert found >= 8


def test_leave_is_told_of_errors_and_chooses_the_status(start):
  told = []
  leave = lambda status: told.append(status) or 42
  assert start(lambda argv: None, leave=leave) == 0
  assert told == []
  assert start(lambda argv: _raise(InputError("x")), leave=leave) == 42
  assert start(lambda argv: _raise(RestartError("x")), leave=leave) == 42
  assert told == [1, RESTART]


def test_other_errors_keep_their_traceback(start, monkeypatch):
  with pytest.raises(ZeroDivisionError):
    start(lambda argv: 1 / 0)


def test_arguments_without_dashes_and_unknown_flags_are_named(start, capsys):
  called = []
  assert start(called.append, "video.mp4") == 1
  assert start(called.append, "--no_such_flag") == 1
  first, second = capsys.readouterr().err.splitlines()
  assert first == "error: Unexpected argument 'video.mp4': every option starts with --."
  assert second.startswith("error: Unknown command line flag 'no_such_flag'")
  assert not called


@pytest.mark.parametrize(
  "override", ["--config.train.stepz=3", "--config.train.steps=many"]
)
def test_overrides_that_do_not_fit_are_named(
  start, config_flag, config_file, override, capsys
):
  called = []
  assert start(called.append, f"--config={config_file}", override) == 1
  (line,) = capsys.readouterr().err.splitlines()
  assert line.startswith("error: ")
  assert "steps" in line or "stepz" in line
  assert not called


def test_configs_are_loaded_overridden_and_locked(start, config_flag, config_file):
  def main(argv):
    config = program.config_of(config_flag)
    assert config.train.steps == 3
    with pytest.raises(AttributeError):
      config.train.stepz = 3

  assert start(main, f"--config={config_file}", "--config.train.steps=3") == 0


@pytest.mark.parametrize(
  ("override", "sentence"),
  [
    (
      "--config.nosuch.key=1",
      "error: There is no config.nosuch.key: a config has body",
    ),
    ("--config.train.stepz=1", "error: There is no config.train.stepz: use config.tra"),
    ("--config.train.steps.x=1", "error: There is no config.train.steps.x: "),
    ("--config.train=3", "error: flag --config.train=3: "),
  ],
)
def test_an_override_of_no_key_is_named_whole(
  start, config_flag, config_file, override, sentence, capsys
):
  assert start(lambda argv: None, f"--config={config_file}", override) == 1
  (line,) = capsys.readouterr().err.splitlines()
  assert line.startswith(sentence)


@pytest.mark.parametrize(
  ("content", "sentence"),
  [
    ("root:x:0:0:root:/root:/bin/bash", "error: --config: the file is not Python"),
    ("x = 1", "error: --config: the file has no function get_config: give one such as"),
    ("def get_config(): return None", "error: --config: get_config returned None and"),
    ("def get_config(): return {}", "error: --config: get_config returned {} and"),
    ("import nosuch", "error: The config cannot be used: No module named 'nosuch'"),
    ("def get_config(): return 1 / 0", "error: The config cannot be used: "),
  ],
)
@pytest.mark.filterwarnings("ignore")  # ml_collections warns of some of them.
def test_a_file_that_is_no_config_is_one_sentence(
  start, config_flag, tmp_path, content, sentence, capsys, monkeypatch
):
  # ml_collections runs every file as the same module.
  monkeypatch.delitem(sys.modules, "config_config", raising=False)
  path = tmp_path / "experiment.py"
  path.write_text(content + "\n")
  main = lambda argv: program.config_of(config_flag)
  assert start(main, f"--config={path}") == 1
  shown = capsys.readouterr().err.strip().splitlines()
  assert shown[-1].startswith(sentence)
  assert "Traceback" not in "".join(shown)


@pytest.mark.parametrize("asked", ["--help", "-h"])
def test_help_groups_the_flags_with_the_usual_ones_first(
  start, flag_values, monkeypatch, capsys, asked
):
  from mhmr_jax.runtime import process_flags

  monkeypatch.setattr(sys.modules["__main__"], "__doc__", "Does 100 % of it.\n")
  define = functools.partial(flags.DEFINE_string, flag_values=flag_values)
  define("alpha", None, "The first letter.", module_name="program")
  define("beta", "b", "The second letter.", module_name="program")
  define("workdir", None, "Theirs.", module_name="mhmr_jax.runtime.program")
  define("out", None, "A folder.", module_name="mhmr_jax.runtime.program")
  define("jax_thing", None, "A library's.", module_name="jax")
  define("config.seed", None, "An override.", module_name="program")
  shared = process_flags.__name__
  flags.DEFINE_bool("joined", False, "A switch.", flag_values, shared)
  flags.DEFINE_enum("kind", "a", ["a", "b"], "A choice.", flag_values, shared)
  called = []
  assert start(called.append, asked, usual=("out", "beta")) == 0
  assert not called
  shown = capsys.readouterr().out
  assert shown == (
    "Does 100 % of it.\n\n"
    "The usual flags:\n"
    "  --out=OUT\n      A folder.\n"
    "  --beta=BETA\n      The second letter. (default: b)\n\n"
    "Other flags:\n"
    "  --alpha=ALPHA\n      The first letter.\n\n"
    "The flags by which the processes of one run find each other:\n"
    "  --[no]joined\n      A switch.\n"
    "  --kind=a|b\n      A choice. (default: a)\n\n"
    "--helpfull lists the flags of all libraries too.\n"
  )


def test_overrides_of_a_program_without_a_config_file_are_named(
  flag_values, monkeypatch, capsys
):
  arguments = ["evaluate", "--config.body.paht=x"]
  monkeypatch.setattr(sys, "argv", arguments)
  define = functools.partial(config_flags.DEFINE_config_dict, flag_values=flag_values)
  monkeypatch.setattr(config_flags, "DEFINE_config_dict", define)
  with pytest.raises(SystemExit) as ended:
    program.define_config(ConfigDict({"body": {"path": ""}}))
  assert ended.value.code == 1
  assert capsys.readouterr().err == (
    "error: There is no config.body.paht: use config.body.path.\n"
  )


def test_a_config_that_cannot_be_loaded_is_one_sentence(
  start, config_flag, tmp_path, capsys
):
  main = lambda argv: program.config_of(config_flag)
  assert start(main) == 1
  assert start(main, f"--config={tmp_path}/absent.py") == 1
  first, second = capsys.readouterr().err.splitlines()
  assert first.startswith("error: --config is missing: ")
  assert second.startswith("error: --config cannot be loaded: ")
  assert "absent.py" in second


def test_only_our_records_and_errors_are_logged(start):
  def is_logged(path, level):
    record = python_logging.LogRecord("x", level, path, 1, "text", (), None)
    return bool(logging.get_absl_handler().filter(record))

  def main(argv):
    assert is_logged("/x/mhmr_jax/train.py", python_logging.INFO)
    assert is_logged("/x/data_builders/sharded.py", python_logging.INFO)
    assert not is_logged("/x/jax/lib.py", python_logging.WARNING)
    assert is_logged("/x/jax/lib.py", python_logging.ERROR)
    assert not is_logged("/x/orbax/checkpoint.py", python_logging.ERROR)

  assert start(main) == 0


def test_flags_of_paths_are_required_and_made_absolute(flag_values, monkeypatch):
  flag = flags.DEFINE_string("results", None, "Where.", flag_values=flag_values)
  flag_values.mark_as_parsed()
  with pytest.raises(InputError, match=r"^--results is missing: Where\.$"):
    program.path_of(flag)
  flag_values.results = "~/a"
  assert program.path_of(flag) == pathlib.Path.home() / "a"
  flag_values.results = "a/b"
  assert program.path_of(flag) == pathlib.Path.cwd() / "a" / "b"
  assert program.require(flag) == "a/b"


def test_work_directories_may_be_in_a_bucket():
  assert str(program.any_path("gs://bucket/run")) == "gs://bucket/run"
  assert str(program.any_path("runs/a")) == str(pathlib.Path.cwd() / "runs" / "a")
  assert str(program.any_path("~/a")) == str(pathlib.Path.home() / "a")


def test_an_error_begins_a_line_of_its_own_after_a_progress_bar(start, capsys):
  def fail(argv):
    bar = tqdm.tqdm(total=3, mininterval=0)
    bar.update()
    raise InputError("x is damaged.")

  assert start(fail) == 1
  assert capsys.readouterr().err.endswith("\nerror: x is damaged.\n")


HELPED = (
  *("train", "train_flow", "evaluate", "compile", "predict"),
  *("visualize.clips", "keypoints.detect", "keypoints.fit_noise"),
  "motion.fit_pose_prior",
)


@pytest.mark.parametrize("program", HELPED)
def test_help_imports_nothing_that_takes_long(program):
  shown, modules = tiny.help_of(program)
  slow = {"av", "cv2", "grain", "jax", "orbax", "scipy", "tensorflow_datasets"}
  assert not slow & modules
  joins = program in ("train", "train_flow", "evaluate")
  assert ("--coordinator" in shown) == joins
