"""Writes the page that shows a video and its people in space, in step.

The page is one file that works without a network. `viewer_page/` holds its HTML, CSS
and JavaScript. three.js, which draws the scene, is a part of trimesh's own viewer, and
is read from the installed trimesh when a page is written.
"""

import base64
import html
import importlib.util
import json
import pathlib
import re
import string
import zipfile
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from mhmr_jax.body import smpl
from mhmr_jax.errors import InputError
from mhmr_jax.files import atomic
from mhmr_jax.runtime.batching import blocks
from mhmr_jax.schema import Motion
from mhmr_jax.visualize import viewer_data

_PAGE = pathlib.Path(__file__).parent / "viewer_page"
# In the order in which they use each other.
_SCRIPTS = (
  "data.js", "clock.js", "body.js", "orbit.js", "stage.js", "angles.js", "plot.js",
  "main.js",
)  # fmt: skip
# They stand for what is large, and written part by part. No text of a page has them.
_MOTION_MARK, _VIDEO_MARK = "\0motion\0", "\0video\0"
# Bytes that are encoded at once: a multiple of 3, so that the texts can be joined.
_CHUNK = 3 * 2**20
# The first script begins with the library, which is followed by its add-ons.
_THREE_JS = re.compile(r"<script>(/\*\*\s+\* @license.*?)^\(function\(\)", re.M | re.S)


def write(
  path: pathlib.Path,
  motions: Sequence[Motion],
  body: smpl.SmplModel,
  video: pathlib.Path | None,
  title: str = "Motion",
) -> None:
  """Writes a page that needs nothing but a browser.

  The video is copied into the page as it is, where base64 makes it a third larger. A
  row of motion is shown when the video shows the frame at its time, counted from the
  video's first frame.

  Args:
    path: the HTML file to write.
    motions: at least one person of the video.
    body: the body that the motions' pose and shape are for.
    video: an MP4 or WebM file that browsers play; without one the page has its own
      clock.
    title: stands over the page.

  Raises:
    InputError: the video cannot be read or is neither MP4 nor WebM, the page cannot be
      written, or the installed trimesh has no three.js.
  """
  packed = viewer_data.pack(motions, body)
  if video is not None:
    packed["video_type"] = _video_type(video)
  parts = {_MOTION_MARK: _json_parts(packed), _VIDEO_MARK: _base64_chunks(video)}
  with atomic.whole(path) as partial, partial.open("wb") as file:
    for text in re.split("(\0[a-z]+\0)", _render(title)):
      for part in parts.get(text, [text.encode()]):
        file.write(part)


def read_three_js() -> str:
  """Reads three.js, with its licence notice, out of trimesh's viewer.

  Raises:
    InputError: the installed trimesh does not have it where it is expected.
  """
  package = importlib.util.find_spec("trimesh")
  if package is None or package.origin is None:
    raise _no_three_js()
  # Its files are read without an import, which takes as long as writing the page.
  packed = pathlib.Path(package.origin).parent / "resources/templates/viewer.zip"
  try:
    with zipfile.ZipFile(packed) as archive:
      page = archive.read("viewer.html.template").decode()
  except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
    raise _no_three_js() from error
  found = _THREE_JS.search(page)
  if found is None or "THREE=" not in found[1]:
    raise _no_three_js()
  return found[1]


def _no_three_js() -> InputError:
  return InputError(
    "The installed trimesh has no three.js in its viewer.zip, which motion.html needs:"
    " install the version of trimesh that setup.cfg names."
  )


def _render(title: str) -> str:
  read = lambda name: (_PAGE / name).read_text(encoding="utf-8")
  return string.Template(read("page.html")).substitute(
    title=html.escape(title.replace("\0", "")),
    style=read("page.css"),
    three=read_three_js(),
    motion=_MOTION_MARK,
    video=_VIDEO_MARK,
    script="\n".join(map(read, _SCRIPTS)),
  )


def _video_type(video: pathlib.Path) -> str:
  with _open(video) as file:
    start = file.read(12)
  if start[4:8] == b"ftyp":
    return "video/mp4"
  if start.startswith(b"\x1a\x45\xdf\xa3"):
    return "video/webm"
  raise InputError(
    f"{video} is neither MP4 nor WebM, which browsers play: convert it to one of them."
  )


def _json_parts(packed: viewer_data.PackedMotion) -> Iterator[bytes]:
  for part in json.JSONEncoder(separators=(",", ":")).iterencode(packed):
    for at in blocks(len(part), _CHUNK):
      # "<" would begin a tag, as in "</script>"; JSON may write it as a code.
      yield part[at].replace("<", "\\u003c").encode()


def _base64_chunks(video: pathlib.Path | None) -> Iterator[bytes]:
  if video is None:
    return
  with _open(video) as file:
    while chunk := file.read(_CHUNK):
      yield base64.b64encode(chunk)


def _open(video: pathlib.Path) -> BinaryIO:
  try:
    return video.open("rb")
  except OSError as error:
    raise InputError(
      f"{video} cannot be read ({error.strerror}): name a video that exists."
    ) from error
