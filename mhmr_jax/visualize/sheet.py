"""Contact sheets of stored clips with their inputs and labels."""

from collections.abc import Mapping, Sequence

import numpy as np

from mhmr_jax.schema import Clip
from mhmr_jax.visualize import panels
from mhmr_jax.visualize.clip_view import (
  ClipView,
  all_captions,
  caption_row,
  frame_shape,
)
from mhmr_jax.visualize.panels import Image

_GAP = 4  # Between clips, pixels.
_LARGEST_PANEL = 224  # The side of a panel, pixels.


def clip_sheet(clips: Sequence[Clip], times: int = 3, columns: int = 2) -> Image:
  """Draws some moments of each clip, with a row of panels for each moment.

  A column that no clip has data for is left out; a clip that lacks the data of a column
  leaves it white.

  Args:
    clips: clips of any size; large frames are scaled down.
    times: how many moments to draw of each clip, spread over it.
    columns: how many clips lie side by side.
  """
  size = min(_LARGEST_PANEL, max(max(frame_shape(clip)) for clip in clips))
  views = [ClipView(clip, size) for clip in clips]
  captions = all_captions(views)
  blocks = [_block(view, captions, size, times) for view in views]
  blocks += [np.full_like(blocks[0], 255)] * (-len(blocks) % columns)
  rows = [blocks[i : i + columns] for i in range(0, len(blocks), columns)]
  heading = panels.grid([[caption_row(captions, size)] * columns], _GAP)
  return np.concatenate([heading, panels.grid(rows, _GAP)])


def comparison_sheet(
  clips: Mapping[str, Clip], times: int = 4, size: int = 160
) -> Image:
  """Draws a row for each clip: its name, some moments, and their exact flow.

  Args:
    clips: by name; they store flow.
    times: how many moments to draw of each clip, spread over it.
    size: the side of a panel, pixels.
  """
  rows = []
  for name, clip in clips.items():
    view = ClipView(clip, size)
    shown = view.panels(view.spread_moments(times))
    parts = [row[part] for part in ("frame", "exact flow") for row in shown]
    strip = panels.grid([parts], 2)
    rows.append(np.concatenate([panels.text_bar(name, strip.shape[1], 24), strip]))
  return np.concatenate(rows)


def _block(view: ClipView, captions: Sequence[str], size: int, times: int) -> Image:
  blank = np.full((size, size, 3), 255, np.uint8)
  moments = view.spread_moments(times)
  rows = view.panels(moments) if moments else [{}] * times
  strips = [
    np.concatenate([row.get(caption, blank) for caption in captions], 1) for row in rows
  ]
  return np.concatenate(strips)
