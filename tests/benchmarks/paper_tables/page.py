"""Tables as Markdown, in their places on a page."""

import pathlib
import re
from collections.abc import Mapping, Sequence

from mhmr_jax.errors import InputError
from mhmr_jax.evaluation import intervals
from mhmr_jax.evaluation.intervals import Estimate
from mhmr_jax.files import atomic
from tests.benchmarks.paper_tables import scoring
from tests.benchmarks.paper_tables.scoring import Result
from tests.benchmarks.paper_tables.tables import TITLES, Table

# The results of each run by test; one for each seed.
Found = Mapping[str, Mapping[str, Sequence[Result]]]


def write(path: pathlib.Path, name: str, content: str) -> None:
  """Puts a table between its marks on a page; all else stays.

  Raises:
    InputError: the page has no marks for this table.
  """
  begin, end = f"<!-- table {name} -->", "<!-- end of table -->"
  text = path.read_text() if path.exists() else f"{begin}\n{end}\n"
  place = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
  if not place.search(text):
    raise InputError(f"{path} has no place for the table {name}: add {begin} {end}.")
  atomic.make_folder(path.parent)
  filled = f"{begin}\n\n{content}\n{end}"
  atomic.write(path, place.sub(lambda _: filled, text))


def render(table: Table, found: Found) -> str:
  """A table of means and intervals, then what its comparisons show."""
  tests = [test for test in table.tests if any(test in found[run] for run in found)]
  with_paper = any(entry.paper for entry in table.entries)
  header = ["PA-MPJPE, mm", "seeds", *(TITLES[test] for test in tests)]
  header += ["3DPW, the paper"] * with_paper
  lines = [_row(header), _row(["---"] * len(header))]
  for entry in table.entries:
    by_test = found.get(entry.run, {})
    if not by_test:
      continue
    seeds = max(len(of_test) for of_test in by_test.values())
    cells = [_cell(by_test.get(test, [])) for test in tests]
    paper = [str(entry.paper or "")] * with_paper
    lines.append(_row([entry.label, str(seeds), *cells, *paper]))
  lines += [
    _row([name, "", *cells, *[""] * with_paper])
    for name, cells in _constants(found, tests).items()
  ]
  compared = _comparisons(table, found, tests)
  return "\n".join([table.title, "", *lines, *compared]) + "\n"


def _row(cells: Sequence[str]) -> str:
  return f"| {' | '.join(cells)} |"


def _cell(of_test: Sequence[Result]) -> str:
  if not of_test:
    return ""
  return shown(intervals.over_seeds(scoring.errors_of(list(of_test))))


def shown(estimate: Estimate) -> str:
  """A mean with its interval."""
  mean, low, high = estimate
  return f"{mean:.1f} [{low:.1f}, {high:.1f}]"


def _constants(found: Found, tests: Sequence[str]) -> dict[str, list[str]]:
  """The cells of constant poses, which are the same for all runs of a test."""
  rows: dict[str, dict[str, float]] = {}
  for by_test in found.values():
    for test, of_test in by_test.items():
      for name, value in of_test[0]["baselines"].items():
        rows.setdefault(name, {}).setdefault(test, value)
  return {
    name: [f"{values[test]:.1f}" if test in values else "" for test in tests]
    for name, values in rows.items()
  }


def _comparisons(table: Table, found: Found, tests: Sequence[str]) -> list[str]:
  """What becomes of each difference that the table asks for."""
  labels = {entry.run: entry.label for entry in table.entries}
  lines = []
  for better, worse in table.pairs:
    cells = [_verdict(found, better, worse, test, table.of_paper) for test in tests]
    if any(cells):
      lines.append(_row([f"{labels[better]} less {labels[worse]}", *cells]))
  if not lines:
    return []
  header = ["difference, mm", *(TITLES[test] for test in tests)]
  return ["", _row(header), _row(["---"] * len(header)), *lines]


def _verdict(found: Found, better: str, worse: str, test: str, of_paper: bool) -> str:
  """The difference of two runs, and whether it is beyond noise and as expected."""
  pair = [list(found.get(run, {}).get(test, [])) for run in (better, worse)]
  if not all(pair) or not scoring.of_same_truth(pair[0][0], pair[1][0]):
    return ""
  first, second = map(scoring.errors_of, pair)
  estimate = intervals.difference(first, second)
  verdict = "within noise"
  if estimate.high < 0:
    verdict = "as in the paper" if of_paper else "lower"
  elif estimate.low > 0:
    verdict = "the opposite" if of_paper else "higher"
  return f"{shown(estimate)}, {verdict}"
