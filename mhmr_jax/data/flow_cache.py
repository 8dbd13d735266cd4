"""Flow of whole stored frames, estimated once for a split and kept with its clips.

With `config.flow.cache`, training and evaluation read it and crop it as exact flow,
in place of an estimate for every window. It lies in the dataset's own folder, below
`flow/` and a name that tells estimators, their settings and their weights apart.
"""

import contextlib
import functools
import hashlib
import itertools
import os
import pathlib
import uuid
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, cast

import numpy as np
from absl import logging
from array_record.python import array_record_data_source
from jaxtyping import Float
from ml_collections import ConfigDict
from tqdm import tqdm

from mhmr_jax.data.sources import ClipSource
from mhmr_jax.errors import InputError
from mhmr_jax.files import flow_images, frame_files, jpeg
from mhmr_jax.flow import dis
from mhmr_jax.schema import Clip

_FOLDER = "flow"
_LENGTHS = "<i8"  # Of the last record: the clips' numbers of frames.
_BATCH = 8  # Pairs of frames that a network sees at once.

Pairs = list[tuple[np.ndarray, np.ndarray]]


class FrameEstimator(NamedTuple):
  """What estimates flow, and the name of the folder that it is kept in."""

  name: str
  colour: bool  # It sees RGB; else grey.
  run: Callable[[Pairs], list[Float[np.ndarray, "height width 2"]]]


class ClipsWithFlow:
  """Clips that also have `flow_estimated`, read frame by frame when it is asked for."""

  def __init__(self, clips: ClipSource, path: pathlib.Path):
    """`path` is a file that `_write` made of the clips; InputError if it is not."""
    self._clips = clips
    self._path = path
    try:
      self._records = array_record_data_source.ArrayRecordDataSource(str(path))
      lengths = np.frombuffer(self._records[len(self._records) - 1], _LENGTHS)
    # Its errors are of many kinds.
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
  def __init__(self, path: pathlib.Path, records: Any, start: int, count: int):
    super().__init__(path, count)
    self._records = records
    self._start = start

  def _read(self, indices: list[int]) -> list[bytes]:
    try:
      return list(self._records.__getitems__([self._start + i for i in indices]))
    except Exception as error:
      raise _damaged(self._path) from error


def _damaged(path: pathlib.Path) -> InputError:
  return InputError(
    f"The flow in {path} is damaged or of other clips: delete that file and run again "
    "to make it anew."
  )


def is_on(config: ConfigDict) -> bool:
  """Whether a config reads cached flow.

  Raises:
    InputError: it would cache what the clips store already.
  """
  if not config.flow.get("cache", False):
    return False
  if config.flow.source == "exact":
    raise InputError(
      "config.flow.cache is set, but config.flow.source is 'exact', which the clips "
      "store already: leave out one of the two."
    )
  return "flow" in config.model.inputs


def opened(source: ClipSource, config: ConfigDict) -> ClipSource | ClipsWithFlow:
  """The clips, with their cached flow if the config reads it; made where it lacks.

  Raises:
    InputError: the flow network's weights cannot be read, the folder cannot be
      written, or what is in it is damaged.
  """
  if not is_on(config):
    return source
  estimator = open_estimator(config)
  folder = pathlib.Path(source.folder) / _FOLDER / estimator.name
  path = folder / f"{source.split}{frame_files.SUFFIX}"
  if not path.exists():
    _make(source, estimator, path)
  return ClipsWithFlow(source, path)


def open_estimator(config: ConfigDict) -> FrameEstimator:
  """The config's, for whole frames; InputError for weights that cannot be read."""
  kind = config.flow.source
  if kind == "dis":
    estimate = dis.DisFlow(config.flow.preset)
    run = lambda pairs: [estimate(*pair) for pair in pairs]
    return FrameEstimator(f"dis_{config.flow.preset}", False, run)
  # The processes that load clips import this file, and need no network.
  import jax

  from mhmr_jax.flow import learned

  model, variables = learned.load(kind, config.flow.get("weights", ""))
  digest = hashlib.sha256(repr(model).encode())
  for leaf in jax.tree.leaves(variables):
    digest.update(np.asarray(leaf).tobytes())
  jitted = jax.jit(functools.partial(learned.estimate, model, variables))

  def run_network(pairs: Pairs) -> list[np.ndarray]:
    # The last pair is repeated to a whole batch: one shape, one compilation.
    padded = pairs + [pairs[-1]] * (_BATCH - len(pairs))
    first, second = (np.stack(frames) for frames in zip(*padded, strict=True))
    return list(np.asarray(jitted(first, second)))[: len(pairs)]

  return FrameEstimator(f"{kind}_{digest.hexdigest()[:16]}", True, run_network)


def _make(source: ClipSource, estimator: FrameEstimator, path: pathlib.Path) -> None:
  """Writes the flow of all clips, under its name once it is whole.

  Several processes may ask for the same: one makes it, the others wait.
  """
  # TFDS takes seconds to import.
  from mhmr_jax.files import locks

  partial = path.with_name(f"{path.stem}.{uuid.uuid4().hex}.partial")
  with locks.exclusive(path.parent) as alone:
    if path.exists():
      return
    if alone:
      for left in path.parent.glob(f"{path.stem}.*.partial"):
        left.unlink()
    logging.info("Estimating the flow of %d clips into %s", len(source), path)
    try:
      frame_files.write(partial, _records(source, estimator))
      os.replace(partial, path)
    except (OSError, RuntimeError) as error:  # The latter is array_record's.
      raise InputError(
        f"{path} cannot be written ({str(error).partition(';')[0][:120]}): make room "
        "there, or leave out config.flow.cache."
      ) from error
    finally:
      with contextlib.suppress(OSError):
        partial.unlink(missing_ok=True)


def _records(source: ClipSource, estimator: FrameEstimator) -> Iterator[bytes]:
  """A PNG a frame, then the clips' lengths."""
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
  """Each stored JPEG's flow from the one before, pixels; zero at the first."""
  decoded = (jpeg.decode(frame, estimator.colour) for frame in frames)
  first = next(decoded)
  yield np.zeros((*first.shape[:2], 2), np.float32)
  pairs = itertools.pairwise(itertools.chain([first], decoded))
  while batch := list(itertools.islice(pairs, _BATCH)):
    yield from estimator.run(batch)
