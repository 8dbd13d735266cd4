"""Shows what is in a dataset: pictures, a video and a datasheet of its clips.

python -m mhmr_jax.visualize.clips --config=configs/flow_kp.py --out=DIR

Works on every dataset that training reads, and makes or opens it as training would.
Writes `sheet.jpg`, `clips.mp4`, `datasheet.json` and `datasheet.html`; and, where
asked to compare `--variants`, `variants.jpg`.
"""

import json
import pathlib
from collections.abc import Iterator

import cv2
import numpy as np
from absl import flags, logging
from jaxtyping import UInt8
from ml_collections import ConfigDict, config_flags

from mhmr_jax.data import config_paths, sources
from mhmr_jax.errors import InputError
from mhmr_jax.files import video_writer
from mhmr_jax.runtime import program
from mhmr_jax.schema import Clip
from mhmr_jax.visualize import datasheet, datasheet_page, panels, sheet
from mhmr_jax.visualize.clip_view import CAPTIONS, ClipView, caption_row

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "Experiment whose data it is.", **program.REDEFINED_FLAG
)
_DATASET = flags.DEFINE_string(
  "dataset",
  None,
  f"One of {', '.join(config_paths.NAMES)}; the config's own by default.",
  **program.REDEFINED_FLAG,
)
_SPLIT = flags.DEFINE_string(
  "split", "train", "Split of the dataset.", **program.REDEFINED_FLAG
)
_COUNT = flags.DEFINE_integer("count", 8, "Clips to show.", lower_bound=1)
_MOST_READ = flags.DEFINE_integer(
  "most_read", 1000, "Clips to read for the datasheet, spread evenly.", lower_bound=1
)
_VARIANTS = flags.DEFINE_list(
  "variants", [], "Kinds of synthetic clips of which the same clip is drawn, in rows."
)

_VIDEO_PANEL, _VIDEO_FRAMES = 192, 48


def main(argv: list[str]) -> None:
  """Writes the files into --out."""
  del argv
  config = program.require(_CONFIG)
  out = program.path_of(program.OUT)
  try:
    out.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise InputError(
      f"{out} cannot be made ({error.strerror}): name another --out."
    ) from error
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
  _write(out / "datasheet.json", (json.dumps(facts, indent=2) + "\n").encode())
  _write(out / "datasheet.html", datasheet_page.render(facts).encode())
  written = ["sheet.jpg", "clips.mp4", "datasheet.json", "datasheet.html"]
  if _VARIANTS.value:
    write_variants(out / "variants.jpg", config, _VARIANTS.value, _SPLIT.value)
    written.append("variants.jpg")
  for name in written:
    print(out / name)


def write_variants(
  path: pathlib.Path, config: ConfigDict, variants: list[str], split: str
) -> None:
  """Writes the middle clip of the split as each of the variants has it, in rows."""
  shown = {}
  for variant in variants:
    own = config.copy_and_resolve_references()
    own.data.variant = variant
    source = sources.open_source(own, split, "synthetic_clips")
    shown[variant] = source[len(source) // 2]
  _write_picture(path, sheet.comparison_sheet(shown))


def spread(count: int, most: int) -> list[int]:
  """At most so many of the first `count` whole numbers, evenly spread."""
  number = min(count, most)
  return [(2 * i + 1) * count // (2 * number) for i in range(number)]


def write_sheet(path: pathlib.Path, clips: list[Clip]) -> None:
  """Writes moments of the clips as one JPEG."""
  _write_picture(path, sheet.clip_sheet(clips, columns=min(2, len(clips))))


def _write_picture(path: pathlib.Path, picture: UInt8[np.ndarray, "_ _ 3"]) -> None:
  options = [cv2.IMWRITE_JPEG_QUALITY, 90]
  _, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)
  _write(path, data.tobytes())


def write_video(path: pathlib.Path, clips: list[Clip]) -> None:
  """Writes the clips one after the other, at most some frames of each."""
  views = [ClipView(clip, _VIDEO_PANEL) for clip in clips]
  held = {caption for view in views for caption in view.captions}
  captions = [caption for caption in CAPTIONS if caption in held]
  heading = caption_row(captions, _VIDEO_PANEL)
  blank = np.full((_VIDEO_PANEL, _VIDEO_PANEL, 3), 255, np.uint8)
  with video_writer.writing(path, float(clips[0].get("fps", 30.0))) as writer:
    for clip, view in zip(clips, views, strict=True):
      name = panels.text_bar(str(clip.get("sequence", "")), heading.shape[1])
      moments = view.moments()
      first = max(0, (len(moments) - _VIDEO_FRAMES) // 2)
      for row in view.panels(moments[first : first + _VIDEO_FRAMES]):
        strip = np.concatenate([row.get(caption, blank) for caption in captions], 1)
        writer.write(np.concatenate([heading, strip, name]))


def _read(source: sources.ClipSource, indices: list[int]) -> Iterator[Clip]:
  for index in indices:
    yield source[index]
    if (index + 1) % 1000 == 0:
      logging.info("Read up to clip %d of %d", index + 1, len(source))


def _write(path: pathlib.Path, data: bytes) -> None:
  try:
    path.write_bytes(data)
  except OSError as error:
    raise InputError(
      f"{path} cannot be written ({error.strerror}): name another --out."
    ) from error


if __name__ == "__main__":
  program.run(main)
