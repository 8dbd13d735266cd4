"""Writes the page of all config keys: their defaults, and what they can be.

  python -m mhmr_jax.runtime.config_table > docs/configs.md

A test checks that the page in docs/ is the one that this writes.
"""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from configs import dann, flow_flownets, flow_kp, flow_raft
from mhmr_jax.runtime import config_check, config_keys
from mhmr_jax.runtime.config_keys import Key

_HEAD = (
  "# Config keys\n\n`--config.KEY=VALUE` sets any of these. `configs/base.py` says "
  "beside each value what it means. A config is checked before anything is made: "
  "`nan`, `inf`, other types, unknown keys and keys that do not go together are "
  "refused in one sentence. `mhmr_jax/runtime/config_keys.py` declares what each key "
  "can be, and `python -m mhmr_jax.runtime.config_table > docs/configs.md` writes this "
  "page from it.\n"
)
_MOTION = (
  "\n## `mhmr_jax.train`\n\nThe defaults are those of `configs/flow_kp.py`, and of "
  "`configs/dann.py` for the keys that only it has.\n"
)
_FLOW = (
  "\n## `mhmr_jax.train_flow`\n\nIts keys outside of `model`, `loss`, `flow`, "
  "`keypoints` and `target` are the same; here are those that are its own or have "
  "other defaults, of `configs/flow_flownets.py`, and of `configs/flow_raft.py` for "
  "`updates`. `train.accumulate` and `mesh.fsdp` stay 1.\n"
)

# The columns of the table, and the variants of the configs.
_VARIANTS = {"default": "", "small": "small", "paper": "paper"}


def page() -> str:
  """The whole page, as Markdown."""
  motion = {
    shown: {**_flat(dann.get_config(variant)), **_flat(flow_kp.get_config(variant))}
    for shown, variant in _VARIANTS.items()
  }
  flow = {
    shown: {
      **_flat(flow_raft.get_config(variant)),
      **_flat(flow_flownets.get_config(variant)),
    }
    for shown, variant in _VARIANTS.items()
    if variant != "small"
  }
  different = {
    name: key
    for name, key in config_keys.FLOW.items()
    if flow["default"].get(name) != motion["default"].get(name)
    or name not in config_keys.MOTION
  }
  return (
    _HEAD
    + _MOTION
    + _table(config_keys.MOTION, motion)
    + _FLOW
    + _table(different, flow)
  )


def _flat(config: ConfigDict) -> dict[str, Any]:
  return dict(config_check.flattened(config.to_dict()))


def _table(keys: Mapping[str, Key], variants: Mapping[str, Mapping[str, Any]]) -> str:
  """A row for each key; values that are the default's are not repeated."""
  shown = [name if name == "default" else f"`:{name}`" for name in variants]
  header = ["key", *shown, "what it can be"]
  rows = ["\n" + _row(header), _row(["---"] * len(header))]
  for name, key in keys.items():
    first, *others = (_cell(values, name) for values in variants.values())
    others = ["" if other == first else other for other in others]
    rows.append(_row([f"`{name}`", first, *others, key.rule.wanted]))
  return "\n".join(rows) + "\n"


def _row(cells: list[str]) -> str:
  return f"| {' | '.join(cells)} |"


def _cell(values: Mapping[str, Any], name: str) -> str:
  if name not in values:
    return ""
  value = values[name]
  if value in ("", {}):
    return "none"
  return f"`{value}`" if isinstance(value, str) else f"`{value!r}`"


if __name__ == "__main__":
  print(page(), end="")
