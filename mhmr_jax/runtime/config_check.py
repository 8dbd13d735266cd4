"""Checks the values of a config's keys, each by itself and together.

Every program calls this before it makes anything, and every reader of a work directory
calls it for the config in there. `config_keys` declares what each key can be.
"""

import difflib
import math
from collections.abc import Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict

from mhmr_jax.errors import InputError
from mhmr_jax.runtime import config_keys, config_rules
from mhmr_jax.runtime.config_keys import Key

# No config is nested as deep as this.
_DEEPEST = 8


def check(config: ConfigDict) -> None:
  """Checks the config of a program.

  Raises:
    InputError: a key is missing or unknown, a value is not one that the key can have,
      or two keys do not go together.
  """
  found = problem(config.to_dict())
  if found is not None:
    raise InputError(f"{found}.")


def problem(values: Mapping[str, Any]) -> str | None:
  """Says what is wrong with a config, in a clause that names the key, or None.

  Args:
    values: the config's values, nested, of any types, as a file may have them.
  """
  flat = dict(flattened(values))
  keys = _keys(flat)
  for name, value in flat.items():
    if name in _SECTIONS:
      return f"config.{name} is {config_rules.shown(value)}: it has keys, so give them"
    if name not in keys:
      return f"There is no config.{config_rules.short(name)}{_nearest(name, keys)}"
    rule = keys[name].rule
    if not rule.admits(value):
      return f"config.{name} is {config_rules.shown(value)}: give {rule.wanted}"
  for name, key in keys.items():
    if key.required and name not in flat:
      return f"config.{name} is missing: give {key.rule.wanted}"
  return next(_conflicts(flat), None)


def unknown(name: str) -> str:
  """The clause for an unknown dotted key, with known keys of similar names."""
  keys = {**config_keys.MOTION, **config_keys.FLOW}
  if name in keys:
    return f"This config has no config.{name}, which others have: leave it out"
  return f"There is no config.{config_rules.short(name)}{_nearest(name, keys)}"


def _keys(flat: Mapping[str, Any]) -> Mapping[str, Key]:
  """The keys that a config can have: those of the program that it is for."""
  return config_keys.FLOW if "model.kind" in flat else config_keys.MOTION


def flattened(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
  """The values by dotted keys; shares of a mixture stay together."""
  stack: list[tuple[str, Any]] = [("", values)]
  while stack:
    name, value = stack.pop()
    is_section = isinstance(value, Mapping) and name != "data.mixture"
    if is_section and (value or not name) and name.count(".") < _DEEPEST:
      prefix = f"{name}." if name else ""
      # A dot in a key of a file is no step into a section.
      inner = [
        (prefix + (str(key).replace(".", "?") or "?"), item)
        for key, item in value.items()
      ]
      stack.extend(reversed(inner))
    elif not (is_section and not value and name in _SECTIONS):
      yield name, value


_SECTIONS = {
  name.rpartition(".")[0] for name in (*config_keys.MOTION, *config_keys.FLOW)
}


def _nearest(name: str, keys: Mapping[str, Any]) -> str:
  """Names the keys that were probably meant; else the sections of a config."""
  section, _, last = name.rpartition(".")
  inside = [key for key in keys if key.rpartition(".")[0] == section]
  near = difflib.get_close_matches(name, keys, n=3, cutoff=0.75)
  if not near:
    lasts = {key.rpartition(".")[2]: key for key in keys}
    near = [lasts[each] for each in difflib.get_close_matches(last, lasts, 3, 0.8)]
  if near:
    return f": use {' or '.join(f'config.{key}' for key in near)}"
  if section and inside:
    listed = ", ".join(key.rpartition(".")[2] for key in inside)
    return f": config.{section} has {listed}"
  sections = sorted({key.partition(".")[0] for key in keys})
  return f": a config has {', '.join(sections)}"


def _conflicts(flat: Mapping[str, Any]) -> Iterator[str]:
  """Yields the conflicts between keys whose single values are all allowed."""
  yield from _batch_conflicts(flat)
  yield from _data_conflicts(flat)
  if "model.kind" in flat:
    yield from _flow_conflicts(flat)
    return
  yield from _source_conflicts(flat)
  yield from _target_conflicts(flat)
  yield from _input_conflicts(flat)
  if _has_encoder(flat):
    yield from _encoder_conflicts(flat)
  yield from _loss_conflicts(flat)


def _batch_conflicts(flat: Mapping[str, Any]) -> Iterator[str]:
  batch, parts = flat["train.batch_size"], flat["train.accumulate"]
  if "target.dataset" in flat and batch % (2 * parts):
    times = f" times config.train.accumulate = {parts}" if parts != 1 else ""
    yield (
      f"config.train.batch_size is {batch}: with a target domain it must be a multiple "
      f"of 2{times}, because labelled clips and the target domain's take turns"
    )
  if batch % parts:
    yield (
      f"config.train.batch_size is {batch}: it must be a multiple of "
      f"config.train.accumulate = {parts}"
    )


def _data_conflicts(flat: Mapping[str, Any]) -> Iterator[str]:
  clips, share = flat["data.num_clips"], flat["data.test_fraction"]
  if max(1, round(clips * share)) >= clips:
    yield (
      f"config.data.test_fraction is {share:g}: of config.data.num_clips = {clips} it "
      "leaves none to train on"
    )


def _flow_conflicts(flat: Mapping[str, Any]) -> Iterator[str]:
  kind = flat["model.kind"]
  for name in flat:
    section, _, key = name.partition(".")
    own = config_keys.FLOW_NETWORKS[kind] | {"kind"}
    if section == "model" and key not in own:
      yield f"config.{name} is no key of {kind}, which has {', '.join(sorted(own))}"
  for name in ("train.accumulate", "mesh.fsdp"):
    if flat[name] != 1:
      yield (
        f"config.{name} is {flat[name]}: flow networks are trained on whole batches "
        "and are not divided, so leave it at 1"
      )
  if flat.get("data.mixture"):
    yield "config.data.mixture is set: flow networks are trained on one dataset alone"
  if flat["data.source"] != "synthetic_clips":
    yield (
      f"config.data.source is {flat['data.source']!r}: flow networks are trained on "
      "synthetic_clips, which alone store exact flow"
    )


def shares(flat: Mapping[str, Any]) -> set[str]:
  """The datasets that a flat config trains on."""
  mixture = flat.get("data.mixture") or {flat["data.source"]: 1}
  return {name for name, share in mixture.items() if share}


def _source_conflicts(flat: Mapping[str, Any]) -> Iterator[str]:
  names, inputs = shares(flat), tuple(flat["model.inputs"])
  alone = len(names) == 1 and "target.dataset" not in flat
  if config_keys.GENERATED in names and not (alone and inputs == ("keypoints",)):
    yield (
      f"config.data.source is {config_keys.GENERATED}, which hold no pictures: train "
      "on them alone, without a target domain and with config.model.inputs = "
      "('keypoints',)"
    )
  window, frames = flat["data.window"], flat["data.clip_frames"]
  if "synthetic_clips" in names | {flat.get("target.dataset")} and window > frames:
    yield (
      f"config.data.window is {window}: clips have config.data.clip_frames = {frames} "
      "frames, so make it smaller or the clips longer"
    )
  if "flow" not in inputs or flat["flow.source"] != "exact":
    return
  if names - {"synthetic_clips"}:
    yield (
      f"config.flow.source is 'exact', which {', '.join(sorted(names))} do not store: "
      "use an estimator, such as 'dis'"
    )


def _target_conflicts(flat: Mapping[str, Any]) -> Iterator[str]:
  together = {
    name: name in flat
    for name in (
      *("target.dataset", "model.domain_classifier.hidden"),
      *("model.domain_classifier.steps", "loss.domain_loss"),
    )
  }
  if any(together.values()) and not all(together.values()):
    missing = next(name for name, is_there in together.items() if not is_there)
    given = next(name for name, is_there in together.items() if is_there)
    yield (
      f"config.{missing} is missing, and config.{given} needs it: configs/dann.py has "
      "both"
    )


def _input_conflicts(flat: Mapping[str, Any]) -> Iterator[str]:
  as_points = _reads_coordinates(flat)
  if flat.get("model.regressor.feedback") and not as_points:
    yield (
      "config.model.regressor.feedback needs keypoints as coordinates: set "
      "config.keypoints.form = 'coordinates' and keypoints among config.model.inputs"
    )
  if flat.get("model.lstm_backward") and not flat["model.lstm_features"]:
    yield (
      "config.model.lstm_backward is set, but config.model.lstm_features is 0: give "
      "its size, or leave it out"
    )
  if as_points and not flat["model.encoder.features"]:
    yield (
      "config.model.encoder.features is 0: with keypoints as coordinates give their "
      "number"
    )
  if flat.get("flow.cache") and flat["flow.source"] == "exact":
    yield (
      "config.flow.cache is set, but config.flow.source is 'exact', which the clips "
      "store already: leave out one of the two"
    )


def _reads_coordinates(flat: Mapping[str, Any]) -> bool:
  is_form = flat.get("keypoints.form", "heatmaps") == "coordinates"
  return is_form and "keypoints" in flat["model.inputs"]


def _has_encoder(flat: Mapping[str, Any]) -> bool:
  """Whether the network reads pictures or heatmaps."""
  return not _reads_coordinates(flat) or len(flat["model.inputs"]) > 1


def _encoder_conflicts(flat: Mapping[str, Any]) -> Iterator[str]:
  own = {
    name.removeprefix("model.encoder."): value
    for name, value in flat.items()
    if name.startswith("model.encoder.")
  }
  blocks, widths = own["stage_blocks"], own["stage_widths"]
  if len(blocks) != len(widths):
    yield (
      f"config.model.encoder.stage_widths has {len(widths)} stages, but stage_blocks "
      f"has {len(blocks)}: give one width a stage"
    )
  side = math.ceil(flat["data.size"] / own["stem_stride"])
  # The pooling and every stage after the first halve the map.
  for _ in range(own["stem_pool"] + len(blocks) - 1):
    side = math.ceil(side / 2)
  grid = own["pool_grid"]
  if side % grid:
    yield (
      f"config.model.encoder.pool_grid is {grid}: it must divide the side of the last "
      f"map, {side}, which config.data.size and the strides give"
    )
  yield from _norm_conflicts(flat, own)


def _norm_conflicts(flat: Mapping[str, Any], own: Mapping[str, Any]) -> Iterator[str]:
  if own["norm"] == "group":
    groups = own.get("norm_groups", 32)
    of_units = (
      {4 * width for width in own["stage_widths"]} if own["bottleneck"] else set()
    )
    for width in sorted({own["stem_width"], *own["stage_widths"], *of_units}):
      if width % groups:
        yield (
          f"config.model.encoder.norm_groups is {groups}: it must divide all widths of "
          f"the encoder, and {width} is one"
        )
  if own["norm"] == "ghost":
    frames = flat["train.batch_size"] // flat["train.accumulate"] * flat["data.window"]
    group = min(own.get("norm_frames", 64), frames)
    if frames % group:
      yield (
        f"config.model.encoder.norm_frames is {group}: it must divide the {frames} "
        "frames of a batch (of a part of it, with config.train.accumulate)"
      )


def _loss_conflicts(flat: Mapping[str, Any]) -> Iterator[str]:
  terms = {
    name: weight
    for name, weight in flat.items()
    if name.startswith("loss.") and name != "loss.domain_loss"
  }
  if not any(terms.values()):
    yield "All weights of config.loss are 0, which teaches nothing: give one a weight"
  world = flat.get("model.regressor.world", False)
  for term in ("loss.gravity", "loss.standing"):
    if terms.get(term) and not world:
      yield (
        f"config.{term} is {terms[term]:g}: the network predicts it only with "
        "config.model.regressor.world = True"
      )
  for term in ("loss.joints_seen", "loss.joint_heatmaps"):
    if terms.get(term) and not flat.get("model.encoder.joints"):
      yield (
        f"config.{term} is {terms[term]:g}: the encoder looks for joints only with "
        "config.model.encoder.joints = True"
      )
