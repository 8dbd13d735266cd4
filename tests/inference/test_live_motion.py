"""People in a stream, frame by frame, beside the same people in a file."""

import jax.monitoring
import numpy as np
import pytest
from etils import epath

from mhmr_jax.body import posed_keypoints, smpl
from mhmr_jax.data import chunks
from mhmr_jax.data.chunks import Chunk, Timing
from mhmr_jax.data.input_spec import InputSpec
from mhmr_jax.errors import InputError
from mhmr_jax.geometry import pinhole, windows
from mhmr_jax.inference import (
  confidence,
  live_motion,
  packed,
  placement,
  sampling,
  streaming,
  trained,
)
from mhmr_jax.inference.sampling import Rows
from mhmr_jax.inference.video_motion import Scene
from tests import motions, workdirs

_SIZE = (640, 480)
_IMAGE = np.zeros((480, 640, 3), np.uint8)
_INTRINSICS = pinhole.centred_intrinsics(*_SIZE)


@pytest.fixture(scope="module")
def body():
  return smpl.load()


@pytest.fixture(scope="module")
def shipped():
  return packed.read()


@pytest.fixture(scope="module")
def live(shipped):
  return live_motion.LiveMotion(shipped, Scene())


@pytest.fixture
def people(live):
  """The compiled stream, before its first frame."""
  live._start()
  return live


@pytest.fixture(scope="module")
def walker(body):
  """The keypoints of somebody who walks, with the jitter of a detector."""
  motion = motions.walking(body, frames=52)
  given = motion.pose, motion.betas, motion.transl_camera
  moments = posed_keypoints.moments(body)
  points = confidence.body_keypoints(body, moments, *given, _INTRINSICS)
  rng = np.random.default_rng(1)
  score = rng.uniform(0.5, 1, (len(points), 17, 1))
  points = points + rng.normal(0, 1, points.shape)
  return np.concatenate([points, score], axis=-1).astype(np.float32)


@pytest.fixture(scope="module")
def of_file(shipped):
  """The network's outputs for a file, chunk by chunk, without any smoothing."""
  spec = InputSpec.from_config(shipped.config).for_video()
  step, carry = streaming.make_step(shipped.config, shipped.variables)

  def run(keypoints, times):
    cut = []
    found = np.flatnonzero([len(one) for one in keypoints])
    breaks = np.flatnonzero(np.diff(times[found]) > 1) + 1
    for segment, frames in enumerate(np.split(found, breaks)):
      span = slice(frames[0], frames[-1] + 1)
      moments, own = _moments(keypoints[span], times[span])
      every = np.arange(len(moments))
      whole = lambda: windows.whole_image(640.0, 480.0)
      for chunk in chunks.cut(every, own, spec, whole, segment=segment):
        timing = Timing(moments[chunk.frames], np.ones(len(chunk.frames)))
        cut.append(chunk._replace(timing=timing))
    batches = streaming.make_batches(cut, None, spec, _INTRINSICS)
    return streaming.join(streaming.run(cut, batches, step, carry), cut)

  return run


def _moments(keypoints, times):
  """Even moments from the first detection to the last, and the points at them."""
  found = np.flatnonzero([len(one) for one in keypoints])
  points = np.concatenate(keypoints)
  count = int((times[found[-1]] - times[found[0]]) * 30 + 1e-6) + 1
  moments = times[found[0]] + np.arange(count) / 30
  after = np.minimum(np.searchsorted(times[found], moments - 1e-6), len(found) - 1)
  before = np.maximum(after - 1, 0)
  exact = np.abs(times[found][after] - moments) < 1e-6
  score = np.minimum(points[before, :, 2], points[after, :, 2])
  score = np.where((found[after] - found[before] > 1)[:, None], 0.5 * score, score)
  score = np.where(exact[:, None], points[after, :, 2], score)
  interp = lambda values: np.interp(moments, times[found], values)
  place = np.apply_along_axis(interp, 0, points[..., :2])
  return moments, np.append(place, score[..., None], -1).astype(np.float32)


def _one_moment(outputs, moment):
  return outputs._replace(
    **{name: value[[moment]] for name, value in outputs._asdict().items()}
  )


@pytest.mark.parametrize(
  ("fps", "missed"),
  [
    (30, [6, 7, *range(12, 44)]), (60, []), (50, [7, 8, 20]), (24, [10]), (10, []),
  ],
)  # fmt: skip
def test_rows_are_those_of_a_file_without_what_looks_ahead(
  people, of_file, walker, body, fps, missed
):
  seen = list(walker[:, None])
  for frame in missed:
    seen[frame] = seen[frame][:0]
  times = np.arange(len(seen)) / fps
  expected = of_file(seen, times)
  betas, count, before = np.zeros(10), 0, None
  for seconds, found in zip(times, seen, strict=True):
    rows = people.add(float(seconds), _IMAGE, found)
    assert len(rows) == len(found)
    if not rows:
      continue
    (row,) = rows
    assert seconds - 1 / 30 < row.seconds <= seconds + 1e-6
    if before is not None and row.seconds == before.seconds:
      assert row is before
      continue
    before = row
    moment = np.abs(expected.times - row.seconds).argmin()
    assert abs(expected.times[moment] - row.seconds) < 1e-5
    one = _one_moment(expected, moment)
    count += 1
    betas = betas + (one.betas[0] - betas) / count
    zero = np.zeros(1, int)
    placed = placement.place(
      body,
      one._replace(segment=zero),
      Rows(zero, one.times, zero, np.ones(1, bool)),
      _INTRINSICS,
      betas=betas.astype(np.float32),
    )
    for name in ("pose", "betas", "transl_camera", "joints_camera"):
      value = getattr(placed.seen, name)[0]
      np.testing.assert_allclose(getattr(row, name), value, atol=2e-3, err_msg=name)
    np.testing.assert_allclose(row.gravity_camera, placed.seen.gravity[0], atol=1e-3)
  assert count >= 10


def test_nothing_is_compiled_while_the_stream_runs(people, walker):
  compiled = []

  def note(event, duration, **more):
    if "compile" in event:
      compiled.append(event)

  jax.monitoring.register_event_duration_secs_listener(note)
  try:
    for frame, found in enumerate(walker[:6]):
      two = np.stack([found, found + np.float32([200, 0, 0])])
      assert len(people.add(frame / 30, _IMAGE, two)) == 2
    assert compiled == []
    jax.jit(lambda x: x * 3)(np.ones(7))
    assert compiled
  finally:
    jax.monitoring.unregister_event_duration_listener(note)


def test_rows_are_sure_where_keypoints_are(people, walker):
  for frame in range(20):
    (good,) = people.add(frame / 30, _IMAGE, walker[[frame]])
  assert 0.3 < good.confidence < 1
  assert np.isfinite(np.concatenate([np.ravel(value) for value in good])).all()
  np.testing.assert_allclose(np.linalg.norm(good.gravity_camera), 1, rtol=1e-5)
  people._start()
  for frame in range(20):
    (poor,) = people.add(frame / 30, _IMAGE, walker[[frame]] * np.float32([1, 1, 0.3]))
  assert poor.confidence < 0.5 * good.confidence


def test_a_stream_without_people(people):
  nobody = np.zeros((0, 17, 3), np.float32)
  assert [people.add(frame / 30, _IMAGE, nobody) for frame in range(3)] == [[]] * 3


def test_uneven_frames_are_read_at_even_moments(people, walker):
  rng = np.random.default_rng(0)
  times = np.cumsum(rng.uniform(0.01, 0.09, len(walker)))
  moments = []
  for seconds, found in zip(times, walker, strict=True):
    (row,) = people.add(float(seconds), _IMAGE, found[None])
    moments.append(row.seconds)
  steps = np.diff(sorted(set(moments))) * 30
  np.testing.assert_allclose(steps, np.maximum(1, np.round(steps)), atol=0.1)
  assert np.all(times - moments < 1 / 30)


def test_impossible_cameras_are_refused_before_the_stream(shipped, tmp_path):
  with pytest.raises(InputError, match="a focal length is above 0 px"):
    live_motion.LiveMotion(shipped, Scene(focal=-3.0))
  np.savez(tmp_path / "zoom.npz", intrinsics=np.stack([_INTRINSICS] * 5))
  with pytest.raises(InputError, match="intrinsics for 5 frames"):
    live_motion.LiveMotion(shipped, Scene(intrinsics=tmp_path / "zoom.npz"))


def _panning(frames):
  rng = np.random.default_rng(1)
  texture = rng.integers(0, 255, (64 // 4, 160 // 4, 3)).repeat(4, 0).repeat(4, 1)
  return [texture[:, t : t + 96].astype(np.uint8) for t in range(frames)]


def test_flow_is_that_of_a_file_in_windows_of_the_past(tmp_path):
  workdirs.make_untrained(tmp_path / "run")
  run = trained.restore(epath.Path(tmp_path / "run"))
  people = live_motion.LiveMotion(run, Scene())
  frames, size = 14, (96, 64)
  video, times = _panning(frames), np.arange(frames) / 24
  rng = np.random.default_rng(0)
  points = np.ones((frames, 17, 3), np.float32)
  points[..., :2] = rng.uniform([20, 10], [40, 50], (17, 2))
  points[..., 0] += np.arange(frames)[:, None] * 0.5

  spec = people._spec
  moments, keypoints = _moments(list(points[:, None]), times)
  shown = np.abs(times - moments[:, None] + 1e-9).argmin(axis=1)
  every = np.arange(len(moments))
  seconds = sampling.flow_seconds(shown, times, every)
  cut = []
  for k in every:
    past = keypoints[max(0, k + 1 - people._window) : k + 1]
    box = windows.clip_window(past, spec.window_scale)
    timing = Timing(moments[[k]], seconds[[k]])
    cut.append(Chunk(shown[[k]], keypoints[[k]], box, 0, timing))
  intrinsics = pinhole.centred_intrinsics(*size)
  batches = streaming.make_batches(cut, iter(video), spec, intrinsics)
  step, carry = streaming.make_step(run.config, run.variables)
  expected = streaming.join(streaming.run(cut, batches, step, carry), cut)

  rows = [
    people.add(float(moment), image, own[None])[0]
    for moment, image, own in zip(times, video, points, strict=True)
  ]
  for row in rows:
    k = np.abs(expected.times - row.seconds).argmin()
    assert abs(expected.times[k] - row.seconds) < 1e-5
    zero = np.zeros(1, int)
    placed = placement.place(
      smpl.load(),
      _one_moment(expected, k),
      Rows(zero, expected.times[[k]], zero, np.ones(1, bool)),
      intrinsics,
    )
    np.testing.assert_allclose(row.pose, placed.seen.pose[0], atol=1e-3)
  # The pictures matter, and so their flow: an untrained network's pose depends on it.
  assert len({row.pose.tobytes() for row in rows}) > len(rows) / 2
