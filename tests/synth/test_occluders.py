import cv2
import numpy as np
import pytest

from mhmr_jax.synth import camera, occluders, textures

SIZE, FRAMES = 128, 24


def _camera(turn: float = 0.0) -> camera.CameraPath:
  """A camera that turns by `turn` radians in total."""
  angle = np.linspace(0, turn, FRAMES)
  R = np.tile(np.eye(3, dtype=np.float32), (FRAMES, 1, 1))
  R[:, 0, 0] = R[:, 2, 2] = np.cos(angle)
  R[:, 0, 2], R[:, 2, 0] = -np.sin(angle), np.sin(angle)
  K = np.array([[180, 0, SIZE / 2], [0, 180, SIZE / 2], [0, 0, 1]], np.float32)
  return camera.CameraPath(R, np.zeros((FRAMES, 3), np.float32), K)


def _joints() -> np.ndarray:
  """24 joints of a person who stands in the middle, in pixels."""
  rng = np.random.default_rng(0)
  points = rng.uniform([48, 24], [80, 104], (24, 2))
  return np.tile(points, (FRAMES, 1, 1)).astype(np.float32)


def _sample(seed: int, turn: float = 0.0) -> list[occluders.Occluder]:
  rng = np.random.default_rng(seed)
  picture = textures.scene(rng, 100)
  return occluders.sample(rng, picture, _camera(turn), 4.0, _joints(), SIZE)


@pytest.fixture(scope="module")
def pieces():
  return [piece for seed in range(30) for piece in _sample(seed, turn=0.1)]


def test_a_piece_is_one_part_of_the_picture_at_its_place_in_it():
  # The colour of every pixel encodes its place.
  y, x = np.mgrid[:180, :180]
  picture = np.stack([x, y, (x // 20 + y // 20) % 2 * 200], -1).astype(np.uint8)
  superpixels = occluders._Superpixels(picture)
  shares = []
  for seed in range(20):
    cut = superpixels.cut(np.random.default_rng(seed))
    inside = cut[..., 3] == 1
    solid = (cut[..., 3] > 0.5).astype(np.uint8)
    _, _, parts, _ = cv2.connectedComponentsWithStats(solid)
    # Part 0 is the background; the smoothed outline may lose small fragments.
    assert parts[1:, cv2.CC_STAT_AREA].max() > 0.9 * solid.sum()
    shares.append((cut[..., 3] > 0.5).sum() / picture[..., 0].size)
    row, column = np.nonzero(inside)
    offset = cut[row, column, :2] - np.stack([column, row], -1)
    assert np.ptp(offset, axis=0).max() == 0
    # The piece consists of whole superpixels, except for their outline.
    x, y = (cut[row, column, :2] * 96 / 180).astype(int).T
    of_label = np.bincount(superpixels._labels[y, x]) * (96 / 180) ** 2
    whole = np.bincount(superpixels._labels.ravel(), minlength=len(of_label))
    assert of_label[(share := of_label / whole[: len(of_label)]) < 0.3].sum() < 0.1 * (
      of_label[share > 0.3].sum()
    )
  assert min(shares) < 0.03 < 0.06 < max(shares) < 0.4


_STRIPES = np.repeat(np.arange(120)[:, None] % 3 * 120, 90, 1)


@pytest.mark.parametrize(
  "grey",
  [
    np.zeros((7, 9)),
    np.full((60, 80), 255),
    np.random.default_rng(0).integers(0, 256, (150, 110)),
    _STRIPES,
    _STRIPES.T,
  ],
  ids=["tiny", "flat", "noise", "stripes", "bars"],
)
def test_any_picture_can_be_cut(grey):
  picture = np.repeat(grey[..., None], 3, -1).astype(np.uint8)
  superpixels = occluders._Superpixels(picture)
  for seed in range(20):
    cut = superpixels.cut(np.random.default_rng(seed))
    assert np.isfinite(cut).all()
    assert cut[..., 3].max() > 0.5
    assert cut[..., 0].max() <= 255


def test_pieces_end_at_the_pictures_edges():
  """A single superpixel of a picture with two halves lies in one of them."""
  picture = np.zeros((96, 96, 3), np.uint8)
  slope = np.add.outer(np.arange(96), 0.4 * np.arange(96)) > 70
  picture[slope] = [200, 60, 30]
  superpixels = occluders._Superpixels(picture)
  for label in range(len(superpixels._touch)):
    share = slope[superpixels._labels == label].mean()
    assert min(share, 1 - share) < 0.12


def test_they_pass_before_the_person_on_smooth_paths(pieces):
  assert len(pieces) > 30
  person = _joints()[0]
  low, high = person.min(0), person.max(0)
  for piece in pieces:
    middle = np.array([*np.array(piece.rgba.shape[1::-1]) / 2, 1])
    x, y, depth = (piece.place @ middle).T
    centre = np.stack([x / depth, y / depth], -1)
    assert np.abs(np.diff(centre, 2, axis=0)).max() < 0.05 * SIZE
    met = ((centre > low - 1) & (centre < high + 1)).all(1)
    assert met.any()


def test_some_enter_and_leave_and_they_are_several(pieces):
  tracks = [piece.film(SIZE) for piece in pieces]
  away = np.array([[patch is None for patch in track] for track in tracks])
  for end in (away[:, 0], away[:, -1]):
    assert 0.02 < end.mean() < 0.4
  counts = [len(_sample(seed)) for seed in range(60)]
  assert set(counts) == {0, 1, 2, 3, 4}


def test_flow_is_the_motion_of_points_of_the_piece(pieces):
  """Points of the piece are projected one by one, without the formula of the flow."""
  fastest = 0.0
  for piece in pieces[:20]:
    track = piece.film(SIZE)
    rows, columns = piece.rgba.shape[:2]
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 1, (400, 2)) * [columns, rows]
    homogeneous = np.append(points, np.ones((400, 1)), 1)
    for t in range(FRAMES - 1):
      patch = track[t]
      if patch is None:
        continue
      now, after = (
        (moved := homogeneous @ piece.place[time].T)[:, :2] / moved[:, 2:]
        for time in (t, t + 1)
      )
      place = np.floor(now).astype(int)
      x0, y0, x1, y1 = patch.window
      near = np.abs(now - place - 0.5).max(1) < 0.2
      near &= ((place >= [x0, y0]) & (place < [x1, y1])).all(1)
      column, row = (place[near] - [x0, y0]).T
      error = patch.flow[row, column] - (after - now)[near]
      assert np.abs(error).max(initial=0) < 0.05
      fastest = max(fastest, np.abs(after - now)[near].max(initial=0))
  assert fastest > 2


def test_flow_finds_the_next_frames_pixels(pieces):
  """The rendered colours move as the flow says."""
  checked = 0
  for piece in pieces:
    first, second = piece.film(SIZE)[10:12]
    if first is None or second is None or first.mask.sum() < 200:
      continue
    whole = np.zeros((SIZE, SIZE, 4), np.float32)
    whole[second.window.slices] = second.rgba
    row, column = np.mgrid[
      first.window.y0 : first.window.y1, first.window.x0 : first.window.x1
    ].astype(np.float32)
    moved = cv2.remap(
      whole, column + first.flow[..., 0], row + first.flow[..., 1], cv2.INTER_LINEAR
    )
    inner = cv2.erode(first.mask.astype(np.uint8), np.ones((5, 5))) > 0
    inner &= moved[..., 3] > 0.99
    if inner.sum() > 100:
      checked += 1
      assert np.abs(moved - first.rgba)[inner, :3].mean() < 12
  assert checked > 10


def test_a_piece_in_the_world_moves_with_the_camera():
  """Some pieces are not moved by the camera, and the others move with the world."""

  def drift(piece):
    middle = np.array([*np.array(piece.rgba.shape[1::-1]) / 2, 1])
    start, end = (piece.place[t] @ middle for t in (0, -1))
    return end[0] / end[2] - start[0] / start[2]

  turning = [drift(p) for seed in range(20) for p in _sample(seed, turn=0.4)]
  still = [drift(p) for seed in range(20) for p in _sample(seed)]
  change = np.array(turning) - still
  # A turn of 0.4 rad at this focal length is 76 pixels to the left.
  assert 0.25 < (np.abs(change) < 1).mean() < 0.75
  assert 0.25 < ((change < -50) & (change > -140)).mean() < 0.75
