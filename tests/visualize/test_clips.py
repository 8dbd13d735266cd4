"""The command that shows a dataset."""

import json

import cv2
import pytest
from absl.testing import flagsaver

from mhmr_jax.body import smpl
from mhmr_jax.data import sources
from mhmr_jax.errors import InputError
from mhmr_jax.visualize import clips, datasheet, datasheet_page
from tests import tiny, workdirs
from tests.data_builders import miniature


def test_spread_is_even_and_within():
  assert clips.spread(10, 5) == [1, 3, 5, 7, 9]
  assert clips.spread(3, 8) == [0, 1, 2]
  assert clips.spread(7, 1) == [3]


@pytest.mark.slow
def test_shows_the_clips_of_a_config():
  out = workdirs.shown()
  output = (out.parent / "output.txt").read_text()
  names = ("sheet.jpg", "clips.mp4", "datasheet.json", "datasheet.html", "variants.jpg")
  assert output.splitlines()[-5:] == [str(out / name) for name in names]
  facts = json.loads((out / "datasheet.json").read_text())
  assert (facts["dataset"], facts["split"]) == ("synthetic_clips", "train")
  assert (facts["clips"], facts["clips_read"]) == (4, 3)
  assert facts["frames"] == 3 * 10
  assert cv2.imread(str(out / "sheet.jpg")).shape[1] == 2 * 7 * 64 + 4
  compared = cv2.imread(str(out / "variants.jpg"))
  assert compared.shape == (2 * (24 + 160), 8 * 160 + 7 * 2, 3)
  # Four moments of one person, before a background that moves and one that does not.
  first, second = (compared[24 + row : 184 + row, : 4 * 162] for row in (0, 184))
  assert abs(first.astype(int) - second).mean() > 3
  video = cv2.VideoCapture(str(out / "clips.mp4"))
  count = 0
  while video.grab():
    count += 1
  assert count == 2 * 9  # The first frame of a clip has no flow.
  assert "synthetic_clips, split train" in (out / "datasheet.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
  ("dataset", "lacking", "held"),
  [
    ("threedpw", {"mask_share", "visibility"}, {"pelvis_speed", "facing"}),
    ("kinetics_pseudo_gt", {"mask_share", "pelvis_speed"}, {"inside_frame", "facing"}),
  ],
)
def test_shows_filmed_people(tmp_path, dataset, lacking, held):
  config = tiny.config(tmp_path / "data", data__test_fraction=0.4)
  paths = miniature.write_kinetics(tmp_path / "kinetics", smpl.load())
  bodies = miniature.write_bodies(tmp_path)
  miniature.write_threedpw(tmp_path / "3DPW", miniature.load_bodies(bodies))
  paths |= {"threedpw.dir": str(tmp_path / "3DPW")}
  paths |= {f"body.{gender}": path for gender, path in bodies.items()}
  config.update_from_flattened_dict(paths)
  source = sources.open_source(config, "train", dataset)
  shown = [source[index] for index in range(len(source))]
  clips.write_sheet(tmp_path / "sheet.jpg", shown)
  clips.write_video(tmp_path / "clips.mp4", shown)
  assert cv2.imread(str(tmp_path / "sheet.jpg")) is not None
  assert cv2.VideoCapture(str(tmp_path / "clips.mp4")).grab()
  facts = datasheet.gather(shown)
  assert not lacking & set(facts)
  assert held <= set(facts)
  page = datasheet_page.render(
    {"dataset": dataset, "split": "train", "clips": len(source), **facts}
  )
  assert "Share of the mask" not in page


def test_an_unknown_dataset_is_named(tmp_path, monkeypatch):
  config = tiny.config(tmp_path / "data")
  monkeypatch.setattr(clips, "_CONFIG", tiny.config_flag(config))
  values = {"out": str(tmp_path / "out"), "dataset": "nowhere", "split": "train"}
  with (
    flagsaver.flagsaver(**values),
    pytest.raises(InputError, match="There is no dataset 'nowhere'"),
  ):
    clips.main([])
