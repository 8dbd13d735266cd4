"""Records a camera or stream, and detects the people in it as the pictures come."""

import concurrent.futures
import contextlib
import pathlib
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from mhmr_jax.errors import InputError
from mhmr_jax.files import live, video_writer
from mhmr_jax.files.live import Timed
from mhmr_jax.keypoints import detectors
from mhmr_jax.keypoints.formats import Detections
from mhmr_jax.keypoints.source import KeypointSource

_NOMINAL_FPS = 30.0  # The pictures have their own times.

Use = Callable[[Timed, Float[np.ndarray, "_ 17 3"]], None]


def record(
  source: str,
  path: pathlib.Path,
  keypoints: KeypointSource,
  use: Use | None = None,
) -> Detections:
  """Records until the source ends, or until Ctrl-C or SIGTERM.

  Pictures that come while the detector is busy are skipped. A picture is
  encoded while the next one is looked at.

  Args:
    source: the number of a camera, or a URL.
    path: the .mp4 file to write.
    keypoints: the detector.
    use: is called with each recorded picture and the people in it, x, y px and score,
      as soon as they are found.

  Returns:
    Everybody in each recorded picture.

  Raises:
    InputError: the source or the detector cannot be used, the keypoints are to come
      from a file, no picture came, or the video cannot be written.
  """
  if keypoints.path is not None:
    raise InputError(
      f"--keypoints={keypoints.path} is for a video that is there already: leave it "
      f"out with --video={source}, whose people a detector finds."
    )
  adapter = detectors.adapter(keypoints.detector)
  found: list[Float[np.ndarray, "_ 17 3"]] = []
  with (
    adapter.open_detector(keypoints.weights, keypoints.people) as detect,
    _writing(path) as write,
    tqdm(desc="Recording, until Ctrl-C", unit="frame") as progress,
  ):
    for timed in live.read_frames(source):
      found.append(detect(timed.frame, timed.seconds))
      if use is not None:
        use(timed, found[-1])
      write(timed)
      progress.update()
    if not found:
      raise InputError("The recording was ended before its first picture.")
  return found


@contextlib.contextmanager
def _writing(path: pathlib.Path) -> Iterator[Callable[[Timed], None]]:
  """Yields what appends a picture to the video once the one before is in it."""
  with (
    video_writer.writing(path, _NOMINAL_FPS) as writer,
    concurrent.futures.ThreadPoolExecutor(1) as pool,
  ):
    last: concurrent.futures.Future[None] | None = None

    def write(timed: Timed) -> None:
      nonlocal last
      if last is not None:
        last.result()
      last = pool.submit(writer.write, timed.frame, timed.seconds)

    yield write
    if last is not None:
      last.result()
