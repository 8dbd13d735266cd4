"""The backgrounds of clips: generated scenes, or the pictures and videos of a folder.

A background is a picture on a plane in the world, far behind the person and facing the
camera of the middle frame. It may move on that plane (pan, zoom and turn); the camera's
own motion moves it as it moves the person.
"""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from mhmr_jax.errors import InputError
from mhmr_jax.synth import picture_files, planes, render, textures
from mhmr_jax.synth.camera import CameraPath

Rng = np.random.Generator

_VIDEOS = frozenset(
  {".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv"}
)
# How many files are tried until one can be read.
_ATTEMPTS = 64
# A video that claims larger frames is skipped; 8K has half as many pixels.
_MAX_PIXELS = 1 << 26
# A longer picture is cut to this multiple of its shorter side.
_MAX_ASPECT = 3
# A file may claim any frame rate and any number of frames.
_MAX_STRIDE = 8
_MAX_FRAMES = 1e7
# Shorter sides in frame widths, which leave room to pan. A picture is mirrored beyond
# its edges.
_SCENE_SIDE = 2.5
_PICTURE_SIDES = (1.3, 3.0)
_VIDEO_SIDE = 1.6
_FPS = 30.0


class Media(NamedTuple):
  """The pictures of a clip's background, RGB: a still one, or one for each frame."""

  pictures: list[UInt8[np.ndarray, "height width 3"]]
  skipped: tuple[str, ...] = ()  # Files that were tried first and cannot be read.


class Background(NamedTuple):
  """A background as the clip's camera sees it."""

  frames: UInt8[np.ndarray, "time size size 3"]
  # Homographies from pixels of frame t-1 to pixels of frame t; the first is identity.
  motion: Float[np.ndarray, "time 3 3"]
  is_still: bool  # False for a video, whose own motion is not known.

  def flow(self, time: int) -> Float[np.ndarray, "size size 2"]:
    """The plane's flow from frame time - 1 to frame time, on the grid of time - 1."""
    size = self.frames.shape[1]
    return planes.flow(self.motion[time], render.Window(0, 0, size, size))


class Generated:
  """Scenes that are generated from the random stream."""

  def draw(self, rng: Rng, split: str, frames: int, size: int) -> Media:
    """Draws a still scene; the splits share none, as their streams differ."""
    del split, frames
    return Media([textures.scene(rng, round(_SCENE_SIDE * size))])


@dataclasses.dataclass(frozen=True)
class Folder:
  """The pictures and videos below a folder, split by a hash of their names."""

  path: pathlib.Path
  files: dict[str, tuple[str, ...]]  # The files of each split, relative to the path.

  def draw(self, rng: Rng, split: str, frames: int, size: int) -> Media:
    """Draws a random picture, or successive frames of a random video.

    Files that cannot be read are skipped.

    Raises:
      InputError: none of the split's files that were tried can be read.
    """
    skipped: list[str] = []
    files = self.files[split]
    for index in rng.permutation(len(files))[:_ATTEMPTS]:
      read = _read_video if _suffix(files[index]) in _VIDEOS else _read_picture
      try:
        pictures = read(self.path / files[index], rng, frames, size)
      except cv2.error:  # Claims of absurd sizes; most damage returns no pictures.
        pictures = []
      if pictures:
        return Media(pictures, tuple(skipped))
      skipped.append(files[index])
    raise InputError(
      f"None of the {len(skipped)} pictures and videos of {self.path} that were tried "
      f"for the {split} split can be read: give a folder of readable ones."
    )


def open_backgrounds(path: str) -> Generated | Folder:
  """Opens a folder of backgrounds; '' means generated ones.

  Raises:
    InputError: there is no such folder, or it holds too few files for two splits.
  """
  if not path:
    return Generated()
  folder = pathlib.Path(path).expanduser()
  if not folder.is_dir():
    raise InputError(
      f"The folder of backgrounds {path} does not exist: name a folder of pictures or "
      "videos, or leave it empty to generate them."
    )
  # The hash of relative names makes the split the same wherever the folder lies.
  files = sorted(_list(folder), key=_hash)
  if len(files) < 2:
    raise InputError(
      f"The folder of backgrounds {path} holds {len(files)} pictures and videos: the "
      "train and test splits need at least one each."
    )
  return Folder(folder, picture_files.split(files))


def _list(folder: pathlib.Path) -> Iterator[str]:
  """Lists the pictures and videos below a folder, relative to it; opens none."""
  pending = [""]
  while pending:
    parent = pending.pop()
    with os.scandir(folder / parent) as entries:
      for entry in entries:
        name = parent + entry.name
        if entry.is_dir(follow_symlinks=False):
          pending.append(f"{name}/")
        elif _suffix(name) in picture_files.SUFFIXES | _VIDEOS and entry.is_file():
          yield name


def _suffix(name: str) -> str:
  return os.path.splitext(name)[1].lower()


def _hash(name: str) -> bytes:
  return hashlib.blake2b(name.encode()).digest()


def _read_picture(path: pathlib.Path, rng: Rng, frames: int, size: int) -> list:
  del frames
  side = size * rng.uniform(*_PICTURE_SIDES)
  picture = picture_files.read(path, side)
  return [] if picture is None else [_shrink(picture, side)]


def _read_video(path: pathlib.Path, rng: Rng, frames: int, size: int) -> list:
  """Reads frames from a random place on; a short video runs back from its end."""
  video = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
  try:
    width = video.get(cv2.CAP_PROP_FRAME_WIDTH)
    height = video.get(cv2.CAP_PROP_FRAME_HEIGHT)
    if not 0 < width * height <= _MAX_PIXELS:
      return []
    stride = _bounded(video.get(cv2.CAP_PROP_FPS), _MAX_STRIDE * _FPS) / _FPS
    stride = max(1, round(stride))
    count = _bounded(video.get(cv2.CAP_PROP_FRAME_COUNT), _MAX_FRAMES)
    last = int(count) - frames * stride
    start = int(rng.integers(0, max(1, last + 1)))
    pictures = _frames_from(video, start, stride, frames, size)
    if start and len(pictures) < min(2, frames):  # Fewer than it claims.
      pictures = _frames_from(video, 0, stride, frames, size)
  finally:
    video.release()
  if not pictures:
    return []
  there_and_back = pictures + pictures[-2:0:-1]
  return [there_and_back[i % len(there_and_back)] for i in range(frames)]


def _bounded(claim: float, most: float) -> float:
  """A file's claim, limited to `most`; a negative one or NaN becomes 0."""
  return min(claim, most) if claim > 0 else 0.0


def _frames_from(
  video: cv2.VideoCapture, start: int, stride: int, frames: int, size: int
) -> list:
  """Reads at most `frames` frames; shrinks each one before it reads the next."""
  pictures: list[np.ndarray] = []
  video.set(cv2.CAP_PROP_POS_FRAMES, start)
  while len(pictures) < frames:
    ok, picture = video.read()
    if not ok:
      break
    pictures.append(_shrink(picture, _VIDEO_SIDE * size))
    for _ in range(stride - 1):
      video.grab()
  return pictures


def _shrink(picture: np.ndarray, side: float) -> UInt8[np.ndarray, "height width 3"]:
  """BGR to RGB, with a shorter side of at most `side` pixels and a bounded aspect."""
  longest = _MAX_ASPECT * min(picture.shape[:2])
  top, left = (max(0, (length - longest) // 2) for length in picture.shape[:2])
  picture = picture[top : top + longest, left : left + longest]
  scale = side / min(picture.shape[:2])
  if scale < 1:
    picture = cv2.resize(
      picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA
    )
  return np.ascontiguousarray(picture[..., ::-1])


def film(
  rng: Rng,
  media: Media,
  camera: CameraPath,
  distance: float,
  size: int,
  moves: bool = True,
) -> Background:
  """Puts pictures on a plane behind the person and films them with the clip's camera.

  Args:
    rng: the random stream of the plane's place and motion.
    media: the pictures.
    camera: the clip's camera.
    distance: metres to the person at the middle frame; the plane is farther away.
    size: pixels of the square frame's side.
    moves: False keeps a picture still on its plane, and shows only the first frame of
      a video; everything else is drawn the same.
  """
  frames = len(camera.R_wc)
  far = distance * np.exp(rng.uniform(np.log(1.3), np.log(8)))
  placed = _place(rng, media, frames, size, moves)
  pictures = media.pictures if moves else media.pictures[:1]
  # OpenCV resamples four channels twice as fast as three.
  padded = [cv2.cvtColor(picture, cv2.COLOR_RGB2RGBA) for picture in pictures]
  image_from_picture = camera.plane_motion(far) @ placed
  whole = render.Window(0, 0, size, size)
  images = np.empty((frames, size, size, 3), np.uint8)
  for t, image in enumerate(images):
    warped = planes.warp(
      padded[t % len(padded)], image_from_picture[t], whole, cv2.BORDER_REFLECT
    )
    cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB, image)
  return Background(images, _steps(image_from_picture), is_still=len(pictures) == 1)


def _place(
  rng: Rng, media: Media, frames: int, size: int, moves: bool
) -> Float[np.ndarray, "time 3 3"]:
  """Draws homographies from the picture's pixels to the middle frame's, over time."""
  height, width = media.pictures[0].shape[:2]
  is_video = len(media.pictures) > 1
  # The picture is shrunk or stretched a little; a small one is stretched until it fills
  # the frame.
  least = size / min(height, width)
  scale = max(least, np.exp(rng.uniform(np.log(0.6), np.log(1.3))))
  spare = np.maximum(0, np.array([width, height]) - size / scale) / 2
  centre = np.array([width, height]) / 2 + rng.uniform(-1, 1, 2) * spare
  steps = np.arange(frames) - frames // 2
  zoom, turn, drift = 0.0, 0.0, np.zeros(2)
  if not is_video and rng.random() < 0.35:
    zoom = rng.normal(0, 0.004)
    turn = np.radians(rng.normal(0, 0.1))
    drift = rng.normal(0, 0.006, 2) * size
  if not moves:
    zoom, turn, drift = 0.0, 0.0, np.zeros(2)
  angle = turn * steps
  grown = scale * np.exp(np.clip(zoom * steps, -0.5, 0.5))
  matrices = np.tile(np.eye(3), (frames, 1, 1))
  matrices[:, 0, 0] = matrices[:, 1, 1] = grown * np.cos(angle)
  matrices[:, 0, 1] = -grown * np.sin(angle)
  matrices[:, 1, 0] = grown * np.sin(angle)
  offset = size / 2 + drift * steps[:, None]
  matrices[:, :2, 2] = offset - np.einsum("tij,j->ti", matrices[:, :2, :2], centre)
  return matrices


def _steps(
  image_from_picture: Float[np.ndarray, "time 3 3"],
) -> Float[np.ndarray, "time 3 3"]:
  """Homographies from each frame's predecessor to the frame."""
  before = np.concatenate([image_from_picture[:1], image_from_picture[:-1]])
  return image_from_picture @ np.linalg.inv(before)
