import os

import cv2
import numpy as np
import pytest

from mhmr_jax.errors import InputError
from mhmr_jax.flow.dis import DisFlow
from mhmr_jax.synth import backgrounds, camera

SIZE, FRAMES = 96, 12


def _camera(turn: float = 0.0, move: float = 0.0) -> camera.CameraPath:
  """A camera that turns right by `turn` rad and moves right by `move` metres."""
  steps = np.arange(FRAMES) / (FRAMES - 1)
  c, s = np.cos(turn * steps), np.sin(turn * steps)
  R = np.tile(np.eye(3, dtype=np.float32), (FRAMES, 1, 1))
  R[:, 0, 0], R[:, 0, 2], R[:, 2, 0], R[:, 2, 2] = c, -s, s, c
  t = np.zeros((FRAMES, 3), np.float32)
  t[:, 0] = -move * steps
  K = np.array([[120, 0, SIZE / 2], [0, 120, SIZE / 2], [0, 0, 1]], np.float32)
  return camera.CameraPath(R, t, K)


def _film(path: camera.CameraPath, seed: int = 0) -> backgrounds.Background:
  rng = np.random.default_rng(seed)
  media = backgrounds.Generated().draw(rng, "train", FRAMES, SIZE)
  return backgrounds.film(rng, media, path, 3.0, SIZE)


@pytest.mark.parametrize("seed", range(4))
def test_flow_is_the_pictures_motion(seed):
  background = _film(_camera(0.1, 0.2), seed)
  assert np.abs(background.flow(0)).max() < 1e-3
  grey = [cv2.cvtColor(f, cv2.COLOR_RGB2GRAY).astype(float) for f in background.frames]
  y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
  for t in (1, FRAMES - 1):
    flow = background.flow(t)
    assert np.abs(flow).max() > 0.05
    # Each pixel is where the flow leads, up to errors of resampling.
    moved = cv2.remap(
      grey[t].astype(np.float32), x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR
    )
    inner = np.s_[10:-10, 10:-10]
    still = np.abs(grey[t] - grey[t - 1])[inner].mean()
    assert np.abs(moved - grey[t - 1])[inner].mean() < 0.4 * still + 0.3


def test_flow_agrees_with_dis():
  background = _film(_camera(0.15))
  estimate = DisFlow("medium")(background.frames[5], background.frames[6])
  error = np.linalg.norm(estimate - background.flow(6), axis=-1)[8:-8, 8:-8]
  assert np.median(error) < 0.2


def test_turning_the_camera_right_moves_the_background_left():
  path = _camera(turn=0.2)
  seen = path.plane_motion(10.0)
  step = seen[-1] @ np.linalg.inv(seen[0])
  middle = np.array([SIZE / 2, SIZE / 2, 1])
  u = (step @ middle)[0] / (step @ middle)[2] - SIZE / 2
  assert u == pytest.approx(-120 * np.tan(0.2), rel=1e-3)
  # A plane shows parallax: 120 px * 1 m / 10 m.
  aside = _camera(move=1.0).plane_motion(10.0)
  step = aside[-1] @ np.linalg.inv(aside[0])
  assert (step @ middle)[0] - SIZE / 2 == pytest.approx(-12, abs=1e-3)


def _fill(folder, pictures: int = 6) -> None:
  rng = np.random.default_rng(0)
  (folder / "class a").mkdir(parents=True)
  for i in range(pictures):
    picture = np.full((90 + 40 * i, 120, 3), rng.integers(0, 255, 3), np.uint8)
    cv2.imwrite(str(folder / "class a" / f"{i}.jpg"), picture)


def _write_video(path, frames: int, codec: str = "mp4v", fps: float = 30) -> None:
  writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, (64, 48))
  assert writer.isOpened()
  for i in range(frames):
    writer.write(np.full((48, 64, 3), 10 * i, np.uint8))
  writer.release()


def test_splits_of_a_folder_are_disjoint_and_whole(tmp_path):
  _fill(tmp_path, 10)
  folder = backgrounds.open_backgrounds(str(tmp_path))
  train, test = set(folder.files["train"]), set(folder.files["test"])
  assert not train & test
  assert len(train) == 8
  assert len(test) == 2
  again = backgrounds.open_backgrounds(str(tmp_path) + "/")
  assert again.files == folder.files


def test_unreadable_files_are_passed_over_and_named(tmp_path):
  _fill(tmp_path, 2)
  for name in ("broken.mp4", "torn.jpg", "empty.png"):
    (tmp_path / name).write_bytes(b"no picture" if name != "empty.png" else b"")
  folder = backgrounds.open_backgrounds(str(tmp_path))
  everything = tuple(f for files in folder.files.values() for f in files)
  folder = backgrounds.Folder(tmp_path, {"train": everything})
  skipped = set()
  for seed in range(20):
    media = folder.draw(np.random.default_rng(seed), "train", FRAMES, SIZE)
    assert len(media.pictures) == 1
    skipped.update(media.skipped)
  assert skipped == {"broken.mp4", "torn.jpg", "empty.png"}


def test_folders_that_cannot_do(tmp_path):
  with pytest.raises(InputError, match="nowhere does not exist"):
    backgrounds.open_backgrounds(str(tmp_path / "nowhere"))
  with pytest.raises(InputError, match=str(tmp_path)):
    backgrounds.open_backgrounds(str(tmp_path))
  for name in ("a.jpg", "b.mp4"):
    (tmp_path / name).write_bytes(b"nothing")
  folder = backgrounds.open_backgrounds(str(tmp_path))
  with pytest.raises(InputError, match=r"None of the 1 .* train split"):
    folder.draw(np.random.default_rng(0), "train", FRAMES, SIZE)


def test_videos_run_and_short_ones_run_back(tmp_path):
  _write_video(tmp_path / "a.mp4", 5)
  folder = backgrounds.Folder(tmp_path, {"train": ("a.mp4",)})
  media = folder.draw(np.random.default_rng(0), "train", FRAMES, SIZE)
  levels = [round(float(picture.mean()) / 10) for picture in media.pictures]
  assert levels == [0, 1, 2, 3, 4, 3, 2, 1, 0, 1, 2, 3]
  background = backgrounds.film(np.random.default_rng(1), media, _camera(), 3.0, SIZE)
  assert not background.is_still
  # A still camera sees no motion of the plane; the video's own is not known.
  assert np.abs(background.flow(3)).max() < 1e-3


def _levels(folder, name: str, seed: int, frames: int = 5) -> list[int]:
  media = backgrounds.Folder(folder, {"train": (name,)}).draw(
    np.random.default_rng(seed), "train", frames, SIZE
  )
  return [round(float(picture.mean()) / 10) for picture in media.pictures]


@pytest.mark.parametrize(
  ("name", "codec"),
  [("a.mp4", "mp4v"), ("b.avi", "MJPG"), ("c.mkv", "XVID"), ("d.webm", "VP80")],
)
def test_any_codec_from_any_place(tmp_path, name, codec):
  _write_video(tmp_path / name, 25, codec)
  starts = set()
  for seed in range(8):
    levels = _levels(tmp_path, name, seed)
    assert levels == list(range(levels[0], levels[0] + 5))
    starts.add(levels[0])
  assert len(starts) > 3
  assert max(starts) > 8


def test_fast_videos_are_thinned_to_30_frames_a_second(tmp_path):
  _write_video(tmp_path / "a.mp4", 20, fps=60)
  levels = _levels(tmp_path, "a.mp4", 0)
  assert levels == list(range(levels[0], levels[0] + 10, 2))


def test_frame_counts_may_lie(tmp_path, monkeypatch):
  """The header of an AVI file is made to claim a million frames."""
  _write_video(tmp_path / "a.avi", 5, "MJPG")
  data = bytearray((tmp_path / "a.avi").read_bytes())
  stream = data.index(b"strh") + 8
  data[stream + 32 : stream + 36] = (10**6).to_bytes(4, "little")
  (tmp_path / "a.avi").write_bytes(data)
  video = cv2.VideoCapture(str(tmp_path / "a.avi"))
  assert video.get(cv2.CAP_PROP_FRAME_COUNT) > 10**5
  video.release()
  for seed in range(3):
    assert _levels(tmp_path, "a.avi", seed) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
  ("claim", "taken"),
  [(np.nan, 0), (np.inf, 8), (-9.2e18, 0), (1e300, 8), (0.0, 0), (5.0, 5)],
)
def test_claims_that_are_no_numbers(claim, taken):
  assert round(backgrounds._bounded(claim, 8.0)) == taken


def test_frames_too_large_are_not_decoded(tmp_path, monkeypatch):
  _write_video(tmp_path / "a.mp4", 5)
  monkeypatch.setattr(backgrounds, "_MAX_PIXELS", 64 * 48 - 1)
  folder = backgrounds.Folder(tmp_path, {"train": ("a.mp4",)})
  with pytest.raises(InputError, match="None of the 1 "):
    folder.draw(np.random.default_rng(0), "train", FRAMES, SIZE)


def test_long_pictures_are_cut(tmp_path):
  cv2.imwrite(str(tmp_path / "a.png"), np.zeros((40, 4000, 3), np.uint8))
  folder = backgrounds.Folder(tmp_path, {"train": ("a.png",)})
  (picture,) = folder.draw(np.random.default_rng(0), "train", FRAMES, SIZE).pictures
  assert picture.shape == (40, 120, 3)


def test_many_files_are_listed_and_few_are_tried(tmp_path):
  """Kinetics' layout: classes whose names have spaces, and files of ten seconds."""
  for kind in range(30):
    folder = tmp_path / "train" / f"class {kind} (of 30)"
    folder.mkdir(parents=True)
    for clip in range(100):
      (folder / f"-{kind}_{clip:06d}_000010.mp4").touch()
    (folder / "list.csv").touch()
  os.mkfifo(tmp_path / "pipe.mp4")  # To open it would wait for ever.
  (tmp_path / "folder.mp4").mkdir()
  (tmp_path / "loop").symlink_to(tmp_path)
  folder = backgrounds.open_backgrounds(str(tmp_path))
  assert sum(map(len, folder.files.values())) == 3000
  with pytest.raises(InputError, match=r"None of the 64 .* test split"):
    folder.draw(np.random.default_rng(0), "test", FRAMES, SIZE)
