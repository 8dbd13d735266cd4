"""Flow of whole stored frames, estimated once for a split and kept with its clips.

With `config.flow.cache`, training and evaluation open their clips here (`opened`): each
clip then has the flow as a field, `flow_estimated`, which `examples` crops as it crops
exact flow. Otherwise flow is estimated in every crop window, by DIS on the host
(`transforms.dis_flow`) or by a network on the device (`device_flow`).

The files lie in the dataset's own folder, below `flow/` and a name that tells
estimators, their settings and their weights apart.
"""

import functools
import hashlib
import itertools
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, cast

import numpy as np
from absl import logging
from array_record.python import array_record_data_source
from jaxtyping import Float
from ml_collections import ConfigDict
from tqdm import tqdm

from mhmr_jax.data.input_spec import reads_cached_flow
from mhmr_jax.data.sources import ClipSource
from mhmr_jax.errors import InputError
from mhmr_jax.files import flow_images, frame_files, jpeg, locks
from mhmr_jax.flow import dis
from mhmr_jax.runtime.batching import padded_batches
from mhmr_jax.schema import Clip

_FOLDER = "flow"
_LENGTHS = "<i8"  # The last record's numbers: how many frames each clip has.
_BATCH = 8  # Pairs of frames that a network is given at once.

Pairs = list[tuple[np.ndarray, np.ndarray]]


class FrameEstimator(NamedTuple):
  """An estimator of flow, and the name of the folder that its flow is kept in."""

  name: str
  colour: bool  # Whether it reads RGB frames; else grey ones.
  run: Callable[[Pairs], list[Float[np.ndarray, "height width 2"]]]


class ClipsWithFlow:
  """Clips with the field `flow_estimated`, whose frames are read one by one."""

  def __init__(self, clips: ClipSource, path: pathlib.Path):
    """Opens the file of the clips' flow.

    Raises:
      InputError: the file is damaged, or does not belong to these clips.
    """
    self._clips = clips
    self._path = path
    try:
      self._records = array_record_data_source.ArrayRecordDataSource(str(path))
      lengths = np.frombuffer(self._records[len(self._records) - 1], _LENGTHS)
    # array_record raises errors of many kinds.
    except Exception as error:
      raise _damaged(path) from error
    self._starts = np.append(0, np.cumsum(lengths))
    if len(lengths) != len(clips) or self._starts[-1] != len(self._records) - 1:
      raise _damaged(path)

  def __len__(self) -> int:
    return len(self._clips)

  def __repr__(self) -> str:
    return f"ClipsWithFlow({self._clips!r}, {self._path})"

  def __getitem__(self, index: int) -> Clip:
    clip = self._clips[index]
    start, stop = map(int, self._starts[index : index + 2])
    if len(clip["frames"]) != stop - start:
      raise _damaged(self._path)
    flow = _StoredFlow(self._path, self._records, start, stop - start)
    return cast(Clip, {**clip, "flow_estimated": flow})


class _StoredFlow(frame_files.Frames):
  """The flow of one clip, in KITTI's PNG encoding."""

  def __init__(self, path: pathlib.Path, records: Any, start: int, count: int):
    super().__init__(path, count)
    self._records = records
    self._start = start

  def _read(self, indices: list[int]) -> list[bytes]:
    try:
      # Its `__getitems__` starts a thread.
      return [self._records[self._start + index] for index in indices]
    except Exception as error:
      raise _damaged(self._path) from error


def _damaged(path: pathlib.Path) -> InputError:
  return InputError(
    f"The flow in {path} is damaged or belongs to other clips: delete that file and "
    "run again to make it anew."
  )


def opened(source: ClipSource, config: ConfigDict) -> ClipSource | ClipsWithFlow:
  """The clips, with their cached flow if the config reads it.

  Flow that is missing is estimated and written first.

  Raises:
    InputError: the flow network's weights cannot be read, the folder cannot be
      written, or a file in it is damaged.
  """
  if not reads_cached_flow(config):
    return source
  estimator = open_estimator(config)
  folder = pathlib.Path(source.folder) / _FOLDER / estimator.name
  path = folder / f"{source.split}{frame_files.SUFFIX}"
  if not path.exists():
    _make(source, estimator, path)
  return ClipsWithFlow(source, path)


def open_estimator(config: ConfigDict) -> FrameEstimator:
  """The estimator that a config names, for whole frames.

  Raises:
    InputError: the weights of its network cannot be read.
  """
  kind = config.flow.source
  if kind == "dis":
    estimate = dis.DisFlow(config.flow.preset)
    run = lambda pairs: [estimate(*pair) for pair in pairs]
    return FrameEstimator(f"dis_{config.flow.preset}", False, run)
  # Processes that load clips import this module too, and need no network.
  import jax

  from mhmr_jax.flow import learned

  model, variables = learned.load(kind, config.flow.get("weights", ""))
  digest = hashlib.sha256(repr(model).encode())
  for leaf in jax.tree.leaves(variables):
    digest.update(np.asarray(leaf).tobytes())
  jitted = jax.jit(functools.partial(learned.estimate, model, variables))

  def run_network(pairs: Pairs) -> list[np.ndarray]:
    flow: list[np.ndarray] = []
    for rows, count in padded_batches(len(pairs), _BATCH):
      batch = [pairs[row] for row in rows]
      first, second = (np.stack(frames) for frames in zip(*batch, strict=True))
      flow.extend(np.asarray(jitted(first, second))[:count])
    return flow

  return FrameEstimator(f"{kind}_{digest.hexdigest()[:16]}", True, run_network)


def _make(source: ClipSource, estimator: FrameEstimator, path: pathlib.Path) -> None:
  """Writes the flow of all clips to a file that appears when it is whole.

  If several processes ask for the same file, one makes it and the others wait.
  """
  advice = "make room there, or leave out config.flow.cache"
  with locks.exclusive(path.parent) as alone:
    if path.exists():
      return
    if alone:
      # A process that was killed left these.
      for partial in path.parent.glob(f".{path.stem}.*.partial{path.suffix}"):
        partial.unlink()
    logging.info("Estimating the flow of %d clips into %s", len(source), path)
    frame_files.write(path, _records(source, estimator), advice)


def _records(source: ClipSource, estimator: FrameEstimator) -> Iterator[bytes]:
  """Yields a PNG for each frame of all clips, then the clips' lengths."""
  lengths = []
  indices = tqdm(range(len(source)), f"flow of {source.split} clips", unit="clip")
  for index in indices:
    frames = source[index]["frames"]
    lengths.append(len(frames))
    for flow in whole_frame_flow(frames, estimator):
      yield flow_images.encode_png(flow)
  yield np.array(lengths, _LENGTHS).tobytes()


def whole_frame_flow(
  frames: Any, estimator: FrameEstimator
) -> Iterator[Float[np.ndarray, "height width 2"]]:
  """Yields the flow of each frame from the one before, pixels; zero at the first.

  Args:
    frames: one clip's, as JPEG images.
    estimator: of the flow.
  """
  decoded = (jpeg.decode(frame, estimator.colour) for frame in frames)
  first = next(decoded)
  yield np.zeros((*first.shape[:2], 2), np.float32)
  pairs = itertools.pairwise(itertools.chain([first], decoded))
  while batch := list(itertools.islice(pairs, _BATCH)):
    yield from estimator.run(batch)
