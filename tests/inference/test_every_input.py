"""Each choice of inputs: evaluation and prediction see the same of the same frames."""

import jax
import numpy as np
import pytest
from etils import epath

from mhmr_jax.data import pipeline
from mhmr_jax.data.input_spec import InputSpec
from mhmr_jax.files import jpeg
from mhmr_jax.inference import sequences, streaming, trained
from mhmr_jax.keypoints.tracking import Track
from mhmr_jax.models import motion_hmr
from mhmr_jax.runtime import sharding
from mhmr_jax.training import checkpoints, train_step
from tests import tiny
from tests.data.clips import LENGTH, make_source
from tests.test_configs import INPUTS

FPS = 30.0


@pytest.mark.slow
@pytest.mark.parametrize("name", INPUTS)
def test_a_stored_clip_is_predicted_as_a_video_is(name, tmp_path):
  """From the checkpoint on; flow, memory and padding included."""
  config = tiny.config(tmp_path, name, keypoints__noise=False)
  model = motion_hmr.from_config(config.model, config.data.size)
  optimizer = train_step.make_optimizer(config.train)
  inputs = motion_hmr.input_shapes(config)
  state = jax.jit(lambda key: train_step.init_state(key, inputs, model, optimizer))(
    jax.random.key(0)
  )
  workdir = epath.Path(tmp_path / "run")
  checkpoints.prepare_workdir(workdir, config)
  saved = checkpoints.Checkpoints(workdir)
  saved.save(state, {pipeline.POSITION: 0})
  saved.close()
  config, variables, _ = trained.restore(workdir)

  source = make_source([LENGTH])
  (stored,) = sequences.predict(
    config, variables, source, [LENGTH], sharding.make_mesh()
  )
  clip = source[0]
  spec = InputSpec.from_config(config)
  track = Track(np.arange(LENGTH), clip["keypoints_image"])
  chunks = streaming.plan(track, FPS, spec, (64, 64))
  # Grey is decoded from a JPEG's luma, which is a rounding away from its colours'.
  colour = "rgb" in spec.inputs
  images = [jpeg.decode(frame, colour) for frame in clip["frames"]]
  video = images if colour else [np.stack([image] * 3, -1) for image in images]
  if spec.inputs == ("keypoints",):
    video = None
  batches = streaming.make_batches(chunks, video, spec)
  step = streaming.make_step(config, variables)
  streamed = streaming.join(list(streaming.run(chunks, batches, *step)))

  np.testing.assert_array_equal(streamed.frames, np.arange(LENGTH))
  np.testing.assert_array_equal(streamed.box, stored.box)
  for field in ("rotations", "betas", "camera"):
    np.testing.assert_allclose(
      getattr(streamed, field), getattr(stored, field), atol=1e-4, err_msg=field
    )
  moved = np.abs(np.diff(streamed.rotations, axis=0)).max()
  assert moved > 1e-2  # It does look at the frames.
