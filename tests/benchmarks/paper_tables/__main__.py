"""One table of the paper: trains its rows, tests them, and writes docs/paper.md.

  python -m tests.benchmarks.paper_tables --table=inputs [--size=small|paper] [--quick]

What is there already is not done again: a training goes on where it stopped, and a
result that is kept is not computed anew. The order is that of value: seed 0 of all rows
comes first, and those with most seeds before others. At the paper's size the test is
3DPW; the steps' shapes are checked first, and missing data is named in a sentence.
"""

import itertools
import json
import pathlib
from typing import Any

from absl import flags
from ml_collections import ConfigDict

from mhmr_jax.data import config_paths
from mhmr_jax.errors import InputError
from mhmr_jax.files import atomic
from mhmr_jax.runtime import config_check, program
from mhmr_jax.visualize import panels
from tests.benchmarks.paper_tables import page, pictures, runs, scoring
from tests.benchmarks.paper_tables.runs import Options, Run
from tests.benchmarks.paper_tables.scoring import Result
from tests.benchmarks.paper_tables.tables import TABLES, Table

_TABLE = flags.DEFINE_enum("table", None, list(TABLES), "The table to make.")
_SIZE = flags.DEFINE_enum("size", "small", runs.SIZES, "The variant of the configs.")
_QUICK = flags.DEFINE_boolean("quick", False, "Tiny runs, to try the path in minutes.")
_RUNS = flags.DEFINE_string(
  "runs", "paper_output", "The folder of the work directories and the clips."
)
_ROWS = flags.DEFINE_list(
  "rows", [], "Train and test only these runs now, such as flow,rgb; else all."
)
_SEEDS = flags.DEFINE_integer(
  "seeds", None, "The most seeds of a row; by default as many as it has.", lower_bound=1
)
_TESTS = flags.DEFINE_list("tests", [], "Only these tests, such as full; else all.")
_PICTURES = flags.DEFINE_string(
  "pictures", "", "A JPEG to write: what the first seeds make of real frames."
)
_RAFT = flags.DEFINE_string("raft_weights", "", "A file of RAFT's released weights.")


def _paths() -> ConfigDict:
  """The keys of this machine's data."""
  paths = config_paths.local_paths()
  del paths.data["variant"]
  with paths.unlocked():
    paths.surreal = ConfigDict(dict(dir=""))
    paths.videos = ConfigDict(dict(dir="", detector_weights=""))
    paths.data.motion = paths.data.backgrounds = ""
  return paths


_CONFIG = program.define_config(_paths())


def make(
  name: str,
  table: Table,
  options: Options,
  results: pathlib.Path,
  page_path: pathlib.Path,
  wanted: Table | None = None,
  seeds: int | None = None,
) -> str:
  """Trains and tests what a table lacks, and writes it.

  Args:
    name: of the table.
    table: its rows and tests.
    options: of all runs.
    results: the folder of the results' files.
    page_path: the page that has a place for the table.
    wanted: the part of the table to train and test now; None: all of it. The page has
      all that is kept.
    seeds: the most seeds of a row to train and test now; None: as many as it has.

  Returns:
    The table, as Markdown.

  Raises:
    InputError: data or weights are missing.
    RestartError: a training was asked to stop.
  """
  wanted = wanted or table
  lacking = [
    (run, missing)
    for run in plan(wanted, options, seeds)
    if (missing := [t for t in wanted.tests if not scoring.read(run, t, results)])
  ]
  found = [runs.missing_data(run, missing) for run, missing in lacking]
  config_paths.refuse(sorted(set(itertools.chain.from_iterable(found))))
  if any(test.startswith("real") for _, missing in lacking for test in missing):
    scoring.recording()

  def shown() -> str:
    content = page.render(table, collect(table, plan(table, options), results))
    page.write(page_path, name, content)
    return content

  content = shown()
  for run, missing in lacking:
    print(f"[train] {run.name}", flush=True)
    runs.fit(run, options)
    for test in missing:
      result = scoring.score(run, test, options, results)
      print(f"[test] {run.name} on {test}: {result['pa_mpjpe_mm']:.1f} mm", flush=True)
    # A page after each run: long tables are of use before they are whole.
    content = shown()
  return content


def plan(table: Table, options: Options, seeds: int | None = None) -> list[Run]:
  """The runs of a table in the order of their value."""
  by_seeds = sorted(table.entries, key=lambda entry: -entry.seeds)
  return [
    runs.of_entry(entry, seed, options)
    for seed in range(by_seeds[0].seeds if seeds is None else seeds)
    for entry in by_seeds
    if seed < entry.seeds
  ]


def collect(
  table: Table, planned: list[Run], results: pathlib.Path
) -> dict[str, dict[str, list[Result]]]:
  """The results that are there, by run and test."""
  found: dict[str, dict[str, list[Result]]] = {}
  for run in planned:
    for test in table.tests:
      result = scoring.read(run, test, results)
      if result is not None:
        of_run = found.setdefault(run.entry.run, {})
        of_run.setdefault(test, []).append(result)
  return found


def check_shapes(table: Table, options: Options) -> None:
  """Prints the size of each row's training step, from its shapes alone."""
  for run in plan(table, options, seeds=1):
    size = runs.step_size(run)
    print(f"{run.entry.label}: {size / 1e6:.1f} M parameters", flush=True)


def chosen(table: Table, rows: list[str], tests: list[str]) -> Table:
  """The table with some of its rows and tests; all where none are named.

  Raises:
    InputError: it has no such row or test.
  """
  known = [entry.run for entry in table.entries]
  for flag, names, options in (("rows", rows, known), ("tests", tests, table.tests)):
    for name in names:
      if name not in options:
        raise InputError(
          f"--{flag}={name}: this table has {', '.join(options)}: choose of these."
        )
  entries = tuple(e for e in table.entries if not rows or e.run in rows)
  return table._replace(
    entries=entries, tests=tuple(t for t in table.tests if not tests or t in tests)
  )


def main(argv: list[str]) -> None:
  """Reads the flags, and makes a table."""
  del argv
  name = str(program.require(_TABLE))
  table = TABLES[name]
  if _SIZE.value == "paper":
    if _QUICK.value:
      raise InputError("--quick is for --size=small: leave out one of the two.")
    table = table._replace(tests=("3dpw",))
  wanted = chosen(table, _ROWS.value, _TESTS.value)
  given: dict[str, Any] = dict(config_check.flattened(_CONFIG.value.to_dict()))
  options = Options(
    size=_SIZE.value,
    quick=_QUICK.value,
    folder=program.path_of(_RUNS),
    paths={key: value for key, value in given.items() if value},
    raft_weights=_RAFT.value,
  )
  folder, page_path = runs.ROOT / "docs" / "paper", runs.ROOT / "docs" / "paper.md"
  if options.quick:
    folder, page_path = options.folder / "results", options.folder / f"{name}.md"
  if options.size == "paper":
    page_path = folder / f"{name}.md"
    check_shapes(wanted, options)
  results = folder / options.size
  print(make(name, table, options, results, page_path, wanted, _SEEDS.value))
  if _PICTURES.value:
    drawn = pictures.draw(plan(wanted, options, seeds=1), scoring.recording())
    atomic.write(program.path_of(_PICTURES), panels.encode_jpeg(drawn, quality=88))
  means = {
    f"{run.name}_{test}": result["pa_mpjpe_mm"]
    for run in plan(wanted, options, _SEEDS.value)
    for test in wanted.tests
    if (result := scoring.read(run, test, results)) is not None
  }
  print(json.dumps(means))


if __name__ == "__main__":
  program.run(main)
