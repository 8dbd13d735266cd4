"""Improves the network's result along a video by fitting it to the 2D keypoints.

`reprojection` optimises windows of frames; here sequences of any length are cut into
windows that overlap, so that memory does not grow with them, and put together again.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from mhmr_jax.body import posed_keypoints, smpl
from mhmr_jax.geometry import rotations as rot
from mhmr_jax.inference import reprojection
from mhmr_jax.inference.reprojection import Body, Frames, Weights
from mhmr_jax.motion import pose_prior

# Whether --fit=auto fits, by the keypoints' format or else by their detector: only
# where a measurement on real video has shown that the fit lowers the error.
BY_DEFAULT = {
  "openpose_body25": True,
  "openpose_body25b": True,
  "openpose_coco18": True,
  "openpose_halpe26": False,
  "openpose_coco17": False,
  "openpose_coco133": False,
  "coco": False,
  "alphapose": False,
  "mmpose": False,
  "npz": False,
  "mediapipe": False,
  "rtmpose": False,
}

_STEPS = 200
_WINDOW = 64
_OVERLAP = 16
_SMALLEST_WINDOW = 16  # Shorter sequences are padded to it, then to twice as much.
_PEOPLE = 32  # At once.
# The shape is fitted to so many frames of a person, evenly spaced, and then kept.
_SHAPE_FRAMES = 64
_TRAINING_FPS = 30.0
_MIN_SCALE = 0.1  # As in `placement`: smaller scales are errors of the network.
_MIN_HALF = 1.0  # Pixels.


class Person(NamedTuple):
  """The network's outputs for a person, and the keypoints that it was given."""

  rotations: Float[np.ndarray, "time 24 3 3"]
  betas: Float[np.ndarray, "time 10"]
  camera: Float[np.ndarray, "time 3"]  # Weak perspective [s, tx, ty] of the crop.
  box: Float[np.ndarray, "time 4"]  # The crop window, image pixels.
  keypoints: Float[np.ndarray, "time 17 3"]  # Image pixels, score.
  intrinsics: Float[np.ndarray, "*time 3 3"]  # For all images or each; without skew.
  segment: Int[np.ndarray, "time"]
  # How sure the network is of each rotation; None: equally sure of all.
  trust: Float[np.ndarray, "time 24"] | None = None


class FittedPerson(NamedTuple):
  """A person's fitted body in every frame."""

  rotations: Float[np.ndarray, "time 24 3 3"]
  betas: Float[np.ndarray, "10"]
  pelvis_camera: Float[np.ndarray, "time 3"]  # m.


def load_body(model: smpl.SmplModel) -> Body:
  """Precomputes the keypoints of a body, and reads the pose prior of the package."""
  prior = pose_prior.read(pose_prior.SHIPPED)
  return Body(model, posed_keypoints.moments(model), prior)


def fit(
  body: Body,
  people: Sequence[Person],
  fps: float,
  *,
  weights: Weights | None = None,
  steps: int = _STEPS,
  window: int = _WINDOW,
) -> list[FittedPerson]:
  """Fits people's bodies to their keypoints, each person on their own.

  Args:
    body: the body that the network predicts.
    people: people in sequences of sequences of any lengths.
    fps: the rate of the frames that the network was given, frames a second.
    weights: the weights of the objective's terms; None for those chosen on real video.
    steps: the steps of the optimisation in each window.
    window: frames of a window; more than the overlap, which is 16.
  """
  solve = functools.partial(
    reprojection.fit, body, weights=weights or Weights(), steps=steps
  )
  unit = jnp.float32((fps / _TRAINING_FPS) ** 2)
  fitted: list[FittedPerson] = []
  for first in range(0, len(people), _PEOPLE):
    group = people[first : first + _PEOPLE]
    frames = _stacked([_frames(person) for person in group])
    betas = jnp.stack([_median_shape(person) for person in group])
    apart = jnp.zeros_like(unit)
    betas = solve(_spread_out(frames), betas, apart, fit_betas=True).betas
    joined = _Joined(frames)
    for span in _windows(frames.valid.shape[1], window):
      part = jax.tree.map(functools.partial(_cut, span=span), frames)
      found = solve(part, betas, unit, fit_betas=False)
      joined.add(span, np.asarray(found.rotations), np.asarray(found.pelvis_camera))
    lengths = [len(person.box) for person in group]
    rows = zip(lengths, np.asarray(betas), strict=True)
    for row, (length, shape) in enumerate(rows):
      rotations, pelvis = joined.rotations[row], joined.pelvis_camera[row]
      fitted.append(FittedPerson(rotations[:length], shape, pelvis[:length]))
  return fitted


def _median_shape(person: Person) -> Float[np.ndarray, "10"]:
  return np.median(person.betas, axis=0).astype(np.float32)


def _frames(person: Person) -> Frames:
  """One person's frames in the units of the optimisation, on the host."""
  box = np.asarray(person.box, np.float64)
  intrinsics = np.broadcast_to(person.intrinsics, (len(box), 3, 3))
  focal, principal = intrinsics[:, [0, 1], [0, 1]], intrinsics[:, :2, 2]
  half = np.maximum((box[:, 2:] - box[:, :2]).mean(axis=1) / 2, _MIN_HALF)
  centre = (box[:, :2] + box[:, 2:]) / 2
  scale = np.maximum(person.camera[:, 0], _MIN_SCALE)
  pelvis = centre + (half * scale)[:, None] * person.camera[:, 1:]
  keypoints, count = person.keypoints, len(box)
  trust = np.ones((count, 24)) if person.trust is None else person.trust

  def row(array: np.ndarray, dtype: type = np.float32) -> Any:
    return np.asarray(array, dtype)[None]

  return Frames(
    rotations=row(person.rotations),
    pelvis_ray=row((pelvis - principal) / focal),
    depth=row(focal.mean(axis=1) / (half * scale)),
    rays=row(
      (keypoints[..., :2].astype(np.float64) - principal[:, None]) / focal[:, None]
    ),
    score=row(keypoints[..., 2]),
    half_window=row(half[:, None] / focal),
    trust=row(trust),
    valid=row(np.ones(count), bool),
    segment=row(person.segment, np.int32),
  )


def _stacked(frames: Sequence[Frames]) -> Frames:
  """Puts people on the leading axis, padded to the longest or to a window."""
  longest = max(one.valid.shape[1] for one in frames)
  padded = [jax.tree.map(lambda a: _pad_time(a, longest), one) for one in frames]
  return jax.tree.map(lambda *arrays: np.concatenate(arrays), *padded)


def _pad_time(array: np.ndarray, length: int) -> np.ndarray:
  """Repeats the last frame up to a length; a padded `valid` is False."""
  missing = length - array.shape[1]
  if not missing:
    return array
  last = np.zeros_like(array[:, -1:]) if array.dtype == bool else array[:, -1:]
  return np.concatenate([array, np.repeat(last, missing, axis=1)], axis=1)


def _cut(array: np.ndarray, span: tuple[int, int]) -> np.ndarray:
  """The frames of a window, padded to one of few lengths, as each is compiled."""
  start, stop = span
  length = _SMALLEST_WINDOW
  while length < stop - start:
    length *= 2
  return _pad_time(array[:, start:stop], length)


def _spread_out(frames: Frames) -> Frames:
  """Up to `_SHAPE_FRAMES` frames of each person, evenly spaced."""
  counts = frames.valid.sum(axis=1)
  most = min(_SHAPE_FRAMES, int(counts.max()))
  places = np.zeros((len(counts), most), int)
  used = np.zeros_like(places, bool)
  for row, count in enumerate(counts):
    number = min(most, int(count))
    places[row, :number] = np.linspace(0, count - 1, number).round()
    used[row, :number] = True
  rows = np.arange(len(counts))[:, None]
  chosen = jax.tree.map(lambda array: array[rows, places], frames)
  chosen = chosen._replace(valid=used)
  return jax.tree.map(functools.partial(_cut, span=(0, most)), chosen)


def _windows(length: int, window: int) -> Iterator[tuple[int, int]]:
  """The first frame of each window and the one after its last."""
  start, stop = 0, 0
  while stop < length:
    stop = min(start + window, length)
    yield start, stop
    start = stop - _OVERLAP


class _Joined:
  """The frames of all windows so far; where two overlap, one fades into the other."""

  def __init__(self, frames: Frames):
    self.rotations = np.zeros(frames.rotations.shape, np.float32)
    self.pelvis_camera = np.zeros((*frames.valid.shape, 3), np.float32)
    self._stop = 0

  def add(
    self,
    span: tuple[int, int],
    rotations: Float[np.ndarray, "people window 24 3 3"],
    pelvis_camera: Float[np.ndarray, "people window 3"],
  ) -> None:
    """Adds the next window, whose results may be padded."""
    start, stop = span
    shared = self._stop - start
    new_rotations = rotations[:, : stop - start].copy()
    new_pelvis = pelvis_camera[:, : stop - start].copy()
    if shared:
      weight = (np.arange(shared, dtype=np.float32) + 1) / (shared + 1)
      earlier = slice(start, self._stop)
      weights = np.broadcast_to(weight, (len(rotations), shared))
      new_rotations[:, :shared] = _slerp(
        self.rotations[:, earlier], new_rotations[:, :shared], weights
      )
      new_pelvis[:, :shared] = (1 - weight)[:, None] * self.pelvis_camera[
        :, earlier
      ] + weight[:, None] * new_pelvis[:, :shared]
    self.rotations[:, start:stop] = new_rotations
    self.pelvis_camera[:, start:stop] = new_pelvis
    self._stop = stop


_slerp = jax.jit(rot.slerp)
