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

from mhmr_jax.batch import Clip
from mhmr_jax.flow import images
from mhmr_jax.motion import library
from mhmr_jax.synth import backgrounds, composite, people, sensor, skinning, variants

SPLITS = ("train", "test")
_FPS = 30.0
_JPEG_QUALITY = (cv2.IMWRITE_JPEG_QUALITY, 95)
_PNG_OPTIONS = (cv2.IMWRITE_PNG_BILEVEL, 1)
_STREAMS = ("motion", "shape", "looks", "background", "filming", "sensor")


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
  variant: str = "alone"  # A name of `variants.VARIANTS`.

  def __post_init__(self) -> None:
    variants.get(self.variant)


class ClipMaker:
  """Everything that the clips of a spec are made from, opened once.

  Raises:
    InputError: when the spec names a file or folder that cannot be used.
  """

  def __init__(self, spec: ClipSpec):
    self._spec = spec
    self._motions = library.open_motions(spec.motion)
    self._backgrounds = backgrounds.open_backgrounds(spec.backgrounds)
    self._actor = people.Actor(skinning.load(spec.body))

  def make(self, split: str, index: int) -> tuple[Clip, tuple[str, ...]]:
    """One clip, and the names of background files that could not be read."""
    spec = self._spec
    seeds = np.random.SeedSequence([spec.seed, SPLITS.index(split), index])
    streams = seeds.spawn(len(_STREAMS))
    rng = dict(zip(_STREAMS, map(np.random.default_rng, streams), strict=True))
    motion = self._motions.sample(rng["motion"], split, spec.frames)
    person = self._actor.film(
      motion, spec.size, shape=rng["shape"], looks=rng["looks"], filming=rng["filming"]
    )
    media = self._backgrounds.draw(rng["background"], split, spec.frames, spec.size)
    background = backgrounds.film(
      rng["background"], media, person.camera, person.distance, spec.size
    )
    camera = sensor.sample(rng["sensor"], spec.frames, spec.size)
    pictures = composite.composite(background, person.layers, camera)
    clip = _encode(person, pictures)
    clip["sequence"] = f"{split}_{index:06d}"
    return clip, media.skipped


def _encode(person: people.Person, pictures: list[composite.Picture]) -> Clip:
  frames = len(pictures)
  return Clip(
    frames=[
      _file(".jpg", picture.image[..., ::-1], _JPEG_QUALITY) for picture in pictures
    ],
    mask=[
      _file(".png", picture.mask.astype(np.uint8) * 255, _PNG_OPTIONS)
      for picture in pictures
    ],
    flow=[images.encode_png(picture.flow, picture.flow_valid) for picture in pictures],
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
  skipped: set[str] = set()
  coming = iter(indices)
  submit = lambda index: pool.submit(_make, spec, split, index)
  waiting = collections.deque(map(submit, itertools.islice(coming, ahead)))
  for index in indices:
    clip, unread = waiting.popleft().result()
    waiting.extend(map(submit, itertools.islice(coming, 1)))
    skipped.update(unread)
    yield index, clip
  if skipped:
    logging.warning(
      "%d files of %s could not be read and were passed over: %s",
      len(skipped),
      spec.backgrounds,
      ", ".join(sorted(skipped)),
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


def _make(spec: ClipSpec, split: str, index: int) -> tuple[Clip, tuple[str, ...]]:
  return _maker(spec).make(split, index)
