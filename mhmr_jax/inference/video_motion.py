"""Recovers the motion of everybody in a video: all stages, in their order.

from mhmr_jax import inference

motions = inference.predict_video("run.mp4")
"""

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from tqdm import tqdm

from mhmr_jax.body import posed_keypoints, smpl
from mhmr_jax.data.chunks import Chunk
from mhmr_jax.data.input_spec import InputSpec
from mhmr_jax.errors import InputError
from mhmr_jax.files import video
from mhmr_jax.geometry import pinhole
from mhmr_jax.inference import (
  confidence,
  intrinsics,
  keypoint_fit,
  packed,
  placement,
  sampling,
  smoothing,
  streaming,
  world,
)
from mhmr_jax.inference.placement import Placed
from mhmr_jax.inference.sampling import Rows
from mhmr_jax.inference.streaming import CropOutputs
from mhmr_jax.inference.trained import TrainedRun
from mhmr_jax.inference.world import WorldMotion
from mhmr_jax.keypoints import swaps, tracking
from mhmr_jax.keypoints.formats import Detections
from mhmr_jax.keypoints.source import KeypointSource
from mhmr_jax.keypoints.tracking import Track
from mhmr_jax.runtime.stage_times import StageTimes
from mhmr_jax.schema import Motion

CAMERAS = ("static", "moving")
FITS = ("auto", "on", "off")
# A person who is followed for less time is often an error of the detector.
_SHORT_SECONDS = 0.5
_MADE_UP_SIZE = (160, 120)  # Width and height of `warm_up`'s imagined video, px.


class FollowedPerson(NamedTuple):
  """A person who was followed through a video; they are numbered by their size."""

  number: int
  track: Track
  short: bool  # Whether they are seen for under half a second and half of the video.
  # Whether left and right of the arms, and of the legs, had been swapped in each of its
  # frames; in `track` these swaps are undone.
  swapped: Bool[np.ndarray, "frames 2"]


@dataclasses.dataclass(frozen=True)
class Scene:
  """What is known or assumed of a video's camera, and what is done with the keypoints.

  Attributes:
    camera: one of `CAMERAS`: whether it stands still or moves.
    focal: length, px.
    fov: angle of view from the left to the right edge, degrees.
    intrinsics: a file of them; see `intrinsics.read`. Without any of these three they
      come from the video's file, or the focal length is the image's diagonal.
    fit: whether the bodies are fitted to the keypoints: "on", "off", or "auto" by where
      they come from.
  """

  camera: str = "static"
  focal: float | None = None
  fov: float | None = None
  intrinsics: pathlib.Path | None = None
  fit: str = "auto"

  def __post_init__(self) -> None:
    """Raises InputError for an unknown camera or fit."""
    for name, choices in (("camera", CAMERAS), ("fit", FITS)):
      if getattr(self, name) not in choices:
        raise InputError(
          f"--{name}={getattr(self, name)} is unknown: use one of {', '.join(choices)}."
        )


def predict_video(
  path: str | os.PathLike[str],
  keypoints: KeypointSource | None = None,
  *,
  run: TrainedRun | None = None,
  people: Sequence[int] | None = None,
  scene: Scene | None = None,
  fps: float | None = None,
) -> list[Motion]:
  """Recovers the motion of the people in a video.

  Args:
    path: the path of the video, or of a folder of images.
    keypoints: where the people's keypoints come from; None: a detector finds them.
    run: the network; None: the weights that come with the package.
    people: the numbers of the wanted people, 0 for the largest over the clip; None:
      everybody who is followed for half a second or longer.
    scene: its camera; None: one that stands still, with a common focal length.
    fps: how many images a second a folder has; None for a video.

  Returns:
    The wanted people's motions, in the order of their numbers.

  Raises:
    InputError: the video or the keypoints cannot be used, or somebody wanted, or
      everybody, is missing.
  """
  path, source = pathlib.Path(path), keypoints or KeypointSource()
  info = video.probe(path, fps)
  found = follow(source.find_people(path, info), info.fps)
  wanted = choose(found, people)
  recovery = Recovery(run or packed.read())
  return recovery.recover(
    path, info, source.name, wanted, scene or Scene(), StageTimes()
  )


def follow(detections: Detections, fps: float) -> list[FollowedPerson]:
  """Follows people through a video, and numbers them from the largest on.

  Where the detector swaps their left and right for a time, the swap is undone.
  """
  shortest = min(_SHORT_SECONDS * fps, len(detections) / 2)
  people = []
  for number, track in enumerate(tracking.track(detections, fps)):
    mended, swapped = swaps.undo(track, fps)
    short = len(track.frame_index) < shortest
    people.append(FollowedPerson(number, mended, short, swapped))
  return people


def choose(
  found: Sequence[FollowedPerson], people: Sequence[int] | None
) -> list[FollowedPerson]:
  """The people of these numbers; None: those who are followed for long enough.

  If nobody is, the largest person is chosen.

  Raises:
    InputError: there is nobody, or one of them is missing.
  """
  if not found:
    raise InputError(
      "No person was found, as the keypoints have no detection: give those of a video "
      "that shows somebody."
    )
  if people is None:
    return [person for person in found if not person.short] or [found[0]]
  for number in people:
    if not 0 <= number < len(found):
      raise InputError(
        f"--person={number}: {len(found)} people were followed through the video; give "
        f"0 for the largest, up to {len(found) - 1}."
      )
  return [found[number] for number in sorted(set(people))]


def is_fitted(fit: str, source_name: str) -> bool:
  """Whether the bodies are fitted: as `fit` says, "auto" by the keypoints' source."""
  return keypoint_fit.BY_DEFAULT[source_name] if fit == "auto" else fit == "on"


class Recovery:
  """Recovers people's motions by one network, which is compiled once for all videos."""

  def __init__(self, run: TrainedRun):
    """Loads the body of a run; InputError where it is missing."""
    # A video is read once a person: their flow is not kept.
    run.config.flow.cache = False
    self.body = smpl.load(run.config.body.path or None)
    self.step = run.step
    self._body_path = run.config.body.path
    self._spec = InputSpec.from_config(run.config).for_video()
    self._run_step, self._carry = streaming.make_step(
      run.config, run.variables, mirrored=True
    )

  def warm_up(self) -> None:
    """Compiles what every video needs, by recovering the motion of a made-up person."""
    count, (width, height) = self._spec.window, _MADE_UP_SIZE
    info = video.VideoInfo(width, height, 30.0, count, np.arange(count) / 30)
    rest = np.asarray(self.body.keypoint_regressor) @ np.asarray(self.body.v_template)
    points = rest[:, :2] * [height / 3, -height / 3] + [width / 2, height / 2]
    keypoints = np.append(points, np.ones((17, 1)), axis=1).astype(np.float32)
    track = Track(np.arange(count), np.tile(keypoints, (count, 1, 1)))
    person = FollowedPerson(0, track, False, np.zeros((count, 2), bool))
    images = np.zeros((count, height, width, 3), np.uint8)
    matrix = pinhole.centred_intrinsics(width, height)
    times = StageTimes()
    crops = self._see(track, images, info, matrix, times)
    placed = self._place_before_camera([crops], matrix, times)
    self._place_in_world([person], placed, info, matrix, "static", times)

  def recover(
    self,
    path: pathlib.Path,
    info: video.VideoInfo,
    source_name: str,
    people: Sequence[FollowedPerson],
    scene: Scene,
    times: StageTimes,
  ) -> list[Motion]:
    """Recovers the motion of people who were followed through a video.

    Args:
      path: the path of the video.
      info: the properties of the video.
      source_name: the origin of the keypoints; see `KeypointSource.name`.
      people: the people to recover.
      scene: the camera, and whether the bodies are fitted.
      times: measures the stages.

    Raises:
      InputError: the video cannot be read.
    """
    matrices, origin = intrinsics.find(
      (info.width, info.height),
      info.num_frames,
      focal=scene.focal,
      fov=scene.fov,
      path=scene.intrinsics,
      metadata=video.metadata(path),
    )
    print(origin)
    crops = []
    for person in people:
      frames = times.over("reading the video", video.read_frames(path))
      with tqdm(desc="Predicting", unit="frame") as progress:
        crops.append(self._see(person.track, frames, info, matrices, times, progress))
    if is_fitted(scene.fit, source_name):
      with times.running("fit"):
        crops = _fitted(self.body, crops, matrices, info)
    crops = [one._replace(chunks=[]) for one in crops]  # The rest takes memory, too.
    placed = self._place_before_camera(crops, matrices, times)
    del crops
    return self._place_in_world(people, placed, info, matrices, scene.camera, times)

  def _see(
    self,
    track: Track,
    frames: Iterable[UInt8[np.ndarray, "height width 3"]],
    info: video.VideoInfo,
    matrices: Float[np.ndarray, "*num_frames 3 3"],
    times: StageTimes,
    progress: tqdm | None = None,
  ) -> "_Crops":
    """Runs the network along a person, and smooths its results."""
    spec = self._spec
    chunks = streaming.plan(track, info.times, spec, (info.width, info.height))
    if progress is not None:
      progress.reset(sum(len(chunk.frames) for chunk in chunks))
    images = frames if spec.needs_images else None
    batches = streaming.make_batches(chunks, images, spec, matrices)
    outputs = times.over(
      "network",
      streaming.run(chunks, times.over("inputs", batches), self._run_step, self._carry),
    )

    def followed() -> Iterator[CropOutputs]:
      for part in outputs:
        yield part
        if progress is not None:
          progress.update(len(part.times))

    boxes = streaming.frame_boxes(chunks, spec, matrices)
    joined = streaming.join(followed(), chunks)._replace(box=boxes)
    rows = sampling.rows(track, info.times)
    return _Crops(chunks, rows, smoothing.smooth(joined))

  def _place_before_camera(
    self,
    crops: Sequence["_Crops"],
    matrices: Float[np.ndarray, "*num_frames 3 3"],
    times: StageTimes,
  ) -> list[Placed]:
    """Takes people from their crops to the camera's space."""
    with times.running("placement"):
      return [
        placement.place(
          self.body,
          crop.outputs,
          crop.rows,
          _of_frames(matrices, crop.rows.frame_index),
          crop.pelvis,
        )
        for crop in crops
      ]

  def _place_in_world(
    self,
    people: Sequence[FollowedPerson],
    placed: Sequence[Placed],
    info: video.VideoInfo,
    matrices: Float[np.ndarray, "*num_frames 3 3"],
    camera: str,
    times: StageTimes,
  ) -> list[Motion]:
    """Takes people to the world."""
    body = self.body
    with times.running("world"):
      in_world = world.place([one.seen for one in placed], body, camera)
    with times.running("confidence"):
      return [
        _motion(*views, info, matrices, camera, body, self._body_path)
        for views in zip(people, placed, in_world, strict=True)
      ]


class _Crops(NamedTuple):
  """The network's results along one person's track."""

  chunks: list[Chunk]
  rows: Rows
  outputs: CropOutputs
  pelvis: Float[np.ndarray, "frames 3"] | None = None  # The fit's result.


def _fitted(
  body: smpl.SmplModel,
  crops: Sequence[_Crops],
  matrices: Float[np.ndarray, "*num_frames 3 3"],
  info: video.VideoInfo,
) -> list[_Crops]:
  """Fits the people's bodies to the keypoints that the network was given."""
  people = [
    keypoint_fit.Person(
      rotations=one.outputs.rotations,
      betas=one.outputs.betas,
      camera=one.outputs.camera,
      box=one.outputs.box,
      keypoints=np.concatenate([chunk.keypoints for chunk in one.chunks]),
      intrinsics=_of_frames(
        matrices, np.concatenate([chunk.frames for chunk in one.chunks])
      ),
      segment=one.outputs.segment,
    )
    for one in crops
  ]
  rate = 1 / sampling.step(info.times)
  found = keypoint_fit.fit(keypoint_fit.load_body(body), people, rate)
  return [
    one._replace(
      outputs=one.outputs._replace(
        rotations=fitted.rotations,
        betas=np.broadcast_to(fitted.betas, one.outputs.betas.shape),
      ),
      pelvis=fitted.pelvis_camera,
    )
    for one, fitted in zip(crops, found, strict=True)
  ]


def _of_frames(
  matrices: Float[np.ndarray, "*num_frames 3 3"], frames: Int[np.ndarray, "n"]
) -> Float[np.ndarray, "*n 3 3"]:
  """The intrinsics of some frames: one matrix if it is the same in all."""
  return matrices if matrices.ndim == 2 else matrices[frames]


def _motion(
  person: FollowedPerson,
  placed: Placed,
  in_world: WorldMotion,
  info: video.VideoInfo,
  matrices: Float[np.ndarray, "*num_frames 3 3"],
  camera_motion: str,
  body: smpl.SmplModel,
  body_path: str,
) -> Motion:
  """Puts together all that is known of a person."""
  seen = placed.seen
  count = len(placed.frame_index)
  keypoints = np.zeros((count, 17, 3), np.float32)
  rows = np.isin(person.track.frame_index, placed.frame_index)
  keypoints[placed.detected] = person.track.keypoints[rows]
  swapped = np.zeros((count, 2), bool)
  swapped[placed.detected] = person.swapped[rows]
  own_intrinsics = _of_frames(matrices, placed.frame_index)
  own_keypoints = confidence.body_keypoints(
    body,
    posed_keypoints.moments(body),
    seen.pose,
    seen.betas,
    seen.transl_camera,
    own_intrinsics,
  )
  return Motion(
    person=person.number,
    frame_index=placed.frame_index,
    times=seen.times,
    fps=info.fps,
    image_size=np.array([info.width, info.height]),
    intrinsics=own_intrinsics.astype(np.float32),
    body=pathlib.Path(body_path).name if body_path else "free",
    detected=placed.detected,
    keypoints_found=keypoints,
    swapped=swapped,
    confidence=confidence.measure(
      keypoints, own_keypoints, placed.detected, seen.times
    ),
    pose=seen.pose,
    betas=seen.betas,
    camera=placed.camera,
    box=placed.box,
    transl_camera=seen.transl_camera,
    joints_camera=seen.joints_camera,
    keypoints_image=placed.keypoints_image,
    camera_motion=camera_motion,
    **in_world._asdict(),
  )
