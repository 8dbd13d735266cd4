"""The miniature 3DPW through builder, training and evaluation."""

import cv2
import numpy as np
import pytest

from data_builders.threedpw import threedpw_dataset_builder as threedpw
from mhmr_jax.data import examples, pipeline, sources
from mhmr_jax.data.input_spec import InputSpec
from mhmr_jax.errors import InputError
from tests import tiny
from tests.data_builders import miniature
from tests.data_builders.tiny_model import TinyModel

LENGTHS = {"downtown_talk_00_0": 13, "downtown_talk_00_1": 13, "flat_alone_01_0": 6}


@pytest.fixture(scope="module")
def release(tmp_path_factory):
  """The folder of the release and the paths of the bodies."""
  root = tmp_path_factory.mktemp("3DPW")
  bodies = miniature.write_bodies(tmp_path_factory.mktemp("bodies"))
  miniature.write_threedpw(root, miniature.load_bodies(bodies))
  return root, bodies


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  return tmp_path_factory.mktemp("data")


def make_config(release, data_dir, **overrides):
  root, bodies = release
  return tiny.config(
    data_dir,
    threedpw__dir=str(root),
    body__male=bodies["male"],
    body__female=bodies["female"],
    **overrides,
  )


@pytest.fixture(scope="module", params=["stored", "referenced"])
def config(request, release, data_dir):
  return make_config(release, data_dir, threedpw__frames=request.param)


def clips(config, split="test"):
  source = sources.open_source(config, split, "threedpw")
  return {
    clip["sequence"]: clip for clip in map(source.__getitem__, range(len(source)))
  }


def test_every_person_of_every_split_is_a_track(config):
  assert {name: len(c["frames"]) for name, c in clips(config).items()} == LENGTHS
  assert list(clips(config, "train")) == ["park_walk_00_0"]
  assert list(clips(config, "validation")) == ["stairs_up_00_0"]
  assert len(clips(config, "all")) == 5
  with pytest.raises(InputError, match="no split 'testing': use"):
    clips(config, "testing")


def test_labels_project_onto_the_frames(config):
  for clip in clips(config).values():
    image = cv2.imdecode(np.frombuffer(clip["frames"][0], np.uint8), cv2.IMREAD_COLOR)
    height, width = image.shape[:2]
    projected = clip["joints_camera"] @ clip["intrinsics"].T
    projected = projected[..., :2] / projected[..., 2:]
    seen = clip["keypoints_image"][..., 2].any(-1)
    # Joints and keypoints both have hips, at nearly the same places.
    hips = np.linalg.norm(
      projected[seen][:, [1, 2]] - clip["keypoints_image"][seen][:, [11, 12], :2],
      axis=-1,
    )
    assert not len(hips) or hips.max() < 1.5
    inside = (projected >= 0) & (projected < [width, height])
    assert inside.mean() > 0.9
    assert clip["gender"] in ("male", "female")
    assert clip["box"].any(-1).all()


def test_invalid_and_undetected_frames_are_kept_and_marked(config):
  found = clips(config)
  first, second = found["downtown_talk_00_0"], found["downtown_talk_00_1"]
  assert np.flatnonzero(~first["valid"]).tolist() == [2, 7]
  empty = ~second["keypoints_image"].any((1, 2))
  assert np.flatnonzero(empty).tolist() == [4, 5]
  assert second["valid"].all()
  alone = found["flat_alone_01_0"]
  assert not alone["keypoints_image"].any()
  spec = InputSpec.from_config(config)
  rng = np.random.default_rng(0)
  assert not examples.noisy_keypoints(alone, spec, rng).any()


def test_stored_frames_are_cut_out_of_the_images(release, data_dir):
  stored = clips(make_config(release, data_dir, threedpw__frames="stored"))
  referenced = clips(make_config(release, data_dir, threedpw__frames="referenced"))
  for name, clip in stored.items():
    whole = referenced[name]
    # Nothing is shrunk here, so that the cut-out is shifted by whole pixels.
    shift = whole["intrinsics"][:2, 2] - clip["intrinsics"][:2, 2]
    x, y = shift.round().astype(int)
    part, image = (
      cv2.imdecode(np.frombuffer(c["frames"][4], np.uint8), cv2.IMREAD_COLOR)
      for c in (clip, whole)
    )
    height, width = part.shape[:2]
    region = image[y : y + height, x : x + width]
    assert np.abs(part.astype(int) - region).mean() < 3
    for key in ("pose", "transl", "joints_camera", "valid", "betas"):
      np.testing.assert_array_equal(clip[key], whole[key])
    np.testing.assert_allclose(clip["box"] + np.tile(shift, 2), whole["box"], atol=1e-3)


def test_referenced_images_must_stay(release, data_dir, tmp_path):
  _, bodies = release
  other = tmp_path / "3DPW"
  miniature.write_sequence(
    other, "test", "walk_00", miniature.load_bodies(bodies), "m", 5
  )
  config = make_config((other, bodies), data_dir, threedpw__frames="referenced")
  assert len(clips(config)["walk_00_0"]["frames"][1:3]) == 2
  (other / "imageFiles" / "walk_00" / "image_00002.jpg").unlink()
  with pytest.raises(InputError, match=r"image_00002\.jpg cannot be read"):
    clips(config)["walk_00_0"]["frames"][1:3]


def test_one_bad_image_leaves_nothing_half_built(release, data_dir, tmp_path):
  _, bodies = release
  other = tmp_path / "3DPW"
  miniature.write_sequence(
    other, "test", "walk_00", miniature.load_bodies(bodies), "m", 5
  )
  path = other / "imageFiles" / "walk_00" / "image_00003.jpg"
  cv2.imwrite(str(path), np.zeros((30, 40, 3), np.uint8))
  for frames in threedpw.FRAMES:
    config = make_config((other, bodies), tmp_path / "data", threedpw__frames=frames)
    with pytest.raises(InputError, match=r"image_00003\.jpg has 40 x 30 pixels"):
      clips(config)
  path.unlink()
  with pytest.raises(InputError, match=r"lacks 1 of its 5 images"):
    clips(config)
  assert not list((tmp_path / "data").rglob("*.array_record*"))
  assert not list((tmp_path / "data").rglob("dataset_info.json"))


def test_missing_paths_and_empty_folders_are_named(release, data_dir, tmp_path):
  config = make_config(release, data_dir)
  config.body.male = str(tmp_path / "male.pkl")
  with pytest.raises(InputError, match=r"config\.body\.male \(.*male\.pkl\)"):
    clips(config)
  config = make_config((tmp_path, release[1]), data_dir)
  with pytest.raises(InputError, match="has no sequenceFiles/test"):
    clips(config)
  config = make_config(release, data_dir, threedpw__frames="elsewhere")
  with pytest.raises(InputError, match="'elsewhere'"):
    clips(config)


def test_records_that_name_other_folders_are_refused(config):
  source = sources.open_source(config, "test", "threedpw")
  record = {**source._records[0], "frames_place": b"../../secrets"}
  hostile = sources.ClipSource("threedpw", [record], "/made", source._open_frames)
  with pytest.raises(InputError, match="leaves the folder"):
    hostile[0]


@pytest.fixture(scope="module")
def model(release, data_dir):
  return TinyModel(make_config(release, data_dir))


@pytest.mark.slow
def test_a_training_step_and_an_evaluation(config, model):
  source = sources.open_source(config, "test", "threedpw")
  iterator = pipeline.training_iterator(source, config)
  batch = next(iterator)
  iterator.close()
  assert batch["joints_crop"].shape == (4, 4, 24, 2)
  _, scalars = model.step(batch)
  assert np.isfinite(scalars["loss"])
  assert scalars["joints_2d"] > 0

  errors = model.errors(config, sources.open_source(config, "test", "threedpw"))
  assert {name: len(error) for name, error in errors.items()} == LENGTHS
  assert all(5 < error.mean() < 1000 for error in errors.values())
