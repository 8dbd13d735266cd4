"""Makes the keypoint examples of a training batch on the device, from their numbers.

The host sends only the numbers, so that neither its cores nor its memory limit the
speed, and any number of hosts and workers gives the same examples.
"""

import functools
from collections.abc import Callable
from typing import cast

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from mhmr_jax.body import posed_keypoints, smpl
from mhmr_jax.data import config_paths
from mhmr_jax.data.input_spec import InputSpec
from mhmr_jax.motion import bank, library
from mhmr_jax.motion.bank import MotionBank
from mhmr_jax.runtime import sharding
from mhmr_jax.schema import Batch
from mhmr_jax.synth.keypoint_examples import examples
from mhmr_jax.synth.keypoint_examples.examples import ExampleSpec
from mhmr_jax.synth.keypoint_examples.movements import Variety
from mhmr_jax.synth.keypoint_examples.viewpoints import Viewpoints

_AS_CAPTURED = Variety(
  speed=1.0, exchanged=0.0, exchanged_leg=0.0, offset=0.0, bent=0.0
)


def make(config: ConfigDict, mesh: Mesh) -> Callable[[Batch], Batch]:
  """Returns the function that turns a batch of numbers into one of examples.

  Where the config trains on stored clips, the function returns the batch as it is.

  Args:
    config: the config of the run.
    mesh: divides the batches.

  Raises:
    InputError: the motion cannot be read.
  """
  if config_paths.GENERATED not in config_paths.shares(config):
    return lambda batch: batch
  body = smpl.load(config.body.path or None)
  whole, split = sharding.replicated(mesh), sharding.batched(mesh)
  constants = sharding.replicate(
    (open_bank(config, "train"), body, posed_keypoints.moments(body)), mesh
  )
  jitted = jax.jit(
    functools.partial(examples.make_batch, example_spec(config)),
    in_shardings=(whole, whole, whole, whole, split),
    out_shardings=split,
  )
  key = sharding.replicate(jax.random.key_data(jax.random.key(config.data.seed)), mesh)

  def make_examples(batch: Batch) -> Batch:
    numbers = cast(dict[str, jax.Array], batch)["number"]
    output: Batch = jitted(*constants, key, numbers)
    return output

  return make_examples


def open_bank(config: ConfigDict, split: str) -> MotionBank:
  """Reads the motion that a config's keypoint examples are made of.

  Raises:
    InputError: the motion cannot be read.
  """
  share = config.keypoint_examples.procedural
  captured = config.data.motion
  if not captured:
    share = 1.0
  sources = [(library.open_motions(""), share)] if share else []
  if share < 1:
    sources.append((library.open_motions(captured), 1 - share))
  return bank.build(sources, split)


def example_spec(config: ConfigDict) -> ExampleSpec:
  """Describes a config's keypoint examples."""
  spec = InputSpec.from_config(config)
  return ExampleSpec(
    frames=spec.window,
    size=spec.size,
    window_scale=spec.window_scale,
    noise=spec.noise,
    variety=Variety() if config.keypoint_examples.varied else _AS_CAPTURED,
    viewpoints=Viewpoints(pitch=config.keypoint_examples.cameras),
  )
