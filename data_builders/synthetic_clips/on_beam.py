"""Makes the shards of synthetic clips in the workers of an Apache Beam pipeline.

An element of the pipeline is a shard, so that clips are neither sent between workers
nor kept in memory. Shards have the bytes of a build without Beam, because the clips are
made in a child process with the same settings of its libraries.
"""

import dataclasses
import os
import shutil
import tempfile
import threading
import uuid
from collections.abc import Sequence

import apache_beam as beam
from absl import logging
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from array_record.python import array_record_module

from data_builders import sharded
from mhmr_jax.errors import InputError
from mhmr_jax.synth import clips

# Beam runs several threads in a process, but `clips.workers` sets environment variables
# of the whole process, and one child already keeps one core busy.
_one_at_a_time = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Shard:
  """One file of clips."""

  name: str
  split: str
  start: int  # Index of the first clip.
  count: int


@dataclasses.dataclass(frozen=True)
class Job:
  """What is needed to make any shard of a dataset."""

  spec: clips.ClipSpec
  writer: sharded.ShardWriter
  folder: str  # Where finished shards go: a path or URL that Beam can write to.


def shards(split: str, names: Sequence[str], lengths: Sequence[int]) -> list[Shard]:
  """Returns the shards of a split, with its clips in order."""
  return [
    Shard(name, split, sum(lengths[:number]), lengths[number])
    for number, name in enumerate(names)
  ]


def handover(folder: str, *parts: str) -> str:
  """Makes a dataset's own folder below the handover folder; '' stays ''."""
  if not folder:
    return ""
  place = FileSystems.join(folder, *parts)
  if not FileSystems.exists(place):
    FileSystems.mkdirs(place)
  return place


def make(
  job: Job,
  wanted: Sequence[Shard],
  folder: str,
  options: PipelineOptions | None,
  runner: str | None,
) -> None:
  """Runs the pipeline and collects the shards in a folder of this machine.

  Args:
    job: what is needed to make the shards.
    wanted: the shards to make.
    folder: the folder of this machine.
    options: Beam's `PipelineOptions`, or None.
    runner: the name of Beam's runner, or None.

  Raises:
    InputError: the spec names a file or folder that cannot be used here, or a shard is
      missing or not complete.
  """
  clips.ClipMaker(job.spec)  # Finds bad paths before any worker has started.
  with beam.Pipeline(runner=runner, options=options) as pipeline:
    _ = (
      pipeline
      | beam.Create(list(wanted))
      | beam.Reshuffle()
      | "Make" >> beam.Map(make_shard, job=job)
    )
  for shard in wanted:
    here = os.path.join(folder, shard.name)
    if job.folder != folder:
      _copy(FileSystems.join(job.folder, shard.name), here)
    _check(here, shard.count)
  if job.folder != folder:  # Object stores have no folders, only files.
    FileSystems.delete([FileSystems.join(job.folder, shard.name) for shard in wanted])


def _check(path: str, count: int) -> None:
  held = array_record_module.ArrayRecordReader(path).num_records()
  if held != count:
    raise InputError(
      f"{path} holds {held} clips instead of {count}: empty the folder that workers "
      "leave shards in, and run the same command again."
    )


def make_shard(shard: Shard, job: Job) -> None:
  """Makes a shard, unless it exists; it gets its name when it is complete."""
  target = FileSystems.join(job.folder, shard.name)
  with _one_at_a_time:
    if FileSystems.exists(target):
      logging.info("%s exists already.", target)
      return
    indices = range(shard.start, shard.start + shard.count)
    with clips.workers(1) as pool, tempfile.TemporaryDirectory() as folder:
      numbered = clips.generate(pool, job.spec, shard.split, indices, ahead=2)
      examples = ((f"{index:06d}", clip) for index, clip in numbered)
      local = os.path.join(folder, shard.name)
      job.writer.write(local, examples)
      # Another worker may be making the same shard.
      partial = f"{target}.{uuid.uuid4().hex}.partial"
      _copy(local, partial)
    FileSystems.rename([partial], [target])


def _copy(source: str, target: str) -> None:
  with FileSystems.open(source) as read, FileSystems.create(target) as write:
    shutil.copyfileobj(read, write, 2**22)
