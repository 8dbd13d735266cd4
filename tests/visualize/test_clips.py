"""The command that shows a dataset."""

import json

import cv2
import pytest

from mhmr_jax.visualize import clips
from tests import tiny


def test_spread_is_even_and_within():
  assert clips.spread(10, 5) == [1, 3, 5, 7, 9]
  assert clips.spread(3, 8) == [0, 1, 2]
  assert clips.spread(7, 1) == [3]


@pytest.mark.slow
def test_shows_the_clips_of_a_config(tmp_path):
  out = tmp_path / "out"
  flags = [*tiny.flags(tmp_path / "data"), f"--out={out}", "--count=2", "--most_read=3"]
  status, output, errors = tiny.run("visualize.clips", *flags)
  assert status == 0, errors
  assert output.splitlines()[-4:] == [
    str(out / name)
    for name in ("sheet.jpg", "clips.mp4", "datasheet.json", "datasheet.html")
  ]
  facts = json.loads((out / "datasheet.json").read_text())
  assert (facts["dataset"], facts["split"]) == ("synthetic_clips", "train")
  assert (facts["clips"], facts["clips_read"]) == (4, 3)
  assert facts["frames"] == 3 * 10
  assert cv2.imread(str(out / "sheet.jpg")).shape[1] == 2 * 7 * 64 + 4
  video = cv2.VideoCapture(str(out / "clips.mp4"))
  count = 0
  while video.grab():
    count += 1
  assert count == 2 * 9  # The first frame of a clip has no flow.
  assert "synthetic_clips, split train" in (out / "datasheet.html").read_text()


@pytest.mark.slow
def test_an_unknown_dataset_is_one_sentence(tmp_path):
  status, _, errors = tiny.run(
    "visualize.clips",
    *tiny.flags(tmp_path),
    f"--out={tmp_path / 'out'}",
    "--dataset=nowhere",
  )
  assert status == 1
  assert errors.strip().startswith("error: There is no dataset 'nowhere'")
