"""Makes whole clips, each from its own random streams, in several processes.

A clip depends on the spec, the split and its index alone: `SeedSequence([seed, split,
index])` spawns a random stream for each component, so that what one component draws
never changes another.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import functools
import itertools
import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from absl import logging

from mhmr_jax.errors import InputError
from mhmr_jax.files import flow_images
from mhmr_jax.motion import library
from mhmr_jax.schema import Clip
from mhmr_jax.synth import (
  backgrounds,
  composite,
  distractors,
  domains,
  occluders,
  people,
  skinning,
  variants,
)
from mhmr_jax.synth.appearance import Style
from mhmr_jax.synth.recording import Recording
from mhmr_jax.synth.surreal import people as surreal_people
from mhmr_jax.synth.wardrobe import Wardrobe

SPLITS = ("train", "test")
_FPS = 30.0
_JPEG_QUALITY = (cv2.IMWRITE_JPEG_QUALITY, 95)
_PNG_OPTIONS = (cv2.IMWRITE_PNG_BILEVEL, 1)
# New streams go to the end, so that the ones before them stay as they are.
_STREAMS = (
  *("motion", "shape", "looks", "background", "filming", "sensor"),
  *("occluders", "distractors", "recording"),
)
# Size of the pictures that occluders are cut from, over the frame's size.
_CUT_FROM = 0.4
Streams = dict[str, np.random.Generator]
# Pairs of a folder and a file in it that could not be used.
Skipped = tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True)
class ClipSpec:
  """The settings that all clips of a dataset share."""

  seed: int
  frames: int
  size: int  # Pixels of the square frames' side.
  motion: str = ""  # A folder of motion capture; '' means procedural motion.
  backgrounds: str = ""  # A folder of pictures and videos; '' means generated scenes.
  body: str = ""  # A body model's file; '' means the free body.
  textures: str = ""  # A folder of pictures of cloth; '' means generated cloth.
  variant: str = "full"  # A name of `variants.VARIANTS`.
  surreal: str = ""  # SURREAL's folder, to film its people; '' means rendered people.

  def __post_init__(self) -> None:
    if variants.get(self.variant).shifted and self.surreal:
      raise InputError(
        f"Variant {self.variant!r} changes how people look, but SURREAL's people "
        f"({self.surreal}) are rendered already: leave out one of the two."
      )


class ClipMaker:
  """Opens everything that the clips of a spec are made from, and makes clips.

  Raises:
    InputError: the spec names a file or folder that cannot be used.
  """

  def __init__(self, spec: ClipSpec):
    self._spec = spec
    self._variant = variants.get(spec.variant)
    self._domain = domains.SHIFTED if self._variant.shifted else domains.USUAL
    self._motions = library.open_motions(spec.motion)
    self._scenes: domains.Scenes = self._domain.scenes
    if spec.backgrounds:
      self._scenes = backgrounds.open_backgrounds(spec.backgrounds)
    self._wardrobe = Wardrobe(spec.textures) if spec.textures else None
    body = skinning.load(spec.body)
    self._surreal = None
    if spec.surreal:
      self._surreal = surreal_people.open_people(spec.surreal, body)
    self._actor = people.Actor(body, self._domain)
    self._distractor_actor = people.Actor(distractors.simplify(body), self._domain)

  def make(self, split: str, index: int) -> tuple[Clip, Skipped]:
    """Makes one clip; also returns the files that could not be used."""
    spec, domain = self._spec, self._domain
    seeds = np.random.SeedSequence(
      [spec.seed, SPLITS.index(split), index, *domain.seed]
    )
    streams = seeds.spawn(len(_STREAMS))
    rng = dict(zip(_STREAMS, map(np.random.default_rng, streams), strict=True))
    unread_textures: list[str] = []
    style = domain.style
    if self._wardrobe:
      cloth = functools.partial(
        self._wardrobe.tile, split=split, skipped=unread_textures
      )
      style = style._replace(cloth=cloth)
    person, rejected = self._film_person(rng, split, style)
    media = self._scenes.draw(rng["background"], split, spec.frames, spec.size)
    background = backgrounds.film(
      rng["background"],
      media,
      person.camera,
      person.distance,
      spec.size,
      moves=self._variant.moving_background,
    )
    behind = self._film_distractors(rng["distractors"], split, person, style)
    front, unread = self._film_occluders(rng["occluders"], split, person)
    scene = composite.Scene(background, behind, person.layers, front)
    sensor = domain.sensor(rng["sensor"], spec.frames, spec.size)
    recording = Recording()
    if self._variant.recording:
      recording = domain.recording(rng["recording"])
    frames = composite.composite(scene, sensor, recording)
    clip = _encode(person.behind(front), frames)
    clip["sequence"] = f"{split}_{index:06d}"
    skipped = [(spec.backgrounds, name) for name in (*media.skipped, *unread)]
    skipped += [(spec.textures, name) for name in unread_textures]
    skipped += [(spec.surreal, reason) for reason in rejected]
    return clip, tuple(skipped)

  def _film_person(
    self, rng: Streams, split: str, style: Style
  ) -> tuple[people.Person, tuple[str, ...]]:
    """Films the clip's person; also returns why clips of SURREAL were skipped."""
    spec, moving_camera = self._spec, self._variant.moving_camera
    if self._surreal is not None:
      take = self._surreal.film(
        split,
        spec.frames,
        spec.size,
        choice=rng["motion"],
        filming=rng["filming"],
        moving_camera=moving_camera,
      )
      return take.person, take.rejected
    motion = self._motions.sample(rng["motion"], split, spec.frames)
    person = self._actor.film(
      motion,
      spec.size,
      shape=rng["shape"],
      looks=rng["looks"],
      filming=rng["filming"],
      style=style,
      moving_camera=moving_camera,
    )
    return person, ()

  def _film_distractors(
    self, rng: np.random.Generator, split: str, person: people.Person, style: Style
  ) -> Sequence[composite.DrawnFrames]:
    if not self._variant.distractors:
      return []
    return distractors.film(
      rng, self._distractor_actor, self._motions, split, person, self._spec.size, style
    )

  def _film_occluders(
    self, rng: np.random.Generator, split: str, person: people.Person
  ) -> tuple[Sequence[composite.DrawnFrames], tuple[str, ...]]:
    if not self._variant.occluders:
      return [], ()
    size = self._spec.size
    media = self._scenes.draw(rng, split, 1, round(_CUT_FROM * size))
    pieces = occluders.sample(
      rng, media.pictures[0], person.camera, person.distance, person.joints_image, size
    )
    return [piece.film(size) for piece in pieces], media.skipped


def _encode(person: people.Person, frames: list[composite.RecordedFrame]) -> Clip:
  """Encodes the frames and their labels as they are stored."""
  return Clip(
    frames=[
      _image_file(".jpg", cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR), _JPEG_QUALITY)
      for frame in frames
    ],
    mask=[
      _image_file(".png", frame.mask.view(np.uint8) * 255, _PNG_OPTIONS)
      for frame in frames
    ],
    flow=[flow_images.encode_png(frame.flow, frame.flow_valid) for frame in frames],
    pose=person.pose,
    betas=person.betas,
    transl=person.transl,
    joints_camera=person.joints_camera,
    keypoints_image=person.keypoints_image,
    visibility=person.visibility,
    intrinsics=person.camera.intrinsics,
    valid=np.ones(len(frames), bool),
    fps=_FPS,
    frame_index=np.arange(len(frames), dtype=np.int32),
  )


def _image_file(extension: str, image: np.ndarray, options: tuple[int, ...]) -> bytes:
  return cv2.imencode(extension, image, options)[1].tobytes()


def generate(
  pool: concurrent.futures.Executor,
  spec: ClipSpec,
  split: str,
  indices: Sequence[int],
  ahead: int,
) -> Iterator[tuple[int, Clip]]:
  """Makes clips in a pool of processes; yields them in order with their indices.

  Files that could not be read are named in one warning at the end.

  Args:
    pool: the processes, from `workers`.
    spec: the settings of all clips.
    split: "train" or "test".
    indices: the clips to make.
    ahead: the largest number of clips that wait in memory for an earlier one.

  Raises:
    InputError: the spec names a file or folder that cannot be used.
  """
  skipped: dict[str, set[str]] = collections.defaultdict(set)
  remaining = iter(indices)
  submit = lambda index: pool.submit(_make, spec, split, index)
  waiting = collections.deque(map(submit, itertools.islice(remaining, ahead)))
  for index in indices:
    clip, unread = waiting.popleft().result()
    waiting.extend(map(submit, itertools.islice(remaining, 1)))
    for folder, name in unread:
      skipped[folder].add(name)
    yield index, clip
  for folder, names in skipped.items():
    logging.warning(
      "%d files of %s could not be read and were passed over: %s",
      len(names),
      folder,
      ", ".join(sorted(names)),
    )


@contextlib.contextmanager
def workers(count: int) -> Iterator[concurrent.futures.Executor]:
  """Starts a pool whose processes compute on one thread each, on the CPU only.

  Even one process is started as a worker, so that the number of threads, and with it
  every bit of the results, is always the same.
  """
  # A worker reads these when it starts, which may be long after the pool's start.
  settings = {"OPENBLAS_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu"}
  before = {name: os.environ.get(name) for name in settings}
  os.environ.update(settings)
  pool = concurrent.futures.ProcessPoolExecutor(
    count, multiprocessing.get_context("spawn"), _start_worker
  )
  try:
    yield pool
  finally:
    pool.shutdown(cancel_futures=True)
    for name, value in before.items():
      if value is None:
        del os.environ[name]
      else:
        os.environ[name] = value


def _start_worker() -> None:
  cv2.setNumThreads(1)
  threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
  """Ends this worker with its parent; a killed parent would leave it running."""
  parent = multiprocessing.parent_process()
  if parent is not None:
    parent.join()
    os._exit(1)


@functools.cache
def _maker(spec: ClipSpec) -> ClipMaker:
  return ClipMaker(spec)


def _make(spec: ClipSpec, split: str, index: int) -> tuple[Clip, Skipped]:
  return _maker(spec).make(split, index)
