"""What the clips of all variants share, and what differs between them."""

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mhmr_jax.body.joints import COCO_FROM_SMPL
from mhmr_jax.errors import InputError
from mhmr_jax.files import flow_images
from mhmr_jax.flow.dis import DisFlow
from mhmr_jax.motion import library
from mhmr_jax.synth import clips, variants

SIZE, FRAMES, COUNT = 96, 6, 5
LABELS = ("pose", "betas", "transl", "joints_camera", "intrinsics")


@pytest.fixture(scope="module")
def clips_of():
  """The same clips in every variant, with frames, masks and flow decoded."""
  result = {}
  for variant in variants.VARIANTS:
    spec = clips.ClipSpec(seed=1, frames=FRAMES, size=SIZE, variant=variant)
    maker = clips.ClipMaker(spec)
    result[variant] = [_decoded(maker.make("train", i)[0]) for i in range(COUNT)]
  return result


def _image(data: bytes) -> np.ndarray:
  return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def _decoded(clip) -> dict:
  return {
    **clip,
    "frames": np.stack([_image(f) for f in clip["frames"]]).astype(float),
    "mask": np.stack([_image(f) for f in clip["mask"]]) > 0,
    "flow": np.stack([flow_images.decode_png(f) for f in clip["flow"]]),
  }


def _pairs(clips_of, variant: str):
  return zip(clips_of["full"], clips_of[variant], strict=True)


def test_an_unknown_variant_is_refused():
  with pytest.raises(InputError, match=r"no variant 'fulll'.*static_background"):
    clips.ClipSpec(seed=0, frames=2, size=32, variant="fulll")


def test_without_occluders_nothing_else_changes(clips_of):
  hidden = 0
  for full, without in _pairs(clips_of, "no_occluders"):
    for name in LABELS:
      np.testing.assert_array_equal(full[name], without[name])
    assert not (full["mask"] & ~without["mask"]).any()
    # The flow is the same wherever no piece covers the person in the frame before.
    same = (full["flow"][1:] == without["flow"][1:]).all(-1)
    assert same[full["mask"][:-1]].all()
    assert not (full["visibility"] > without["visibility"]).any()
    hidden += (without["visibility"] - full["visibility"]).mean() / COUNT
  assert 0.03 < hidden < 0.5


def test_visibility_knows_of_depth_and_of_occluders(clips_of):
  """A joint that only a piece can hide is hidden where its pixel lost the mask."""
  counts = np.zeros(2, int)
  for full, without in _pairs(clips_of, "no_occluders"):
    projected = full["joints_camera"] @ full["intrinsics"].T
    pixels = (projected[..., :2] / projected[..., 2:]).astype(int)
    time, joint = np.nonzero(without["visibility"])
    x, y = pixels[time, joint].T
    on_person = without["mask"][time, y, x]
    time, joint, x, y = (a[on_person] for a in (time, joint, x, y))
    np.testing.assert_array_equal(
      full["visibility"][time, joint] > 0, full["mask"][time, y, x]
    )
    counts += np.bincount(full["mask"][time, y, x], minlength=2)
  assert counts.min() > 20


def test_keypoints_are_hidden_with_the_joints_they_are(clips_of):
  for full, without in _pairs(clips_of, "no_occluders"):
    same = full["keypoints_image"][..., :2] == without["keypoints_image"][..., :2]
    assert same.all()
    for keypoint, joint in COCO_FROM_SMPL.items():
      near = np.linalg.norm(
        full["keypoints_image"][:, keypoint, :2] - _projected(full)[:, joint], axis=-1
      )
      exact = (near < 1e-2) & (without["keypoints_image"][:, keypoint, 2] > 0)
      exact &= without["visibility"][:, joint] > 0
      np.testing.assert_array_equal(
        full["keypoints_image"][exact, keypoint, 2], full["visibility"][exact, joint]
      )


def _projected(clip) -> np.ndarray:
  projected = clip["joints_camera"] @ clip["intrinsics"].T
  return projected[..., :2] / projected[..., 2:]


def test_a_static_background_moves_with_the_camera_alone(clips_of):
  changed = 0
  for full, static in _pairs(clips_of, "static_background"):
    for name in (*LABELS, "visibility", "mask"):
      np.testing.assert_array_equal(full[name], static[name])
    mask = full["mask"][:-1]
    np.testing.assert_array_equal(full["flow"][1:][mask], static["flow"][1:][mask])
    changed += np.abs(full["flow"] - static["flow"]).max() > 0.1
  assert 0 < changed < COUNT


def test_a_static_camera_sees_the_same_motion_of_the_same_body(clips_of):
  source = library.open_motions("")
  for index, (full, static) in enumerate(_pairs(clips_of, "static_camera")):
    np.testing.assert_array_equal(full["pose"][:, 1:], static["pose"][:, 1:])
    for name in ("betas", "intrinsics"):
      np.testing.assert_array_equal(full[name], static[name])
    # The rotation from the motion's world to the camera is constant.
    stream = np.random.SeedSequence([1, 0, index]).spawn(1)[0]
    motion = source.sample(np.random.default_rng(stream), "train", FRAMES)
    world = Rotation.from_rotvec(motion.pose[:, 0])
    turn = (Rotation.from_rotvec(static["pose"][:, 0]) * world.inv()).as_matrix()
    np.testing.assert_allclose(turn, np.tile(turn[:1], (FRAMES, 1, 1)), atol=1e-4)
    # At the middle frame it has the moving camera's direction.
    middle = FRAMES // 2
    np.testing.assert_allclose(static["pose"][middle], full["pose"][middle], atol=1e-4)


def test_in_plain_clips_only_the_person_moves(clips_of):
  for clip in clips_of["plain"]:
    for t in range(1, FRAMES):
      assert np.abs(clip["flow"][t][~clip["mask"][t - 1]]).max() < 1e-2
    outside = ~cv2.dilate(
      clip["mask"].any(0).astype(np.uint8), np.ones((21, 21))
    ).astype(bool)
    # Only noise, exposure and compression change the background.
    change = np.abs(np.diff(clip["frames"], axis=0))[:, outside]
    assert np.median(change) < 12
  for full, plain in _pairs(clips_of, "plain"):
    np.testing.assert_array_equal(full["betas"], plain["betas"])
    np.testing.assert_array_equal(full["pose"][:, 1:], plain["pose"][:, 1:])


def test_alone_is_full_without_what_costs_time(clips_of):
  for full, alone in _pairs(clips_of, "alone"):
    for name in LABELS:
      np.testing.assert_array_equal(full[name], alone[name])
    assert not (full["mask"] & ~alone["mask"]).any()


def test_dis_agrees_with_the_flow_where_there_is_texture(clips_of):
  estimate, errors = DisFlow("medium"), []
  for clip in clips_of["full"]:
    frames = clip["frames"].astype(np.uint8)
    for t in range(1, FRAMES):
      exact = clip["flow"][t]
      grey = cv2.cvtColor(frames[t - 1], cv2.COLOR_BGR2GRAY).astype(np.float32)
      textured = np.hypot(cv2.Sobel(grey, -1, 1, 0), cv2.Sobel(grey, -1, 0, 1)) > 60
      # Borders between different motions are left out.
      jump = cv2.morphologyEx(exact, cv2.MORPH_GRADIENT, np.ones((9, 9))).max(-1)
      error = np.linalg.norm(estimate(frames[t - 1], frames[t]) - exact, axis=-1)
      errors.append(error[textured & (jump < 0.7)])
  assert np.median(np.concatenate(errors)) < 0.3


def test_shifted_motions_come_from_streams_of_their_own(clips_of):
  for usual, shifted in _pairs(clips_of, "shifted"):
    assert not np.allclose(usual["pose"][:, 1:], shifted["pose"][:, 1:], atol=0.05)
    focal = usual["intrinsics"][0, 0] / SIZE
    assert np.abs(np.array([0.55, 0.8, 3, 5]) - focal).min() >= 0.05


def test_a_shifted_clip_can_be_seen(clips_of):
  """The shifted domain is not just dark: the person differs from the background."""
  contrast = []
  for clip in clips_of["shifted"]:
    for frame, mask in zip(clip["frames"], clip["mask"], strict=True):
      ring = cv2.dilate(mask.astype(np.uint8), np.ones((9, 9))) > mask
      if mask.sum() > 40:
        contrast.append(np.abs(frame[mask].mean(0) - frame[ring].mean(0)).max())
  assert np.median(contrast) > 8
