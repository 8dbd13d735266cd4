"""Makes whole clips, each from its own random streams, in as many processes as asked.

A clip depends on the spec, the split and its index alone: `SeedSequence([seed, split,
index])` spawns one stream each for motion, shape, looks, background and camera, so
that more of one component draws nothing from another.
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
from mhmr_jax.synth.surreal import surreal_people
from mhmr_jax.synth.wardrobe import Wardrobe

SPLITS = ("train", "test")
_FPS = 30.0
_JPEG_QUALITY = (cv2.IMWRITE_JPEG_QUALITY, 95)
_PNG_OPTIONS = (cv2.IMWRITE_PNG_BILEVEL, 1)
# New ones go to the end, so that those before them stay as they are.
_STREAMS = (
  *("motion", "shape", "looks", "background", "filming", "sensor"),
  *("occluders", "distractors", "recording"),
)
# Of the frame's size, for pictures of which small parts are cut.
_CUT_FROM = 0.4
Streams = dict[str, np.random.Generator]
# A folder, and a file in it that could not be used.
Skipped = tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True)
class ClipSpec:
  """What the clips of a dataset have in common."""

  seed: int
  frames: int
  size: int  # Pixels of the square frames' side.
  motion: str = ""  # A folder of motion capture; '': procedural motion.
  backgrounds: str = ""  # A folder of pictures and videos; '': generated scenes.
  body: str = ""  # A body model's file; '': the free body.
  textures: str = ""  # A folder of pictures of cloth; '': generated cloth.
  variant: str = "full"  # A name of `variants.VARIANTS`.
  surreal: str = ""  # SURREAL's folder, whose people are filmed; '': rendered people.

  def __post_init__(self) -> None:
    if variants.get(self.variant).shifted and self.surreal:
      raise InputError(
        f"SURREAL's people ({self.surreal}) come as they were rendered, and variant "
        f"{self.variant!r} is about other people: leave out one of the two."
      )


class ClipMaker:
  """Everything that the clips of a spec are made from, opened once.

  Raises:
    InputError: when the spec names a file or folder that cannot be used.
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
    self._extras = people.Actor(distractors.simplify(body), self._domain)

  def make(self, split: str, index: int) -> tuple[Clip, Skipped]:
    """One clip, and the files that could not be used."""
    spec, domain = self._spec, self._domain
    seeds = np.random.SeedSequence(
      [spec.seed, SPLITS.index(split), index, *domain.seed]
    )
    streams = seeds.spawn(len(_STREAMS))
    rng = dict(zip(_STREAMS, map(np.random.default_rng, streams), strict=True))
    torn: list[str] = []
    style = domain.style
    if self._wardrobe:
      cloth = functools.partial(self._wardrobe.tile, split=split, skipped=torn)
      style = style._replace(cloth=cloth)
    person, rejected = self._film(rng, split, style)
    media = self._scenes.draw(rng["background"], split, spec.frames, spec.size)
    background = backgrounds.film(
      rng["background"],
      media,
      person.camera,
      person.distance,
      spec.size,
      moves=self._variant.moving_background,
    )
    behind = self._distractors(rng["distractors"], split, person, style)
    front, unread = self._occluders(rng["occluders"], split, person)
    scene = composite.Scene(background, behind, person.layers, front)
    sensor = domain.sensor(rng["sensor"], spec.frames, spec.size)
    video = Recording()
    if self._variant.recording:
      video = domain.recording(rng["recording"])
    clip = _encode(person.behind(front), composite.composite(scene, sensor, video))
    clip["sequence"] = f"{split}_{index:06d}"
    skipped = [(spec.backgrounds, name) for name in (*media.skipped, *unread)]
    skipped += [(spec.textures, name) for name in torn]
    skipped += [(spec.surreal, reason) for reason in rejected]
    return clip, tuple(skipped)

  def _film(
    self, rng: Streams, split: str, style: Style
  ) -> tuple[people.Person, tuple[str, ...]]:
    """Whom the clip is about, and the people who could not be used."""
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

  def _distractors(
    self, rng: np.random.Generator, split: str, person: people.Person, style: Style
  ) -> Sequence[composite.DrawnFrames]:
    if not self._variant.distractors:
      return []
    return distractors.film(
      rng, self._extras, self._motions, split, person, self._spec.size, style
    )

  def _occluders(
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


def _encode(person: people.Person, pictures: list[composite.RecordedFrame]) -> Clip:
  frames = len(pictures)
  return Clip(
    frames=[
      _file(".jpg", cv2.cvtColor(picture.image, cv2.COLOR_RGB2BGR), _JPEG_QUALITY)
      for picture in pictures
    ],
    mask=[
      _file(".png", picture.mask.view(np.uint8) * 255, _PNG_OPTIONS)
      for picture in pictures
    ],
    flow=[
      flow_images.encode_png(picture.flow, picture.flow_valid) for picture in pictures
    ],
    pose=person.pose,
    betas=person.betas,
    transl=person.transl,
    joints_camera=person.joints_camera,
    keypoints_image=person.keypoints_image,
    visibility=person.visibility,
    intrinsics=person.camera.intrinsics,
    valid=np.ones(frames, bool),
    fps=_FPS,
    frame_index=np.arange(frames, dtype=np.int32),
  )


def _file(extension: str, image: np.ndarray, options: tuple[int, ...]) -> bytes:
  return cv2.imencode(extension, image, options)[1].tobytes()


def generate(
  pool: concurrent.futures.Executor,
  spec: ClipSpec,
  split: str,
  indices: Sequence[int],
  ahead: int,
) -> Iterator[tuple[int, Clip]]:
  """Makes clips in the processes of `workers`; yields them in order with their index.

  Args:
    pool: where they are made.
    spec: of all clips.
    split: "train" or "test".
    indices: of the clips.
    ahead: at most so many clips wait in memory for the one before them.

  Raises:
    InputError: when the spec names a file or folder that cannot be used.
  """
  skipped: dict[str, set[str]] = collections.defaultdict(set)
  coming = iter(indices)
  submit = lambda index: pool.submit(_make, spec, split, index)
  waiting = collections.deque(map(submit, itertools.islice(coming, ahead)))
  for index in indices:
    clip, unread = waiting.popleft().result()
    waiting.extend(map(submit, itertools.islice(coming, 1)))
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
  """A pool whose processes compute on one thread each, and on the CPU only.

  Even one process is a worker of its own, so that the number of threads, and with it
  every bit of the results, is always the same.
  """
  # They read these as they start, which is whenever the pool first needs them.
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
  """A pool's workers otherwise outlive a parent that was killed."""
  parent = multiprocessing.parent_process()
  if parent is not None:
    parent.join()
    os._exit(1)


@functools.cache
def _maker(spec: ClipSpec) -> ClipMaker:
  return ClipMaker(spec)


def _make(spec: ClipSpec, split: str, index: int) -> tuple[Clip, Skipped]:
  return _maker(spec).make(split, index)
