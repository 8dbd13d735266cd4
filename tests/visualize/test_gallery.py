"""What the pictures show of a body that was predicted exactly."""

import dataclasses

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mhmr_jax.body import smpl
from mhmr_jax.body.gendered import Bodies
from mhmr_jax.data.sources import ClipSource
from mhmr_jax.inference.sequences import SequencePrediction
from mhmr_jax.visualize import gallery
from tests import tiny

FRAMES, SIZE = 6, 128
INTRINSICS = np.array([[1800, 0, 64], [0, 1800, 64], [0, 0, 1]], np.float32)


def _clip(body, seed):
  rng = np.random.default_rng(seed)
  pose = np.tile(rng.normal(0, 0.25, (24, 3)), (FRAMES, 1, 1)).astype(np.float32)
  upright = Rotation.from_rotvec([np.pi, 0, 0]) * Rotation.from_rotvec([0, 0.5, 0])
  pose[:, 0] = upright.as_rotvec()
  betas = rng.normal(size=(10,)).astype(np.float32)
  transl = np.tile(np.float32([0.3, 0.1, 40.0]), (FRAMES, 1))
  joints = jax.jit(smpl.joints)(body, pose, np.tile(betas, (FRAMES, 1)), transl)
  frame = np.zeros((SIZE, SIZE, 3), np.uint8)
  return {
    "frames": [cv2.imencode(".jpg", frame)[1].tobytes()] * FRAMES,
    "pose": pose,
    "betas": betas,
    "joints_camera": np.asarray(joints),
    "keypoints_image": np.full((FRAMES, 17, 3), 50, np.float32),
    "visibility": np.ones((FRAMES, 24), np.float32),
    "intrinsics": INTRINSICS,
    "valid": np.arange(FRAMES) > 0,
    "fps": 25.0,
    "sequence": f"clip_{seed}",
    "gender": "male",
    "frame_index": np.arange(FRAMES),
  }


def _exact(clip):
  """The truth as a prediction; so far away, weak perspective is exact."""
  box = np.array([20, 10, 120, 110], np.float32)
  pelvis = clip["joints_camera"][0, 0]
  scale = INTRINSICS[0, 0] / pelvis[2] * 2 / (box[2] - box[0])
  at = (INTRINSICS @ pelvis)[:2] / pelvis[2]
  shift = (2 * (at - box[:2]) / (box[2] - box[0]) - 1) / scale
  matrices = Rotation.from_rotvec(clip["pose"].reshape(-1, 3)).as_matrix()
  return SequencePrediction(
    rotations=matrices.reshape(FRAMES, 24, 3, 3).astype(np.float32),
    betas=np.tile(clip["betas"], (FRAMES, 1)),
    camera=np.tile(np.float32([scale, *shift]), (FRAMES, 1)),
    box=np.tile(box, (FRAMES, 1)),
    keypoints=np.full((FRAMES, 17, 3), 12, np.float32),
  )


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
  body = smpl.load()
  clips = [_clip(body, seed) for seed in range(4)]
  rows = [
    {"sequence": clip["sequence"], "num_frames": count, "pa_mpjpe_mm": error}
    for clip, count, error in zip(
      clips, (5, 0, 5, 5), (40.0, None, 20.0, 60.0), strict=True
    )
  ]
  config = tiny.config(tmp_path_factory.mktemp("data"))
  source = ClipSource("made", clips, "/made")
  return gallery.Gallery(Bodies(body), config, source, [_exact(c) for c in clips], rows)


def test_exact_prediction_lies_on_the_truth(shown):
  views = shown._views(shown.source[2], 2, 3, 160)
  drawn = [views[name].max(-1) > 20 for name in ("truth", "prediction")]
  assert views["input"].shape == (160, 160, 3)
  both, either = (drawn[0] & drawn[1]).sum(), (drawn[0] | drawn[1]).sum()
  assert either > 1000
  assert both / either > 0.97
  sides = [views[name].min(-1) < 240 for name in ("truth_side", "side")]
  assert sides[0].sum() > 1000
  assert (sides[0] != sides[1]).mean() < 1e-3


def test_a_label_is_drawn_with_the_body_of_its_gender(shown):
  body = shown.bodies.neutral
  wide = dataclasses.replace(body, v_template=body.v_template * jnp.array([2.0, 1, 1]))
  gendered = dataclasses.replace(shown, bodies=Bodies(body, male=wide))
  plain, changed = (
    each._views(shown.source[2], 2, 3, 160) for each in (shown, gendered)
  )
  np.testing.assert_array_equal(plain["prediction"], changed["prediction"])
  covered = [(views["truth"].max(-1) > 20).sum() for views in (plain, changed)]
  assert covered[1] > 1.2 * covered[0]


def test_pictures_are_ordered_and_leave_out_what_was_not_scored(shown):
  pictures = shown.pictures(examples=2, worst=2)
  assert [p.caption.split(":")[0] for p in pictures.examples] == ["clip_2", "clip_3"]
  assert [p.caption.split(":")[0] for p in pictures.worst] == ["clip_3", "clip_0"]
  assert "40.0 mm" in pictures.worst[1].caption
  assert [p.caption.split(":")[0] for p in pictures.median] == ["clip_0"]
  assert "flow" in pictures.inputs[0].caption
  assert all(p.image.dtype == np.uint8 for p in pictures.examples)


def test_a_clip_without_a_valid_label_is_shown_too(shown):
  clips = [{**shown.source[i], "valid": np.zeros(FRAMES, bool)} for i in range(4)]
  unknown = dataclasses.replace(shown, source=ClipSource("made", clips, "/made"))
  assert unknown.pictures(examples=1, worst=1).worst[0].image.any()


def test_video_holds_the_chosen_sequences_from_their_start(shown, tmp_path):
  path = tmp_path / "overlay.mp4"
  shown.write_video(path, count=2, most_frames=4, size=64)
  video = cv2.VideoCapture(str(path))
  assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(25)
  assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 8
  frame = video.read()[1]
  assert frame.shape == (64 + 28, 3 * 64 + 8, 3)
