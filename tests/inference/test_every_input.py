"""Evaluation and prediction see the same of the same frames, for several inputs."""

import numpy as np
import pytest
from etils import epath

from mhmr_jax.data.input_spec import InputSpec
from mhmr_jax.files import jpeg
from mhmr_jax.inference import sequences, streaming, trained
from mhmr_jax.keypoints import smooth_paths
from mhmr_jax.keypoints.tracking import Track
from mhmr_jax.runtime import sharding
from tests import tiny, workdirs
from tests.data.clips import LENGTH, as_found, make_source

FPS = 30.0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["kp", "hmr", "rgb_flow_kp"])
def test_a_stored_clip_is_predicted_as_a_video_is(name, tmp_path, monkeypatch):
  """From the checkpoint on; flow, memory and padding included."""
  monkeypatch.setattr(smooth_paths, "positions", as_found)
  config = tiny.config(tmp_path, name, keypoints__noise=False)
  workdirs.write_initial(tmp_path / "run", config)
  config, variables, _ = trained.restore(epath.Path(tmp_path / "run"))

  source = make_source([LENGTH])
  (stored,) = sequences.predict(
    config, variables, source, [LENGTH], sharding.make_mesh()
  )
  clip = source[0]
  spec = InputSpec.from_config(config)
  track = Track(np.arange(LENGTH), clip["keypoints_image"])
  chunks = streaming.plan(
    track, np.arange(len(track.frame_index)) / FPS, spec, (64, 64)
  )
  # Grey is decoded from a JPEG's luma, which is a rounding away from its colours'.
  colour = "rgb" in spec.inputs
  images = [jpeg.decode(frame, colour) for frame in clip["frames"]]
  video = images if colour else [np.stack([image] * 3, -1) for image in images]
  if spec.inputs == ("keypoints",):
    video = None
  batches = streaming.make_batches(chunks, video, spec, clip["intrinsics"])
  step = streaming.make_step(config, variables)
  streamed = streaming.join(streaming.run(chunks, batches, *step), chunks)

  np.testing.assert_allclose(streamed.times, np.arange(LENGTH) / FPS)
  np.testing.assert_array_equal(streamed.box, stored.box)
  for field in ("rotations", "betas", "camera"):
    np.testing.assert_allclose(
      getattr(streamed, field), getattr(stored, field), atol=1e-4, err_msg=field
    )
  moved = np.abs(np.diff(streamed.rotations, axis=0)).max()
  # It does look at the frames: they change ten times as much as the two differ.
  assert moved > 1e-3
