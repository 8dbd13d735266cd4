"""The order of the package's rooms, held on the imports themselves.

A room is a folder, or one of the files at the top. It imports only rooms that stand
before it in `ROOMS`, wherever in a file the import stands, and no modules import each
other in a circle. CONTRIBUTING.md says what each room is for.
"""

import graphlib
import pathlib
import re

import grimp
import pytest

from tests.tiny import ROOT

ROOMS = (
  "mhmr_jax.errors",
  "mhmr_jax.schema",
  "mhmr_jax.runtime",
  "mhmr_jax.files",
  "mhmr_jax.geometry",
  "mhmr_jax.body",
  "mhmr_jax.motion",
  "mhmr_jax.keypoints",
  "mhmr_jax.models",
  "mhmr_jax.flow",
  "mhmr_jax.synth",
  "data_builders",
  "mhmr_jax.data",
  "mhmr_jax.training",
  "mhmr_jax.inference",
  "mhmr_jax.evaluation",
  "mhmr_jax.export",
  "mhmr_jax.visualize",
  "mhmr_jax.weights",
  "mhmr_jax.aot",
)
PROGRAMS = ("train", "train_flow", "evaluate", "predict", "compile")


def _room(module: str) -> int:
  """The place of a module's room in the order; the programs come last."""
  for place, room in enumerate(ROOMS):
    if module == room or module.startswith(f"{room}."):
      return place
  assert module.removeprefix("mhmr_jax.") in PROGRAMS, f"{module} is in no room"
  return len(ROOMS)


def _imports(graph: grimp.ImportGraph) -> dict[str, set[str]]:
  """What each module imports of the project, without the packages' own names."""
  packages = {"mhmr_jax"}
  return {
    module: set(graph.find_modules_directly_imported_by(module)) - packages
    for module in graph.modules - packages
  }


def backwards(graph: grimp.ImportGraph) -> list[str]:
  """The imports that break the order of the rooms, or that are of a program."""
  programs = {f"mhmr_jax.{name}" for name in PROGRAMS}
  return sorted(
    f"{module} imports {imported}"
    for module, others in _imports(graph).items()
    for imported in others
    if _room(imported) > _room(module) or imported in programs
  )


def in_order(graph: grimp.ImportGraph) -> tuple[str, ...]:
  """All modules, each after those that it imports; CycleError if there is a circle."""
  return tuple(graphlib.TopologicalSorter(_imports(graph)).static_order())


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
  return grimp.build_graph("mhmr_jax", "data_builders", cache_dir=None)


def test_no_import_runs_back(graph):
  assert backwards(graph) == []


def test_no_modules_import_each_other_in_a_circle(graph):
  assert len(in_order(graph)) == len(graph.modules) - 1


@pytest.mark.parametrize(
  ("importer", "imported"),
  [
    ("mhmr_jax.synth.clips", "mhmr_jax.data.pipeline"),
    ("data_builders.sharded", "mhmr_jax.data.sources"),
    ("mhmr_jax.files.workdirs", "mhmr_jax.models.motion_hmr"),
  ],
)
def test_an_import_that_runs_back_is_found(graph, importer, imported):
  planted = grimp.build_graph("mhmr_jax", "data_builders", cache_dir=None)
  planted.add_import(importer=importer, imported=imported)
  assert backwards(planted) == [f"{importer} imports {imported}"]


def test_a_circle_within_a_room_is_found():
  planted = grimp.build_graph("mhmr_jax", "data_builders", cache_dir=None)
  planted.add_import(
    importer="mhmr_jax.body.joints", imported="mhmr_jax.body.regressor_files"
  )
  with pytest.raises(graphlib.CycleError):
    in_order(planted)


def test_only_programs_stand_beside_errors_and_schema_at_the_top():
  files = {path.stem for path in (ROOT / "mhmr_jax").glob("*.py")}
  assert files == {"__init__", "errors", "schema", *PROGRAMS}


def test_the_contributors_page_names_every_room_in_this_order():
  text = (ROOT / "CONTRIBUTING.md").read_text()
  listed = re.findall(r"^  (\w+)(?:\.py|/)  ", text, re.MULTILINE)
  assert listed == [room.split(".")[-1] for room in ROOMS if "." in room]


def test_every_room_is_a_folder_that_says_what_it_is_for():
  for room in ROOMS[2:]:
    init = pathlib.Path(ROOT, *room.split("."), "__init__.py")
    assert init.read_text().startswith('"""')
