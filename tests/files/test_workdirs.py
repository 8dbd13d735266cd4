"""Configs and checkpoints are read; what is missing or damaged is named."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath
from orbax.checkpoint import v1 as ocp

from mhmr_jax.errors import InputError
from mhmr_jax.files import workdirs

VARIABLES = {"params": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}}


@pytest.fixture
def workdir(tmp_path):
  return epath.Path(tmp_path)


def shapes(tree):
  return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree)


def save(workdir, *steps):
  with ocp.training.Checkpointer(workdir / "checkpoints") as checkpointer:
    for step in steps:
      model = jax.tree.map(lambda leaf: jnp.asarray(leaf) * step, VARIABLES)  # noqa: B023
      checkpointer.save_checkpointables(step, {"model": model})


def test_a_folder_without_a_config_is_no_work_directory(workdir):
  for folder in (workdir, workdir / "absent"):
    with pytest.raises(InputError, match="is not a work directory of a training run"):
      workdirs.load_config(folder)


@pytest.mark.parametrize(
  ("text", "match"),
  [
    ("", r"config\.json is not JSON"),
    ('{"train": {', r"config\.json is not JSON"),
    ("[1, 2]", r"config\.json does not hold a config"),
    ("null", r"config\.json does not hold a config"),
  ],
)
def test_a_damaged_config_is_named(workdir, text, match):
  (workdir / "config.json").write_text(text)
  with pytest.raises(InputError, match=match):
    workdirs.load_config(workdir)


def test_the_latest_checkpoint_is_restored(workdir):
  save(workdir, 2, 5)
  variables, step = workdirs.restore_variables(workdir, shapes(VARIABLES))
  assert step == 5
  jax.tree.map(
    lambda leaf, saved: np.testing.assert_array_equal(leaf, saved * 5),
    variables,
    VARIABLES,
  )


def test_a_work_directory_without_a_checkpoint_is_told(workdir):
  with pytest.raises(InputError, match="has no checkpoints yet: train it first"):
    workdirs.restore_variables(workdir, shapes(VARIABLES))
  (workdir / "checkpoints").mkdir()
  with pytest.raises(InputError, match="has no whole checkpoint: train it first"):
    workdirs.restore_variables(workdir, shapes(VARIABLES))


@pytest.mark.usefixtures("failed_read")
@pytest.mark.parametrize("change", ["another shape", "more", "fewer"])
def test_the_checkpoint_of_another_model_is_refused(workdir, change):
  save(workdir, 1)
  wanted = shapes(VARIABLES)
  if change == "another shape":
    wanted["params"]["kernel"] = jax.ShapeDtypeStruct((4, 3), np.float32)
  elif change == "more":
    wanted["params"]["bias"] = jax.ShapeDtypeStruct((3,), np.float32)
  else:
    del wanted["params"]["kernel"]
  with pytest.raises(InputError, match="checkpoints/1 cannot be read") as refused:
    workdirs.restore_variables(workdir, wanted)
  assert "\n" not in str(refused.value)


@pytest.mark.usefixtures("failed_read")
def test_a_damaged_checkpoint_is_named(workdir):
  save(workdir, 1)
  for path in pathlib.Path(workdir / "checkpoints" / "1" / "model").rglob("*"):
    if path.is_file():
      path.write_bytes(path.read_bytes()[:10])
  with pytest.raises(InputError, match="checkpoints/1 cannot be read"):
    workdirs.restore_variables(workdir, shapes(VARIABLES))


def test_shardings_are_one_for_all_or_one_for_each():
  sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
  abstract = shapes(VARIABLES)
  for shardings in (sharding, jax.tree.map(lambda _: sharding, abstract)):
    placed = workdirs.placed(abstract, shardings)
    for leaf, before in zip(
      jax.tree.leaves(placed), jax.tree.leaves(abstract), strict=True
    ):
      assert (leaf.shape, leaf.dtype) == (before.shape, before.dtype)
      assert leaf.sharding == sharding
