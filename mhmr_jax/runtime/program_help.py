"""What a program prints for --help: its own flags, the usual ones first.

absl's own help lists the flags of the main module alone, and those of every library
with --helpfull.
"""

import sys
import textwrap
from collections.abc import Iterator, Sequence

from absl import flags

_PACKAGES = ("mhmr_jax", "data_builders")
_WIDTH = 80


def text(values: flags.FlagValues, usual: Sequence[str]) -> str:
  """The running program's description, and its flags in groups.

  Args:
    values: all flags that were defined.
    usual: the names of the flags that come first. All programs define
      `runtime.program`'s flags; those that are not named here are left out.
  """
  description = (sys.modules["__main__"].__doc__ or "").strip()
  parts = [description] if description else []
  for title, names in _groups(values, usual):
    shown = "\n".join(_shown(values[name]) for name in names)
    parts.append(f"{title}:\n{shown}")
  return "\n\n".join([*parts, "--helpfull lists the flags of all libraries too."])


def _groups(
  values: flags.FlagValues, usual: Sequence[str]
) -> Iterator[tuple[str, list[str]]]:
  if usual:
    yield "The usual flags", list(usual)
  by_module = values.flags_by_module_dict()
  for module in sorted(by_module, key=lambda name: name != sys.argv[0]):
    names = sorted(
      flag.name
      for flag in by_module[module]
      if flag.name not in usual and not flag.name.startswith("config.")
    )
    title = "Other flags" if usual else "Flags"
    if module != sys.argv[0]:
      title = _first_sentence(module)
    if names and title:
      yield title, names


def _first_sentence(module: str) -> str:
  """The first sentence of one of our modules; "" for libraries and `program`."""
  if module.partition(".")[0] not in _PACKAGES or module == "mhmr_jax.runtime.program":
    return ""
  documentation = sys.modules[module].__doc__ or module
  return documentation.strip().partition("\n")[0].rstrip(".")


def _shown(flag: flags.Flag) -> str:
  """A flag's name, the values that it takes, its help and its default."""
  choices = getattr(flag.parser, "enum_values", None)
  value = "|".join(choices) if choices else flag.name.upper()
  head = f"  --[no]{flag.name}" if flag.boolean else f"  --{flag.name}={value}"
  words = (flag.help or "").removeprefix(f"<{value}>: ")  # absl puts that there.
  if isinstance(flag.default, int | float | str) and flag.default is not False:
    words += f" (default: {flag.default})"
  indent = " " * 6
  body = textwrap.fill(words, _WIDTH, initial_indent=indent, subsequent_indent=indent)
  return f"{head}\n{body}"
