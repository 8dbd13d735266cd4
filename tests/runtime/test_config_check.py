"""Configs are held to what their keys can be, in one sentence that names the key."""

import copy
import dataclasses
import json
import pathlib
import re

import hypothesis
import pytest
from etils import epath
from hypothesis import strategies as st
from ml_collections import ConfigDict

from configs import dann, flow_flownets, flow_kp, flow_raft, hmr, kp, kp_video
from mhmr_jax import train, train_flow
from mhmr_jax.data import config_paths, input_spec, sources
from mhmr_jax.errors import InputError
from mhmr_jax.files import workdirs
from mhmr_jax.flow import dis, learned
from mhmr_jax.keypoints import form
from mhmr_jax.models import regressor
from mhmr_jax.runtime import config_check, config_keys, config_table
from mhmr_jax.schema import INPUT_CHANNELS
from mhmr_jax.synth import variants
from mhmr_jax.training import losses
from tests import tiny

NAN, INF = float("nan"), float("inf")
CONFIGS = {
  **{
    module.__name__: module.get_config for module in (dann, flow_kp, hmr, kp, kp_video)
  },
  "configs.flow_flownets": flow_flownets.get_config,
  "configs.flow_raft": flow_raft.get_config,
}


def changed(base, **values) -> dict:
  """A config's values with some of them replaced; a double underscore is a dot."""
  nested = base.get_config().to_dict()
  for name, value in values.items():
    *sections, key = name.split("__")
    inner = nested
    for section in sections:
      inner = inner.setdefault(section, {})
    inner[key] = value
  return nested


@pytest.mark.parametrize("name", CONFIGS)
def test_configs_are_good_before_and_after_json(name):
  values = CONFIGS[name]().to_dict()
  assert config_check.problem(values) is None
  assert config_check.problem(json.loads(json.dumps(values))) is None


BAD = [
  *[("train__steps", value) for value in (0, -1, 2**31, 2.5, "10", True, NAN)],
  *[("train__checkpoint_every", value) for value in (0, -1)],
  *[("train__print_every", value) for value in (0, NAN)],
  *[("seed", value) for value in (-1, 2**63, 10**5000)],
  *[("data__seed", value) for value in (-1, 2**64)],
  *[("train__batch_size", value) for value in (0, -32)],
  *[("train__learning_rate", value) for value in (0, -1.0, NAN, INF, 1e30, "fast")],
  *[("train__grad_clip", value) for value in (0, -1, NAN, INF)],
  *[("train__weight_decay", value) for value in (-1e-4, NAN)],
  *[("train__warmup_steps", value) for value in (-1, NAN)],
  *[("train__hold", value) for value in (-0.1, 1.5, NAN)],
  *[("train__accumulate", value) for value in (0, -2)],
  ("train__optimizer", "sgd"),
  *[("mesh__fsdp", value) for value in (0, -1)],
  *[("loss__joints_3d", value) for value in (-1, NAN, INF, None)],
  *[("data__window", value) for value in (0, -1, 10**6)],
  *[("data__window_scale", value) for value in (0, -1, 1e9, NAN)],
  *[("data__workers", value) for value in (-1, 10**6)],
  *[("data__processes", value) for value in (-1, 0.5)],
  *[("data__clip_frames", value) for value in (0, 1)],
  *[("data__frame_size", value) for value in (0, 10**6)],
  *[("data__size", value) for value in (0, 8, -64)],
  *[("data__num_clips", value) for value in (0, 1)],
  *[("data__test_fraction", value) for value in (0, 1, NAN, 2)],
  *[("data__jitter_scale", value) for value in (1.0, -0.1, NAN)],
  *[("data__jitter_shift", value) for value in (-0.1, NAN)],
  *[("data__people", value) for value in ("statues", 3)],
  ("data__variant", "nowhere"),
  *[("data__dir", value) for value in (3, None, "a\0b", "x" * 5000)],
  *[("data__source", value) for value in ("3dpw", "unlabelled_videos")],
  *[("data__mixture", value) for value in ({"kinetics": 1}, {"threedpw": NAN}, "all")],
  ("data__mixture", {"synthetic_clips": 0.5, "unlabelled_videos": 0.5}),
  ("data__mixture", {"synthetic_clips": 0.0}),
  ("data__mixture", {"synthetic_clips": -1.0}),
  *[("flow__source", value) for value in ("magic", 1)],
  ("flow__preset", "slow"),
  ("flow__cache", "yes"),
  ("keypoints__form", "pictures"),
  *[("keypoint_examples__procedural", value) for value in (-0.1, 1.5, NAN)],
  ("keypoint_examples__cameras", "wide"),
  *[
    ("model__inputs", value) for value in ((), ("depth",), ("rgb", "rgb"), "rgb", ((),))
  ],
  *[("model__heatmap_sigma", value) for value in (0, -1, NAN)],
  *[("model__flow_unit", value) for value in (0, NAN)],
  *[("model__lstm_features", value) for value in (-1, 2.5)],
  *[("model__dtype", value) for value in ("float8", "int32", 32)],
  *[("model__encoder__norm", value) for value in ("layer", None)],
  *[("model__encoder__pool_grid", value) for value in (0, -1)],
  *[("model__encoder__stage_widths", value) for value in ((), (0,), (32.0,), 32)],
  *[("model__encoder__norm_momentum", value) for value in (1.0, -0.1, NAN)],
  *[("model__encoder__stem_stride", value) for value in (0, -8)],
  *[("model__regressor__rounds", value) for value in (0, -1)],
  *[("model__regressor__dropout", value) for value in (1.0, -0.1, NAN)],
  *[("model__regressor__hidden", value) for value in ((), (0,), (-4, 4))],
  ("model__regressor__pose_representation", "quaternion"),
]


@pytest.mark.parametrize(
  ("name", "value"), BAD, ids=[f"{name}_{row}" for row, (name, _) in enumerate(BAD)]
)
def test_a_bad_value_is_named_with_what_the_key_can_be(name, value):
  problem = config_check.problem(changed(flow_kp, **{name: value}))
  assert problem.startswith(f"config.{name.replace('__', '.')} is ")
  assert ": give " in problem
  assert len(problem) < 300


@pytest.mark.parametrize(
  ("base", "values", "words"),
  [
    (flow_kp, {"train__accumulate": 5}, "multiple of config.train.accumulate = 5"),
    (dann, {"train__batch_size": 12, "train__accumulate": 4}, "target domain"),
    (dann, {"train__batch_size": 3}, "multiple of 2, because"),
    (flow_kp, {"data__test_fraction": 0.9999}, "leaves none to train on"),
    (flow_kp, {"data__window": 17}, r"clips have config.data.clip_frames = 16"),
    (flow_kp, {"keypoints__form": "heatmaps"}, "feedback needs keypoints as coor"),
    (hmr, {"model__lstm_backward": True}, "but config.model.lstm_features is 0"),
    (kp_video, {"model__encoder__features": 0}, "features is 0: with keypoints as"),
    (kp_video, {"model__inputs": ("rgb", "keypoints")}, "hold no pictures"),
    (
      kp_video,
      {"data__mixture": {"keypoint_examples": 0.5, "synthetic_clips": 0.5}},
      "hold no pictures",
    ),
    (
      flow_kp,
      {"flow__cache": True, "flow__source": "exact"},
      "store already: leave out one of the two",
    ),
    (
      flow_kp,
      {"flow__source": "exact", "data__source": "threedpw"},
      "'exact', which threedpw do not store",
    ),
    (
      flow_kp,
      {"model__encoder__norm": "group", "model__encoder__norm_groups": 7},
      "norm_groups is 7: it must divide all widths of the encoder, and 32 is one",
    ),
    (
      flow_kp,
      {"model__encoder__norm": "ghost", "model__encoder__norm_frames": 60},
      "norm_frames is 60: it must divide the 256 frames",
    ),
    (flow_kp, {"model__encoder__pool_grid": 3}, "side of the last map, 8"),
    (flow_kp, {"model__encoder__stage_widths": (8, 8)}, "stage_blocks has 1"),
    (flow_kp, {"loss__gravity": 1.0}, "only with config.model.regressor.world"),
    (flow_kp, {"loss__joints_seen": 1.0}, "only with config.model.encoder.joints"),
    (flow_kp, {"loss__joint_heatmaps": 1.0}, "only with config.model.encoder.joints"),
    (
      flow_kp,
      {"loss": dict.fromkeys(flow_kp.get_config().loss, 0.0)},
      "teaches nothing",
    ),
    (flow_kp, {"target__dataset": "threedpw"}, "domain_classifier.hidden is missing"),
    (flow_raft, {"train__accumulate": 2}, "train.accumulate is 2: flow networks are"),
    (flow_raft, {"mesh__fsdp": 2}, "mesh.fsdp is 2: flow networks are"),
    (flow_raft, {"model__unit": 2.0}, "config.model.unit is no key of raft"),
    (flow_raft, {"model__kind": "pwc"}, "config.model.kind is 'pwc': give one of"),
    (flow_raft, {"data__mixture": {"synthetic_clips": 1.0}}, "on one dataset alone"),
    (flow_raft, {"data__source": "keypoint_examples"}, "which alone store exact flow"),
    (flow_raft, {"data__scales": (1.0, 0.5)}, "two numbers above 0"),
    (flow_flownets, {"model__finest": 3}, "config.model.finest is 3: give 2 or 4"),
  ],
)
def test_what_does_not_go_together_is_named(base, values, words):
  assert words in config_check.problem(changed(base, **values))


@pytest.mark.parametrize(
  ("key", "clause"),
  [
    ("nosuch.key", "There is no config.nosuch.key: a config has body, data, flow,"),
    ("train.step", "There is no config.train.step: use config.train.steps"),
    ("batch_size", "There is no config.batch_size: use config.train.batch_size"),
    ("train.colour", "There is no config.train.colour: config.train has steps, batch"),
    ("data.scales", "This config has no config.data.scales, which others have"),
  ],
)
def test_an_unknown_key_is_named_with_those_near_it(key, clause):
  assert config_check.unknown(key).startswith(clause)


def test_choices_are_those_that_the_package_has():
  """The table stands before the rooms that know them."""
  options = {
    "data.source": config_paths.NAMES,
    "target.dataset": sources._BUILDERS,
    "data.variant": variants.VARIANTS,
    "flow.source": (*input_spec.HOST_FLOW, *learned.KINDS),
    "flow.preset": dis.PRESETS,
    "keypoints.form": form.FORMS,
    "model.inputs": INPUT_CHANNELS,
    "model.regressor.pose_representation": regressor.POSE_REPRESENTATIONS,
  }
  for name, words in options.items():
    wanted = config_keys.MOTION[name].rule.wanted
    assert wanted.split(" of ")[1].split(", each")[0] == ", ".join(words), name
  terms = {name for name in config_keys.MOTION if name.startswith("loss.")}
  assert terms == {f"loss.{name}" for name in losses.DEFAULT_WEIGHTS}
  for kind, keys in config_keys.FLOW_NETWORKS.items():
    fields = dataclasses.fields(learned.KINDS[kind])
    assert keys < {field.name for field in fields}


def test_every_key_of_every_config_is_declared():
  for path in (tiny.ROOT / "configs").glob("*.py"):
    if path.stem not in ("__init__", "base", "flow_base"):
      assert config_check.problem(tiny.experiment(path.stem).to_dict()) is None, path


def test_the_page_of_keys_is_the_one_that_is_written_from_them():
  assert (tiny.ROOT / "docs" / "configs.md").read_text() == config_table.page()


@pytest.mark.parametrize(
  ("program", "base", "key", "value"),
  [
    (train, flow_kp, "train.steps", 0),
    (train, flow_kp, "model.encoder.norm_groups", 0),
    (train_flow, flow_raft, "train.accumulate", 2),
  ],
)
def test_programs_check_before_they_make_anything(tmp_path, program, base, key, value):
  config = base.get_config()
  config.update_from_flattened_dict({"data.dir": str(tmp_path / "data"), key: value})
  with pytest.raises(InputError, match=f"config.{key} is {value}"):
    program.train(config, epath.Path(tmp_path / "run"))
  assert not list(tmp_path.iterdir())


def _deep(levels: int) -> str:
  return '{"a":' * levels + "1" + "}" * levels


@pytest.mark.parametrize(
  ("text", "words"),
  [
    ("{}", "config.seed is missing"),
    ('{"train": 3}', "config.train is 3: it has keys"),
    ('{"train.steps": 3}', r"There is no config.train\?steps"),
    ('{"seed": NaN}', "config.seed is nan: give a whole number"),
    ('{"seed": ' + "9" * 5000 + "}", "is not JSON"),
    (_deep(20), "There is no config.a.a.a"),
    (_deep(100_000), "is not JSON"),
    ('{"\\u001b[31m": 1}', r"There is no config.\?\[31m"),
    ('{"a": "' + "x" * 2**20 + '"}', "too large for a config"),
    ("\ud800", "is not JSON"),
  ],
  ids=lambda text: text[:20],
)
def test_a_hostile_config_in_a_work_directory_is_named(tmp_path, text, words):
  path = tmp_path / "config.json"
  path.write_bytes(text.encode("utf-8", "surrogatepass"))
  with pytest.raises(InputError, match=words) as refused:
    workdirs.load_config(epath.Path(tmp_path))
  sentence = str(refused.value)
  assert sentence.startswith(str(path))
  assert "\n" not in sentence
  assert len(sentence) < 600


def _leaves(values: dict, above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
  found = []
  for key, value in values.items():
    found.append((*above, key))
    if isinstance(value, dict):
      found += _leaves(value, (*above, key))
  return found


STRANGE = st.one_of(
  st.sampled_from([0, -1, 1, 2, 3, 7, 2**63, 10**5000, NAN, INF, 1e-320, (), {1: 2}]),
  st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
  ),
)
VALUES = {name: make().to_dict() for name, make in CONFIGS.items()}
PLACES = {name: _leaves(values) for name, values in VALUES.items()}


@hypothesis.settings(max_examples=100, derandomize=True, deadline=None)
@hypothesis.given(data=st.data())
def test_changes_of_any_kind_give_a_sentence_or_a_good_config(data):
  name = data.draw(st.sampled_from(sorted(PLACES)))
  values = copy.deepcopy(VALUES[name])
  for _ in range(data.draw(st.integers(1, 3))):
    *sections, key = data.draw(st.sampled_from(PLACES[name]))
    inner = values
    for section in sections:
      inner = inner.get(section) if isinstance(inner, dict) else None
    if not isinstance(inner, dict):
      continue
    how = data.draw(st.sampled_from(["change", "change", "remove", "add"]))
    if how == "remove":
      inner.pop(key, None)
    else:
      added = key + (data.draw(st.text()) if how == "add" else "")
      inner[added] = data.draw(STRANGE)
  problem = config_check.problem(values)
  if problem is not None:
    assert re.match(r"(There is no |All weights of )?config\b", problem), problem
    assert problem.isprintable()
    assert len(problem) < 600


def test_a_good_config_of_a_work_directory_comes_back(tmp_path):
  config = flow_kp.get_config()
  path = pathlib.Path(tmp_path / "config.json")
  path.write_text(json.dumps(config.to_dict()))
  assert workdirs.load_config(epath.Path(tmp_path)) == ConfigDict(
    json.loads(path.read_text())
  )
