"""Draws a dataset's clips as pictures and a video, and writes its datasheet.

python -m mhmr_jax.visualize.clips --config=configs/flow_kp.py --out=DIR

It works on every dataset that training reads, and generates or opens it as training
does. It writes `sheet.jpg`, `clips.mp4`, `datasheet.json` and `datasheet.html`, and
`variants.jpg` if there are `--variants` to compare.
"""

import json
import pathlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from absl import flags, logging
from etils import epy
from ml_collections import ConfigDict, config_flags

from mhmr_jax.data import config_paths
from mhmr_jax.files import atomic
from mhmr_jax.runtime import config_check, program

# Imported at their first use: `--help` does without what takes seconds to import.
with epy.lazy_imports():
  import numpy as np

  from mhmr_jax.data import sources
  from mhmr_jax.files import video_writer
  from mhmr_jax.visualize import clip_view, datasheet, datasheet_page, panels, sheet

if TYPE_CHECKING:
  from mhmr_jax.schema import Clip

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "The experiment whose data is drawn.", **program.REDEFINED_FLAG
)
_DATASET = flags.DEFINE_string(
  "dataset",
  None,
  f"One of {', '.join(config_paths.NAMES)}; by default the config's own.",
  **program.REDEFINED_FLAG,
)
_SPLIT = flags.DEFINE_string(
  "split", "train", "The split of the dataset.", **program.REDEFINED_FLAG
)
_COUNT = flags.DEFINE_integer("count", 8, "How many clips to draw.", lower_bound=1)
_MOST_READ = flags.DEFINE_integer(
  "most_read",
  1000,
  "How many clips to read at most for the datasheet, evenly spread.",
  lower_bound=1,
)
_VARIANTS = flags.DEFINE_list(
  "variants", [], "Variants of the synthetic clips, to draw the same clip of each."
)

_VIDEO_PANEL = 192  # The side of a panel, pixels.
_VIDEO_FRAMES = 48  # The most of one clip.


def main(argv: list[str]) -> None:
  """Reads the flags, and writes the files into --out."""
  del argv
  config = program.config_of(_CONFIG)
  config_check.check(config)
  out = program.path_of(program.OUT)
  atomic.make_folder(out)
  source = sources.open_source(config, _SPLIT.value, _DATASET.value)
  shown = spread(len(source), _COUNT.value)
  write_sheet(out / "sheet.jpg", [source[index] for index in shown])
  write_video(out / "clips.mp4", [source[index] for index in shown])
  facts = {
    "dataset": source.name,
    "split": _SPLIT.value,
    "clips": len(source),
    **datasheet.gather(_read(source, spread(len(source), _MOST_READ.value))),
  }
  atomic.write(out / "datasheet.json", json.dumps(facts, indent=2) + "\n")
  atomic.write(out / "datasheet.html", datasheet_page.render(facts))
  written = ["sheet.jpg", "clips.mp4", "datasheet.json", "datasheet.html"]
  if _VARIANTS.value:
    write_variants(out / "variants.jpg", config, _VARIANTS.value, _SPLIT.value)
    written.append("variants.jpg")
  for name in written:
    print(out / name)


def write_variants(
  path: pathlib.Path, config: ConfigDict, variants: list[str], split: str
) -> None:
  """Draws the split's middle clip as each variant has it, in a row for each."""
  shown = {}
  for variant in variants:
    own = config.copy_and_resolve_references()
    own.data.variant = variant
    source = sources.open_source(own, split, "synthetic_clips")
    shown[variant] = source[len(source) // 2]
  picture = sheet.comparison_sheet(shown)
  atomic.write(path, panels.encode_jpeg(picture, quality=90))


def spread(count: int, most: int) -> list[int]:
  """At most `most` of the first `count` whole numbers, evenly spread."""
  number = min(count, most)
  return [(2 * i + 1) * count // (2 * number) for i in range(number)]


def write_sheet(path: pathlib.Path, clips: "list[Clip]") -> None:
  """Draws moments of the clips into one JPEG."""
  picture = sheet.clip_sheet(clips, columns=min(2, len(clips)))
  atomic.write(path, panels.encode_jpeg(picture, quality=90))


def write_video(path: pathlib.Path, clips: "list[Clip]") -> None:
  """Draws the middle of each clip into one video, clip after clip."""
  views = [clip_view.ClipView(clip, _VIDEO_PANEL) for clip in clips]
  captions = clip_view.all_captions(views)
  heading = clip_view.caption_row(captions, _VIDEO_PANEL)
  blank = np.full((_VIDEO_PANEL, _VIDEO_PANEL, 3), 255, np.uint8)
  with video_writer.writing(path, float(clips[0].get("fps", 30.0))) as writer:
    for clip, view in zip(clips, views, strict=True):
      name = panels.text_bar(str(clip.get("sequence", "")), heading.shape[1])
      moments = view.moments()
      first = max(0, (len(moments) - _VIDEO_FRAMES) // 2)
      for row in view.panels(moments[first : first + _VIDEO_FRAMES]):
        strip = np.concatenate([row.get(caption, blank) for caption in captions], 1)
        writer.write(np.concatenate([heading, strip, name]))


def _read(source: "sources.ClipSource", indices: list[int]) -> "Iterator[Clip]":
  for index in indices:
    yield source[index]
    if (index + 1) % 1000 == 0:
      logging.info("Read up to clip %d of %d", index + 1, len(source))


if __name__ == "__main__":
  program.run(main, usual=("config", "out", "dataset"))
