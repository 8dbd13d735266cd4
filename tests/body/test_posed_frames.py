"""Skinning with the frames last against the body layer, and blocks against one call."""

import jax
import jax.numpy as jnp
import numpy as np

from mhmr_jax.body import posed_frames, smpl
from mhmr_jax.geometry import metrics
from mhmr_jax.runtime import sharding


def test_surface_errors_are_the_pve_of_whole_bodies():
  rng = np.random.default_rng(0)
  body = smpl.load()
  # Pose blend shapes, which the free body lacks.
  shape = (len(body.v_template), 3, 207)
  body = body.replace(posedirs=jnp.asarray(rng.normal(0, 1e-3, shape), jnp.float32))
  predicted, label = (
    (
      posed_frames.matrices(rng.normal(0, 0.4, (3, 24, 3))),
      rng.normal(size=(3, 10)).astype(np.float32),
    )
    for _ in range(2)
  )
  origin = np.zeros((3, 3), np.float32)
  whole = [jax.jit(smpl.forward_matrices)(body, *b, origin) for b in (predicted, label)]
  roots = [joints[:, 0] for _, joints in whole]
  expected = metrics.pve(whole[0][0], whole[1][0], *roots)

  def errors(predicted, label):
    posed = [
      posed_frames.Posed(*b, *posed_frames.bones(body, *b)) for b in (predicted, label)
    ]
    return posed_frames.surface_errors(body, body, *posed, *roots)

  np.testing.assert_allclose(jax.jit(errors)(predicted, label), expected, rtol=1e-4)


def test_blocks_give_what_one_call_does_and_zeros_elsewhere():
  values = np.random.default_rng(1).normal(size=(31, 5, 3)).astype(np.float32)
  frames = np.array([3, 4, 9, *range(11, 30)])
  found, first = posed_frames.in_blocks(
    _moments, (np.float32(2),), (values,), frames, sharding.make_mesh(), 2, 3
  )
  np.testing.assert_allclose(found[frames], 2 * values[frames].sum((1, 2)), atol=1e-5)
  np.testing.assert_array_equal(first[frames], values[frames, 0])
  others = np.setdiff1d(np.arange(31), frames)
  assert not found[others].any()
  assert not first[others].any()


def test_few_frames_are_not_filled_up_to_a_whole_block():
  sizes = []

  def count(values):
    sizes.append(len(values))
    return values

  values = np.random.default_rng(1).normal(size=(90, 3)).astype(np.float32)
  mesh = sharding.make_mesh()
  for frames, steps, size in ((5, 8, 64), (70, 8, 64), (90, 1, 4096)):
    chosen = np.arange(frames)
    found = posed_frames.in_blocks(count, (), (values,), chosen, mesh, steps, size)
    np.testing.assert_array_equal(found[:frames], values[:frames])
  assert sizes == [32, 64, 128]


def _moments(factor, values):
  return factor * values.sum((1, 2)), values[:, 0]
