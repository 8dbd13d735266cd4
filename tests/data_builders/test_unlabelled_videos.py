"""Clips of a folder of videos: which people, which frames, and what is left out."""

import cv2
import numpy as np
import pytest

from data_builders.unlabelled_videos import (
  unlabelled_videos_dataset_builder as unlabelled,
)
from mhmr_jax.errors import InputError
from mhmr_jax.keypoints import detectors
from tests.data_builders import walkers


@pytest.fixture(autouse=True)
def runs(monkeypatch, tmp_path):
  """The weights of the detector's runs."""
  return walkers.replace_detector(monkeypatch, tmp_path / "cache")


def clips(tmp_path, **settings):
  folder = str(tmp_path / "videos")
  config = unlabelled.UnlabelledVideosConfig(videos=folder, **settings)
  builder = unlabelled.Builder(config=config, data_dir=tmp_path / "data")
  builder.download_and_prepare()
  return list(builder.as_data_source(split="train"))


def decoded(clip):
  return [
    cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    for data in clip["frames"]
  ]


@pytest.mark.parametrize(("person", "block"), [(256, 1), (30, 2)])
def test_frames_are_cut_out_and_the_keypoints_move_with_them(tmp_path, person, block):
  walkers.write(tmp_path / "videos" / "park" / "walk.mp4", [True] * 20)
  (clip,) = clips(tmp_path, person=person)
  assert clip["sequence"] == b"park/walk.mp4_0"
  assert clip["keypoints_detected"]
  assert clip["fps"] == pytest.approx(30)
  assert clip["valid"].all()
  np.testing.assert_array_equal(clip["frame_index"], np.arange(20))
  images = decoded(clip)
  height, width = images[0].shape[:2]
  assert width < 0.9 * walkers.SIZE[0] / block
  assert height <= walkers.SIZE[1] / block
  for image, keypoints in zip(images, clip["keypoints_image"], strict=True):
    (box,) = walkers.boxes(image)
    ends = [*keypoints[:, :2].min(0), *keypoints[:, :2].max(0)]
    np.testing.assert_allclose(ends, box, atol=1.5)
    assert keypoints[:, 2].all()
  moved = clip["keypoints_image"][-1, 0, 0] - clip["keypoints_image"][0, 0, 0]
  assert moved == pytest.approx((walkers.left(19) - walkers.left(0)) / block, abs=1)


def test_a_clip_has_no_labels(tmp_path):
  walkers.write(tmp_path / "videos" / "walk.mp4", [True] * 12)
  (clip,) = clips(tmp_path)
  assert set(clip) == {
    *("frames", "keypoints_image", "keypoints_detected", "valid", "frame_index"),
    *("fps", "sequence"),
  }


def test_every_second_frame_of_a_video_of_60_frames_a_second(tmp_path):
  walkers.write(tmp_path / "videos" / "fast.mkv", [True] * 40, fps=60.0)
  (clip,) = clips(tmp_path)
  assert clip["fps"] == pytest.approx(30)
  np.testing.assert_array_equal(clip["frame_index"], np.arange(0, 40, 2))
  places = [walkers.boxes(image)[0, 0] for image in decoded(clip)]
  # The box moves by half a pixel a frame of the video, and by one of the clip.
  np.testing.assert_allclose(np.diff(places), 1, atol=1)
  assert places[-1] - places[0] == pytest.approx(19, abs=1)


def test_short_gaps_are_not_valid_and_long_ones_divide(tmp_path):
  shown = [True] * 10 + [False] * 5 + [True] * 10 + [False] * 20 + [True] * 12
  walkers.write(tmp_path / "videos" / "hidden.mp4", shown)
  first, second = clips(tmp_path)
  np.testing.assert_array_equal(first["frame_index"], np.arange(25))
  np.testing.assert_array_equal(first["valid"], shown[:25])
  assert not first["keypoints_image"][10:15].any()
  assert first["keypoints_image"][15:].any((1, 2)).all()
  assert [walkers.boxes(image).shape[0] for image in decoded(first)] == shown[:25]
  np.testing.assert_array_equal(second["frame_index"], np.arange(45, 57))
  assert first["sequence"] == second["sequence"]
  # Of these, one is too short.
  (longer,) = clips(tmp_path, min_frames=13)
  np.testing.assert_array_equal(longer["frame_index"], np.arange(25))


def test_everybody_has_a_clip_and_the_largest_is_first(tmp_path):
  walkers.write(tmp_path / "videos" / "two.mp4", [True] * 15, companion=True)
  large, small = clips(tmp_path)
  assert [large["sequence"], small["sequence"]] == [b"two.mp4_0", b"two.mp4_1"]
  heights = [np.ptp(clip["keypoints_image"][0, :, 1]) for clip in (large, small)]
  np.testing.assert_allclose(heights, [60, 30], atol=2)


def test_long_walks_are_divided_into_clips_of_about_a_hundred_frames(tmp_path):
  walkers.write(tmp_path / "videos" / "long.mp4", [True] * 211)
  found = [clip["frame_index"] for clip in clips(tmp_path)]
  assert [len(frames) for frames in found] == [106, 105]
  np.testing.assert_array_equal(np.concatenate(found), np.arange(211))
  (whole,) = clips(tmp_path, min_frames=120)
  assert len(whole["frames"]) == 211


def test_the_detector_runs_once_a_video(tmp_path, runs):
  for name in ("a.mp4", "b.mov"):
    walkers.write(tmp_path / "videos" / name, [True] * 12)
  weights = tmp_path / "weights.task"
  weights.write_bytes(b"weights")
  first = clips(tmp_path, weights=str(weights))
  assert runs == [weights, weights]
  assert (tmp_path / "videos" / "a.mp4.mediapipe.npz").exists()
  again = clips(tmp_path, weights=str(weights), min_frames=4)
  assert len(runs) == 2
  assert [clip["frames"] for clip in first] == [clip["frames"] for clip in again]


def test_videos_that_cannot_be_used_are_left_out_with_the_reason(tmp_path, caplog):
  folder = tmp_path / "videos"
  walkers.write(folder / "good.mp4", [True] * 12)
  walkers.write(folder / "nobody.mp4", [False] * 12)
  (folder / "broken.mp4").write_bytes(b"no video")
  (clip,) = clips(tmp_path)
  assert clip["sequence"] == b"good.mp4_0"
  assert "2 of 3 videos are left out: broken.mp4" in caplog.text
  (path,) = (tmp_path / "data").rglob("left_out.txt")
  reasons = dict(line.split("\t") for line in path.read_text().splitlines())
  assert sorted(reasons) == ["broken.mp4", "nobody.mp4"]
  assert "not a video that can be read" in reasons["broken.mp4"]
  assert reasons["nobody.mp4"] == "nobody is followed for 8 frames"


def test_what_cannot_be_built_is_one_sentence_and_leaves_no_dataset(
  tmp_path, monkeypatch
):
  folder = tmp_path / "videos"
  folder.mkdir()
  with pytest.raises(
    InputError, match=r"videos has no video \(\.mp4, .*videos\.dir\.$"
  ):
    clips(tmp_path)
  (folder / "broken.avi").write_bytes(b"no video")
  with pytest.raises(InputError, match=r"^No video of .*broken\.avi: .* not a video"):
    clips(tmp_path)
  walkers.write(folder / "nobody.mp4", [False] * 12)
  with pytest.raises(InputError, match=r"nobody\.mp4: nobody is followed for 8 frames"):
    clips(tmp_path)
  walkers.write(folder / "good.mp4", [True] * 12)

  def fail(name):
    raise InputError("The detector is not installed.")

  monkeypatch.setattr(detectors, "adapter", fail)
  with pytest.raises(InputError, match=r"^The detector is not installed\.$"):
    clips(tmp_path)
  assert not list((tmp_path / "data").rglob("dataset_info.json"))
  assert not list((tmp_path / "data").rglob("*.array_record*"))
