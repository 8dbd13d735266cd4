"""Extras are found by every pip: Python 3.11's own knows them by one spelling alone."""

import configparser
import re

import pytest

from tests.tiny import ROOT

_TEXTS = sorted(
  path
  for pattern in ("*.md", "docs/*.md", "data_builders/*/*.md", "launch/*", "*/*.py")
  for path in ROOT.glob(pattern)
  if path.is_file()
)


@pytest.fixture(scope="module")
def extras() -> set[str]:
  parser = configparser.ConfigParser()
  parser.read(ROOT / "setup.cfg")
  return set(parser["options.extras_require"])


def test_names_are_spelled_as_packages_metadata_spell_them(extras):
  assert {re.sub(r"[-_.]+", "-", name).lower() for name in extras} == extras


def test_commands_name_extras_that_exist(extras):
  found = [
    (path.name, name)
    for path in _TEXTS
    for names in re.findall(r"\.\[([\w,-]+)\]'", path.read_text())
    for name in names.split(",")
  ]
  assert {"data.md", "scale.md"} <= {path for path, _ in found}
  assert [pair for pair in found if pair[1] not in extras] == []
