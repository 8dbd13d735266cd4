import cv2
import numpy as np
import pytest

from mhmr_jax.errors import InputError
from mhmr_jax.flow import dis


def _textured(seed: int = 0) -> np.ndarray:
  noise = np.random.default_rng(seed).normal(0, 1, (96, 128, 3)).astype(np.float32)
  smooth = cv2.GaussianBlur(noise, (0, 0), 2)
  return cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


@pytest.mark.parametrize("preset", list(dis.PRESETS))
def test_recovers_a_shift_to_the_right_and_up(preset):
  image = _textured()
  matrix = np.array([[1, 0, 2.0], [0, 1, -1.0]])
  following = cv2.warpAffine(image, matrix, (128, 96), borderMode=cv2.BORDER_REFLECT)
  flow = dis.DisFlow(preset)(image, following)
  assert flow.shape == (96, 128, 2)
  assert flow.dtype == np.float32
  inner = flow[10:-10, 10:-10].reshape(-1, 2)
  np.testing.assert_allclose(np.median(inner, 0), [2, -1], atol=0.3)


def test_grey_images_and_calls_do_not_depend_on_each_other():
  image, following = _textured(0)[..., 0], _textured(1)[..., 0]
  estimate = dis.DisFlow("fast")
  first = estimate(image, following)
  estimate(following, image)
  np.testing.assert_array_equal(estimate(image, following), first)


def test_unknown_preset():
  with pytest.raises(InputError, match="slow"):
    dis.DisFlow("slow")
