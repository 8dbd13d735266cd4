"""Recovers people's motion while a camera or stream runs, from the frames so far.

  people = live_motion.LiveMotion(run, scene)
  for seconds, frame, *_ in live.read_frames("rtsp://camera.local/stream"):
    for person in people.add(seconds, frame, detect(frame, seconds)):
      ...

The network reads each person every 1/30 s, as it does in a file (see `sampling`), and a
moment is read once a detection at or after it has come. Stages that look ahead or take
a second pass are left out: there is no smoothing, no mirror image, no fit, and no
world, because the floor is known only from the whole path.
"""

import collections
import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from mhmr_jax.body import posed_keypoints, smpl
from mhmr_jax.data import chunks
from mhmr_jax.data.chunks import TRAINING_STEP, Chunk, InputMaker, Timing
from mhmr_jax.data.input_spec import InputSpec
from mhmr_jax.geometry import windows
from mhmr_jax.inference import (
  confidence,
  intrinsics,
  placement,
  sampling,
  streaming,
)
from mhmr_jax.inference.sampling import RESET_SECONDS, Rows, Samples
from mhmr_jax.inference.streaming import CropOutputs
from mhmr_jax.inference.trained import TrainedRun
from mhmr_jax.inference.video_motion import Scene
from mhmr_jax.keypoints import tracking
from mhmr_jax.keypoints.tracking import StreamTracker
from mhmr_jax.models.motion_hmr import Carry

# A camera's frame may be so far from its moment, as a share of a step.
_JITTER = 0.1
_ROUNDING = 1e-4

Picture = UInt8[np.ndarray, "height width *colours"]


def due(latest: float, found: float) -> Float[np.ndarray, "n"]:
  """The moments to read after a new detection of a person.

  They are `chunks.TRAINING_STEP` apart. Cameras' clocks are a little uneven: a
  detection near a moment counts as that moment, from which the later ones are counted.

  Args:
    latest: the last moment at which the person was read, s.
    found: the time of the newest detection, s.

  Returns:
    Those after `latest`, none of them after `found`.
  """
  steps = (found - latest) / TRAINING_STEP
  if round(steps) > 0 and abs(steps - round(steps)) <= _JITTER:
    return np.linspace(latest, found, round(steps) + 1)[1:]
  return latest + TRAINING_STEP * np.arange(1, int(steps) + 1)


def _between(
  before: Float[np.ndarray, "17 3"],
  after: Float[np.ndarray, "17 3"],
  weight: Float[np.ndarray, "n"],
  filled: float,
) -> Float[np.ndarray, "n 17 3"]:
  """Interpolates between two detections; the score is the lower one times `filled`.

  Args:
    before: x, y px and score of the first detection.
    after: those of the second detection.
    weight: the weight of `after`, which alone counts where it is 1.
    filled: the factor on the scores of points that no detector has seen.
  """
  mixed = before + weight[:, None, None] * (after - before)
  mixed[..., 2] = filled * np.minimum(before[:, 2], after[:, 2])
  mixed[mixed[..., 2] <= 0] = 0
  is_after = weight > 1 - _ROUNDING
  return np.where(is_after[:, None, None], after, mixed).astype(np.float32)


class LivePerson(NamedTuple):
  """A person at one moment; fields that `schema.Motion` has mean the same there."""

  id: int  # By the order in which people come, from 1 on.
  seconds: float  # The time since the stream's first frame.
  confidence: float  # From 0 to 1.
  pose: Float[np.ndarray, "24 3"]  # Axis-angle; entry 0 is in the camera frame.
  betas: Float[np.ndarray, "10"]  # The mean over the moments so far.
  transl_camera: Float[np.ndarray, "3"]
  joints_camera: Float[np.ndarray, "24 3"]
  gravity_camera: Float[np.ndarray, "3"]  # At this moment alone.


@dataclasses.dataclass
class _Followed:
  """The state that the next moments of a person depend on."""

  id: int
  maker: InputMaker
  carry: Carry | None
  frame: int  # The last frame in which they were found.
  keypoints: Float[np.ndarray, "17 3"]  # Those of that frame.
  moment: float  # The last moment at which the network has read them, s.
  recent: collections.deque[np.ndarray]  # The keypoints that the window is around.
  box: Float[np.ndarray, "4"]  # The last crop window.
  shown: list[int]  # The last two different frames whose pictures were read.
  segment: int = 0
  betas: Float[np.ndarray, "10"] = dataclasses.field(
    default_factory=lambda: np.zeros(10, np.float32)
  )
  count: int = 0  # How many moments the mean `betas` has.
  latest: LivePerson | None = None


class LiveMotion:
  """Recovers the people of one stream, frame by frame.

  Its creation compiles everything that it runs, so that no frame waits for that.

  Args:
    run: the network.
    scene: the camera; its `camera` and `fit` are not read.
  """

  def __init__(self, run: TrainedRun, scene: Scene):
    run.config.flow.cache = False
    spec = InputSpec.from_config(run.config).for_video()
    self._window = spec.window
    self._spec = dataclasses.replace(spec, window=1)
    self._scene = scene
    self._step, self._first_carry = streaming.make_step(run.config, run.variables)
    self._body = smpl.load(run.config.body.path or None)
    self._moments = posed_keypoints.moments(self._body)
    self._compile()
    self._start()

  def _start(self) -> None:
    self._tracker = StreamTracker()
    self._people: dict[int, _Followed] = {}
    self._times: list[float] = []
    self._pictures: dict[int, Picture] = {}  # Pictures that may still be read.
    self._matrix: Float[np.ndarray, "3 3"] | None = None

  def _compile(self) -> None:
    """Compiles by reading a made-up person twice: once without a state, once with."""
    self._start()
    points = np.random.default_rng(0).uniform(16, 48, (1, 17, 3)).astype(np.float32)
    points[..., 2] = 1
    image = np.zeros((64, 64, 3), np.uint8)
    for frame in range(2):
      self.add(frame * TRAINING_STEP, image, points)

  def add(
    self,
    seconds: float,
    image: UInt8[np.ndarray, "height width 3"],
    found: Float[np.ndarray, "_ 17 3"],
  ) -> list[LivePerson]:
    """Returns everybody who is seen in a frame, each at the last moment that was read.

    Args:
      seconds: from the first frame to this one.
      image: RGB.
      found: COCO-17 of everybody in the frame: x, y px and score.

    Raises:
      InputError: at the first frame, the scene's intrinsics cannot be used.
    """
    height, width = image.shape[:2]
    if self._matrix is None:
      scene = self._scene
      self._matrix, _ = intrinsics.find(
        (width, height), 0, focal=scene.focal, fov=scene.fov, path=scene.intrinsics
      )
    self._times.append(seconds)
    self._keep(image)
    self._people = {
      number: person
      for number, person in self._people.items()
      if seconds - self._times[person.frame] <= tracking.REJOIN_SECONDS
    }
    people = []
    for number, keypoints in self._tracker.add(seconds, found).items():
      if number not in self._people:
        self._people[number] = self._newcomer(number, (width, height))
      person = self._people[number]
      self._read(person, keypoints)
      if person.latest is not None:
        people.append(person.latest)
    return people

  def _keep(self, image: UInt8[np.ndarray, "height width 3"]) -> None:
    """Keeps a picture for as long as a moment after it may be near to it."""
    if not self._spec.needs_images:
      return
    newest = len(self._times) - 1
    self._pictures[newest] = streaming.picture(image, self._spec.colour)
    oldest = self._times[-1] - RESET_SECONDS - TRAINING_STEP
    while self._times[first := next(iter(self._pictures))] < oldest:
      del self._pictures[first]

  def _newcomer(self, number: int, size: tuple[int, int]) -> _Followed:
    return _Followed(
      id=number,
      maker=InputMaker(self._spec, self._matrix),
      carry=self._first_carry,
      frame=-1,
      keypoints=np.zeros((17, 3), np.float32),
      moment=-np.inf,
      recent=collections.deque(maxlen=self._window),
      box=windows.whole_image(*map(float, size)),
      shown=[],
    )

  def _read(self, person: _Followed, keypoints: Float[np.ndarray, "17 3"]) -> None:
    """Has the network read a person up to the newest frame, where they were found."""
    frame, before = len(self._times) - 1, person.frame
    found = self._times[frame]
    if before < 0 or found - self._times[before] > RESET_SECONDS:
      # As in a file, the memory starts anew after a long gap.
      person.carry, person.shown = self._first_carry, []
      person.recent.clear()
      person.segment += 1
      samples = Samples(np.array([found]), np.array([frame]), keypoints[None])
    else:
      samples = self._samples(person, keypoints)
    person.frame, person.keypoints = frame, keypoints
    outputs = None
    for moment, number, own in zip(*samples, strict=True):
      outputs = self._step_at(person, float(moment), int(number), own)
    if outputs is not None:
      person.moment = float(samples.times[-1])
      person.latest = self._placed(person, outputs, samples.keypoints[-1])

  def _samples(
    self, person: _Followed, keypoints: Float[np.ndarray, "17 3"]
  ) -> Samples:
    """The moments that are due, between the last detection and the newest one."""
    first, last = person.frame, len(self._times) - 1
    times = np.array(self._times[first:])
    moments = due(person.moment, times[-1])
    nearest = np.abs(times - moments[:, None]).argmin(axis=1)
    score = sampling.FILLED_SCORE if last - first > 1 else 1.0
    points = _between(
      person.keypoints,
      keypoints,
      (moments - times[0]) / (times[-1] - times[0]),
      score,
    )
    return Samples(moments, first + nearest, points)

  def _step_at(
    self,
    person: _Followed,
    moment: float,
    frame: int,
    keypoints: Float[np.ndarray, "17 3"],
  ) -> CropOutputs:
    """Runs the network for one moment, and keeps its state."""
    person.recent.append(keypoints)
    person.box = chunks.crop_window(
      np.stack(person.recent), None, self._spec, lambda: person.box
    )
    timing = Timing(np.array([moment]), self._flow_seconds(person, frame))
    chunk = Chunk(
      np.array([frame]), keypoints[None], person.box, person.segment, timing
    )
    images = [self._pictures[frame]] if self._spec.needs_images else []
    inputs = person.maker.make(chunk, images)
    batch = streaming.as_batch(inputs, chunk, self._spec)
    prediction, person.carry = self._step(batch, person.carry)
    return streaming.crop_outputs(chunk, prediction)

  def _flow_seconds(self, person: _Followed, frame: int) -> Float[np.ndarray, "1"]:
    """The seconds between the pictures of a moment's flow."""
    if person.shown[-1:] != [frame]:
      person.shown = [*person.shown[-1:], frame]
    times = np.array([self._times[shown] for shown in person.shown])
    places = np.arange(len(times))
    return sampling.flow_seconds(places, times, places)[-1:]

  def _placed(
    self,
    person: _Followed,
    outputs: CropOutputs,
    keypoints: Float[np.ndarray, "17 3"],
  ) -> LivePerson:
    """Puts a person in space; their shape is the mean of what was predicted so far."""
    person.count += 1
    person.betas = person.betas + (outputs.betas[0] - person.betas) / person.count
    one = np.zeros(1, int)
    matrix = np.asarray(self._matrix)
    rows = Rows(one, outputs.times, one, np.ones(1, bool))
    seen = placement.place(
      self._body, outputs._replace(segment=one), rows, matrix, betas=person.betas
    ).seen
    own = confidence.body_keypoints(
      self._body, self._moments, seen.pose, seen.betas, seen.transl_camera, matrix
    )
    sure = confidence.measure(keypoints[None], own, rows.detected, rows.times)
    return LivePerson(
      id=person.id,
      seconds=float(outputs.times[0]),
      confidence=float(sure[0]),
      pose=seen.pose[0],
      betas=seen.betas[0],
      transl_camera=seen.transl_camera[0],
      joints_camera=seen.joints_camera[0],
      gravity_camera=seen.gravity[0],
    )
