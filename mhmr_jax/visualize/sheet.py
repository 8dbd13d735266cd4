"""Contact sheets of stored clips: what the network is shown, and what it is told."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import UInt8

from mhmr_jax.schema import Clip
from mhmr_jax.visualize import panels
from mhmr_jax.visualize.clip_view import CAPTIONS, ClipView, caption_row, frame_shape

_GAP = 4
_LARGEST_PANEL = 224


def clip_sheet(
  clips: Sequence[Clip], times: int = 3, columns: int = 2
) -> UInt8[np.ndarray, "height width 3"]:
  """An RGB picture with one row of panels a moment, some moments a clip.

  A column that no clip has anything for is left out; a place is white where a clip
  lacks what others have.

  Args:
    clips: of any size; large frames are scaled down.
    times: moments of each clip, spread over it.
    columns: clips side by side.
  """
  size = min(_LARGEST_PANEL, max(max(frame_shape(clip)) for clip in clips))
  views = [ClipView(clip, size) for clip in clips]
  held = {caption for view in views for caption in view.captions}
  captions = [caption for caption in CAPTIONS if caption in held]
  blocks = [_block(view, captions, size, times) for view in views]
  blocks += [np.full_like(blocks[0], 255)] * (-len(blocks) % columns)
  rows = [blocks[i : i + columns] for i in range(0, len(blocks), columns)]
  heading = panels.grid([[caption_row(captions, size)] * columns], _GAP)
  return np.concatenate([heading, panels.grid(rows, _GAP)])


def comparison_sheet(
  clips: Mapping[str, Clip], times: int = 4, size: int = 160
) -> UInt8[np.ndarray, "height width 3"]:
  """An RGB picture with one row a clip: its name, moments of it, and their exact flow.

  Args:
    clips: by name; they store flow.
    times: moments of each clip, spread over it.
    size: pixels of a panel's side.
  """
  rows = []
  for name, clip in clips.items():
    view = ClipView(clip, size)
    moments = view.moments()
    chosen = np.linspace(0, len(moments) - 1, times).round().astype(int)
    shown = view.panels([moments[i] for i in chosen])
    parts = [row[part] for part in ("frame", "exact flow") for row in shown]
    strip = panels.grid([parts], 2)
    rows.append(np.concatenate([panels.text_bar(name, strip.shape[1], 24), strip]))
  return np.concatenate(rows)


def _block(
  view: ClipView, captions: Sequence[str], size: int, times: int
) -> UInt8[np.ndarray, "height width 3"]:
  blank = np.full((size, size, 3), 255, np.uint8)
  moments = view.moments()
  chosen = np.linspace(0, len(moments) - 1, times).round().astype(int)
  rows = view.panels([moments[i] for i in chosen]) if moments else [{}] * times
  strips = [
    np.concatenate([row.get(caption, blank) for caption in captions], 1) for row in rows
  ]
  return np.concatenate(strips)
