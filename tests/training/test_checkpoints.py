"""Checkpoints of a toy's state, and the work directory's config."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath
from jax.sharding import SingleDeviceSharding

from mhmr_jax.errors import InputError
from mhmr_jax.training import checkpoints
from mhmr_jax.training.checkpoints import Checkpoints
from tests import tiny
from tests.training import toy


@pytest.fixture
def workdir(tmp_path):
  return epath.Path(tmp_path / "runs" / "one")


def state_at(step):
  state = toy.init(jax.random.key(step))
  return state.replace(step=jnp.asarray(step, jnp.int32))


def save(workdir, *steps):
  saved = Checkpoints(workdir)
  for step in steps:
    saved.save(state_at(step), {"global_next_index": 7 * step})
  saved.close()


def resume(workdir, size=None):
  """The state that a new process gets, and its position in the data."""
  abstract = jax.eval_shape(toy.init, jax.random.key(0))
  if size is not None:
    weight = {"weight": jax.ShapeDtypeStruct((size,), jnp.float32)}
    abstract = abstract.replace(params=weight)
  data, saved = toy.Numbers(), Checkpoints(workdir)
  try:
    return saved.resume(abstract, data, SingleDeviceSharding(jax.devices()[0])), data
  finally:
    saved.close()


def test_without_a_checkpoint_there_is_nothing_to_resume(workdir):
  state, data = resume(workdir)
  assert state is None
  assert data.get_state() == {"global_next_index": 0}


def test_the_latest_of_several_is_resumed_and_two_are_kept(workdir):
  save(workdir, 1, 4, 6)
  folders = {folder.name for folder in (workdir / "checkpoints").iterdir()}
  assert folders == {"4", "6"}
  state, data = resume(workdir)
  expected = state_at(6)
  assert jax.tree.structure(state) == jax.tree.structure(expected)
  for old, new in zip(jax.tree.leaves(expected), jax.tree.leaves(state), strict=True):
    np.testing.assert_array_equal(old, new)
  assert data.get_state() == {"global_next_index": 42}


def test_a_half_written_checkpoint_is_ignored_and_cleared_away(workdir):
  save(workdir, 3)
  folder = workdir / "checkpoints"
  # The name that Orbax writes under until a checkpoint is complete.
  half = folder / "6.orbax-checkpoint-tmp"
  (half / "model").mkdir(parents=True)
  (half / "model" / "part").write_text("half of")
  state, _ = resume(workdir)
  assert int(state.step) == 3
  assert [each.name for each in folder.iterdir()] == ["3"]


@pytest.mark.usefixtures("failed_read")
def test_other_shapes_are_one_sentence(workdir):
  save(workdir, 3)
  with pytest.raises(InputError, match="cannot be read") as caught:
    resume(workdir, size=5)
  assert str(workdir / "checkpoints" / "3") in str(caught.value)
  assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("failed_read")
def test_a_damaged_checkpoint_is_one_sentence(workdir):
  save(workdir, 3)
  folder = pathlib.Path(workdir / "checkpoints" / "3" / "model")
  for file in folder.rglob("*"):
    if file.is_file():
      file.write_bytes(b"")
  with pytest.raises(InputError, match="delete it to use the one before") as caught:
    resume(workdir)
  assert "\n" not in str(caught.value)


def test_a_checkpoint_that_cannot_be_written_is_one_sentence(workdir):
  save(workdir, 3)
  saved = Checkpoints(workdir)
  with pytest.raises(InputError, match="A checkpoint cannot be written") as caught:
    saved.save(state_at(3), {"global_next_index": 0})  # There is one already.
  assert "\n" not in str(caught.value)
  saved.close()


def test_a_workdir_is_made_with_its_config_and_nothing_beside_it(workdir, tmp_path):
  config = tiny.config(tmp_path)
  checkpoints.prepare_workdir(workdir, config)
  assert [path.name for path in workdir.iterdir()] == ["config.json"]
  before = (workdir / "config.json").read_bytes()
  checkpoints.prepare_workdir(workdir, config)
  assert (workdir / "config.json").read_bytes() == before


@pytest.mark.parametrize(
  ("key", "value", "sentence"),
  [
    ("train__grad_clip", 7.0, r"config\.train\.grad_clip = 1\.0, not 7\.0"),
    ("flow__source", "exact", "config.flow.source = 'dis', not 'exact'"),
    ("model__regressor__hidden", (32, 8), r"hidden = \[32, 32\], not \[32, 8\]"),
  ],
)
def test_another_configs_key_is_named(workdir, tmp_path, key, value, sentence):
  checkpoints.prepare_workdir(workdir, tiny.config(tmp_path))
  with pytest.raises(InputError, match=sentence):
    checkpoints.prepare_workdir(workdir, tiny.config(tmp_path, **{key: value}))


def test_a_key_that_only_one_config_has_is_named(workdir, tmp_path):
  checkpoints.prepare_workdir(workdir, tiny.config(tmp_path, "rgb"))
  adversarial = tiny.config(tmp_path, "dann", train__batch_size=4)
  with pytest.raises(InputError, match=r"config\.\S+ = None, not "):
    checkpoints.prepare_workdir(workdir, adversarial)


def test_keys_that_the_result_does_not_depend_on_may_change(workdir, tmp_path):
  checkpoints.prepare_workdir(workdir, tiny.config(tmp_path))
  changed = tiny.config(
    tmp_path / "moved",
    data__workers=3,
    data__processes=2,
    mesh__fsdp=2,
    mesh__fsdp_min_size=1,
    train__checkpoint_every=7,
    train__print_every=1,
  )
  before = (workdir / "config.json").read_bytes()
  checkpoints.prepare_workdir(workdir, changed)
  assert (workdir / "config.json").read_bytes() == before


def test_a_workdir_that_cannot_be_made_is_one_sentence(tmp_path):
  (tmp_path / "file").write_text("")
  with pytest.raises(InputError, match=r"cannot be written .* by --workdir"):
    checkpoints.prepare_workdir(
      epath.Path(tmp_path / "file" / "run"), tiny.config(tmp_path)
    )
