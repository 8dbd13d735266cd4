import numpy as np
import pytest

from mhmr_jax.synth import clips
from mhmr_jax.visualize import clip_view, sheet


@pytest.fixture(scope="module")
def stored_clips():
  maker = clips.ClipMaker(clips.ClipSpec(seed=0, frames=4, size=64))
  return [maker.make("train", index)[0] for index in range(3)]


def test_a_sheet_has_a_panel_of_each_kind_for_every_moment(stored_clips):
  picture = sheet.clip_sheet(stored_clips, times=2, columns=2)
  width = 2 * len(clip_view.CAPTIONS) * 64 + 4
  height = 16 + 2 * (2 * 64) + 4
  assert picture.shape == (height, width, 3)
  assert picture.dtype == np.uint8
  # The fourth place is empty.
  assert (picture[-128:, width // 2 + 2 :] == 255).all()
  # The first row's mask is black and white, its frame is neither.
  row = picture[16:80]
  assert set(np.unique(row[:, 5 * 64 : 6 * 64])) == {0, 255}
  assert len(np.unique(row[:, :64])) > 20


def test_what_a_clip_lacks_is_white_and_what_all_lack_is_left_out(stored_clips):
  bare = {key: stored_clips[0][key] for key in ("frames", "keypoints_image")}
  unmasked = {key: value for key, value in stored_clips[1].items() if key != "mask"}
  assert sheet.clip_sheet([bare], times=1, columns=1).shape == (16 + 64, 4 * 64, 3)
  both = sheet.clip_sheet([bare, unmasked], times=1, columns=1)
  captions = [caption for caption in clip_view.CAPTIONS if caption != "mask"]
  assert both.shape[:2] == (16 + 64 + 4 + 64, len(captions) * 64)
  left = captions.index("exact flow") * 64
  assert (both[16:84, left : left + 64] == 255).all()
  assert (both[84:, left : left + 64] != 255).any()
