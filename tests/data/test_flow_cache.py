"""Cached flow: what it holds, when it is made anew, and what a killed build leaves."""

import functools
import pickle
import subprocess
import sys

import jax
import numpy as np
import pytest

from mhmr_jax.data import device_flow, examples, flow_cache, lanes
from mhmr_jax.data.chunks import Chunk
from mhmr_jax.data.input_spec import InputSpec
from mhmr_jax.errors import InputError
from mhmr_jax.files import flow_images, jpeg
from mhmr_jax.flow import dis, learned
from tests import tiny
from tests.data.clips import make_clip, make_source, take
from tests.flow import untrained

LENGTHS = [10, 7, 13]
_STEP = 1 / 128  # Pixels: what the storage rounds by.


def _source(folder, lengths=LENGTHS, split="train"):
  return make_source(lengths, str(folder / "made/all/1.0.0"), split)


@pytest.fixture
def config(tmp_path):
  return tiny.config(tmp_path, flow__cache=True, flow__preset="fast")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
  return untrained.flownets(tmp_path_factory.mktemp("weights") / "flownets")


def _files(folder):
  return sorted(
    str(path.relative_to(folder)) for path in folder.rglob("*.array_record")
  )


def test_it_is_the_flow_of_whole_frames(config, tmp_path):
  clips = flow_cache.opened(_source(tmp_path), config)
  assert len(clips) == 3
  estimate = dis.DisFlow("fast")
  for index, length in enumerate(LENGTHS):
    clip = clips[index]
    stored = [flow_images.decode_png(data) for data in clip["flow_estimated"]]
    assert len(stored) == length
    assert not stored[0].any()
    grey = [jpeg.decode(frame, colour=False) for frame in clip["frames"]]
    for time_ in (1, length - 1):
      direct = estimate(grey[time_ - 1], grey[time_])
      assert np.abs(direct).max() > 0.5
      np.testing.assert_allclose(stored[time_], direct, atol=_STEP)


def test_a_network_sees_the_frames_in_colour(config, weights, tmp_path):
  config.flow.source, config.flow.weights = "flownets", str(weights)
  clips = flow_cache.opened(_source(tmp_path), config)
  model, variables = learned.load("flownets", str(weights))
  clip = clips[2]
  rgb = [jpeg.decode(frame, colour=True) for frame in clip["frames"]]
  # The twelfth pair is in the second batch, which is not full.
  first, second = (image[None] for image in rgb[11:13])
  estimate = jax.jit(functools.partial(learned.estimate, model))
  direct = np.asarray(estimate(variables, first, second))[0]
  assert np.abs(direct).max() > 0.1
  stored = flow_images.decode_png(clip["flow_estimated"][12])
  np.testing.assert_allclose(stored, direct, atol=_STEP + 1e-3)


def test_examples_have_it_cropped(config, tmp_path):
  clip = flow_cache.opened(_source(tmp_path), config)[0]
  spec = InputSpec.from_config(config)
  box = np.array([10, 8, 42, 40], np.float32)  # 32 pixels: those of the crop.
  chunk = Chunk(np.arange(3, 6), clip["keypoints_image"][3:6], box)
  example = examples.clip_example(clip, chunk, spec, continues=True)
  stored = flow_images.decode_png(clip["flow_estimated"][4])
  np.testing.assert_allclose(example["flow"][1], stored[8:40, 10:42], atol=0.01)
  with pytest.raises(KeyError):
    examples.clip_example(make_clip(0), chunk, spec, continues=True)


@pytest.mark.parametrize("source", ["dis", "flownets"])
def test_programs_find_flow_in_the_batches(source, config, weights, tmp_path):
  config.flow.source, config.flow.weights = source, str(weights)
  (batch,), _ = take(config, _source(tmp_path), 1)
  assert batch["flow"].shape == (4, 4, 32, 32, 2)
  assert not batch["flow"][:, 0].any()
  assert np.abs(batch["flow"][:, 1:].astype(np.float32)).max() > 0.1
  assert "rgb_before" not in batch
  assert device_flow.make(config)(batch) is batch
  test = _source(tmp_path, [6], split="test")
  ((first, second, *_),) = lanes.evaluation_groups(test, config, lanes=1)
  assert not first.batch["flow"][0, 0].any()
  assert second.batch["flow"][0, 0].any()  # From the last frame of the chunk before.
  (folder,) = (tmp_path / "made/all/1.0.0/flow").iterdir()
  assert _files(folder) == ["test.array_record", "train.array_record"]


def test_it_is_made_once(config, tmp_path, monkeypatch):
  first = flow_cache.opened(_source(tmp_path), config)[1]["flow_estimated"][3]
  monkeypatch.setattr(flow_cache, "_make", None)
  again = flow_cache.opened(_source(tmp_path), config)
  assert again[1]["flow_estimated"][3] == first
  # Processes that load receive it pickled.
  assert pickle.loads(pickle.dumps(again))[1]["flow_estimated"][3] == first


def test_other_settings_and_weights_have_folders_of_their_own(
  config, weights, tmp_path
):
  names = {flow_cache.open_estimator(config).name}
  config.flow.preset = "medium"
  names.add(flow_cache.open_estimator(config).name)
  config.flow.source, config.flow.weights = "flownets", str(weights)
  names.add(flow_cache.open_estimator(config).name)
  assert flow_cache.open_estimator(config).name in names
  other = untrained.flownets(tmp_path / "other", seed=1)
  config.flow.weights = str(other)
  names.add(flow_cache.open_estimator(config).name)
  assert len(names) == 4


def test_off_it_changes_nothing(tmp_path):
  source = _source(tmp_path)
  for config in (
    tiny.config(tmp_path),
    tiny.config(tmp_path, flow__cache=True, model__inputs=("keypoints",)),
  ):
    assert flow_cache.opened(source, config) is source
  assert not _files(tmp_path)


def test_a_build_that_fails_leaves_nothing(config, tmp_path):
  source = _source(tmp_path)
  source._records[2]["frames"][5] = b"no image"
  with pytest.raises(InputError, match="JPEG"):
    flow_cache.opened(source, config)
  assert [path.name for path in tmp_path.rglob("flow/*/*")] == [".lock"]


_KILLED = """
import pathlib, sys, time
from mhmr_jax.data import flow_cache
from tests import tiny
from tests.data import clips
folder = pathlib.Path(sys.argv[1])
source = clips.make_source([10, 7, 13], str(folder / "made/all/1.0.0"), "train")
class Slow(list):
  def __getitem__(self, index):
    if index == 2:
      print("under way", flush=True)
      time.sleep(60)
    return super().__getitem__(index)
source._records = Slow(source._records)
flow_cache.opened(source, tiny.config(folder, flow__cache=True))
"""


@pytest.mark.slow
def test_a_killed_build_is_not_taken_for_whole(config, tmp_path):
  command = [sys.executable, "-c", _KILLED, str(tmp_path)]
  process = subprocess.Popen(command, cwd=tiny.ROOT, stdout=subprocess.PIPE, text=True)
  assert process.stdout.readline() == "under way\n"
  process.kill()
  process.communicate()
  folder = tmp_path / "made/all/1.0.0/flow/dis_medium"
  assert not list(folder.glob("train*"))
  assert len(list(folder.glob(".train.*.partial.array_record"))) == 1
  config.flow.preset = "medium"
  clips = flow_cache.opened(_source(tmp_path), config)
  assert len(clips[2]["flow_estimated"][:]) == 13
  assert _files(folder) == ["train.array_record"]


def test_a_file_of_other_clips_is_refused(config, tmp_path):
  flow_cache.opened(_source(tmp_path), config)
  for lengths in ([10, 7], [10, 7, 12]):
    with pytest.raises(InputError, match=r"train\.array_record.*delete"):
      flow_cache.opened(_source(tmp_path, lengths), config)[2]
  (path,) = tmp_path.rglob("train.array_record")
  path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
  with pytest.raises(InputError, match=r"train\.array_record.*delete"):
    flow_cache.opened(_source(tmp_path), config)


def test_a_folder_that_cannot_be_written_is_named(config, tmp_path):
  (tmp_path / "made").write_text("a file in its place")
  with pytest.raises(InputError, match="cannot be written"):
    flow_cache.opened(_source(tmp_path), config)
