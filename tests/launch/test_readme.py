import re

from tests.launch import stubs

# Called by the others.
PARTS = {"environment.sh", "tpu_host.sh"}


def test_the_table_has_every_way_to_run() -> None:
  scripts = {
    path.name
    for path in stubs.LAUNCH.iterdir()
    if path.suffix in (".sh", ".sbatch") and path.name not in PARTS
  }
  rows = [
    line
    for line in (stubs.LAUNCH / "README.md").read_text().splitlines()
    if line.startswith("| `")
  ]
  named = [re.findall(r"launch/(\w+\.(?:sh|sbatch))", row)[0] for row in rows]
  assert sorted(named) == sorted(scripts)
