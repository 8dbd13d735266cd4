import numpy as np

from mhmr_jax.body import smpl
from mhmr_jax.motion import library
from mhmr_jax.visualize import body_sheet


def test_every_cell_shows_a_whole_body(monkeypatch):
  monkeypatch.setattr(body_sheet, "COLUMNS", 2)
  monkeypatch.setattr(body_sheet, "SHAPE_ROWS", 1)
  monkeypatch.setattr(body_sheet, "POSE_ROWS", 1)
  sheet = body_sheet.draw(smpl.load(), library.open_motions(""))
  height, width = body_sheet.CELL
  assert sheet.shape == (2 * height, 2 * width, 3)
  for cell in (
    sheet.reshape(2, height, 2, width, 3).swapaxes(1, 2).reshape(-1, height, width, 3)
  ):
    drawn = (cell != body_sheet.BACKGROUND).any(-1)
    assert 0.03 < drawn.mean() < 0.4
    inner = drawn[1:-1, 1:-1]
    assert inner.sum() == drawn.sum()
    assert not np.array_equal(inner, inner[:, ::-1])
