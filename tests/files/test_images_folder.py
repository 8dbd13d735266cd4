"""A folder of images as a video."""

import numpy as np
import pytest
from PIL import Image

from mhmr_jax.errors import InputError
from mhmr_jax.files import video


def _write(folder, name, level, size=(64, 48), **options):
  Image.new("RGB", size, (level, 0, 0)).save(folder / name, **options)


@pytest.fixture
def folder(tmp_path):
  for number in (1, 2, 10):
    _write(tmp_path, f"{number}.png", 10 * number)
  return tmp_path


def test_images_are_frames_in_the_order_of_their_numbers(folder):
  (folder / "._1.png").write_bytes(b"macOS")
  (folder / "notes.txt").write_text("no image")
  info = video.probe(folder, 10.0)
  assert info[:4] == (64, 48, 10.0, 3)
  np.testing.assert_allclose(info.times, [0, 0.1, 0.2])
  frames = list(video.read_frames(folder))
  assert [frame[0, 0].tolist() for frame in frames] == [
    [x, 0, 0] for x in (10, 20, 100)
  ]
  assert frames[0].shape == (48, 64, 3)


def test_turned_photos_are_upright(tmp_path):
  exif = Image.Exif()
  exif[0x0112] = 6  # The camera was held upright.
  picture = np.zeros((48, 64, 3), np.uint8)
  picture[:24] = 255
  Image.fromarray(picture).save(tmp_path / "1.jpg", exif=exif, quality=95)
  assert video.probe(tmp_path, 30.0)[:2] == (48, 64)
  (frame,) = video.read_frames(tmp_path)
  assert frame.shape == (64, 48, 3)
  np.testing.assert_allclose(frame[:, 30:], 255, atol=5)


def test_the_rate_has_to_be_named(folder):
  with pytest.raises(InputError, match=r"is a folder: say by --fps"):
    video.probe(folder)
  with pytest.raises(InputError, match=r"--fps=0: give a rate above 0"):
    video.probe(folder, 0.0)


def test_a_folder_without_images(tmp_path):
  with pytest.raises(InputError, match=r"has no images: --video names a video, or"):
    video.probe(tmp_path, 30.0)


def test_images_of_two_sizes(folder):
  _write(folder, "3.png", 30, (32, 48))
  with pytest.raises(
    InputError, match=r"3\.png has 32x48 pixels, but 1\.png has 64x48"
  ):
    list(video.read_frames(folder))


def test_a_file_that_is_no_image(folder):
  (folder / "5.jpg").write_bytes(b"no image")
  with pytest.raises(InputError, match=r"5\.jpg cannot be read as an image"):
    list(video.read_frames(folder))


def test_a_huge_image_is_refused_by_its_header(tmp_path):
  Image.new("1", (7000, 6000)).save(tmp_path / "1.png")
  with pytest.raises(InputError, match="7000x6000 pixels, more than 36 million"):
    video.probe(tmp_path, 30.0)
  with pytest.raises(InputError, match="more than 36 million"):
    next(video.read_frames(tmp_path))
