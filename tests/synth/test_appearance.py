import numpy as np
import pytest

from mhmr_jax.body import joints
from mhmr_jax.synth import appearance, regions, skinning, textures
from mhmr_jax.synth.regions import Region


@pytest.fixture(scope="module")
def body():
  return skinning.load()


@pytest.fixture(scope="module")
def body_map(body):
  return regions.map_body(body)


def _outfit(**changes):
  outfit = dict(
    sleeve=0.6, trousers=1.9, waist=0.0, collar=0.9, shoe=1.9, hairline=0.6,
    long_hair=False,
  )  # fmt: skip
  return regions.Outfit(**{**outfit, **changes})


def test_clothes_lie_where_they_should(body, body_map):
  region = regions.dress(body_map, _outfit())
  assert set(region) == set(Region)
  part = {name: body.part == i for i, name in enumerate(joints.SMPL_JOINTS)}
  assert (region[part["left_hand"] | part["right_hand"]] == Region.SKIN).all()
  assert (region[part["spine2"]] == Region.TOP).all()
  assert (region[part["left_knee"]] == Region.BOTTOM).mean() > 0.8
  assert (region[part["left_foot"] | part["right_foot"]] == Region.SHOES).all()
  height = body.v_template[:, 1]
  hair = region == Region.HAIR
  assert height[hair].min() > height[part["neck"]].min()
  assert hair[height.argmax()]


def test_sleeves_and_trousers_have_lengths(body, body_map):
  forearm = body.part == joints.SMPL_JOINTS.index("left_elbow")
  shin = body.part == joints.SMPL_JOINTS.index("right_knee")
  short = regions.dress(body_map, _outfit(trousers=0.5))
  long = regions.dress(body_map, _outfit(sleeve=2.1))
  assert (short[forearm] == Region.SKIN).all()
  assert (long[forearm] == Region.TOP).all()
  assert (short[shin] == Region.SKIN).mean() > 0.8


def test_the_face_is_in_front_and_left_free(body, body_map):
  region = regions.dress(body_map, _outfit(hairline=0.5, long_hair=True))
  depth = body.v_template[:, 2]
  head = body.part == joints.SMPL_JOINTS.index("head")
  for feature in (Region.EYES, Region.LIPS):
    assert (region == feature).sum() >= 2
    assert depth[region == feature].min() > np.median(depth[head])


def test_light_is_the_cosine_law_to_second_order():
  direction = np.array([0.6, 0.0, 0.8])
  rng = np.random.default_rng(0)
  normals = rng.normal(0, 1, (2000, 3))
  normals /= np.linalg.norm(normals, axis=1, keepdims=True)
  form = appearance._from(direction)
  light = appearance.SkyLight(np.tile(form, (3, 1, 1)).astype(np.float32))
  shade = light.shade(normals.astype(np.float32))[:, 0] ** 2
  expected = np.maximum(normals @ direction, 0.01)
  assert np.abs(shade - expected).mean() < 0.03
  assert np.abs(shade - expected).max() < 0.12


def test_people_differ_and_the_same_stream_repeats(body_map):
  looks = [appearance.sample(np.random.default_rng(s), body_map) for s in (0, 0, 1)]
  for first, second in zip(looks[0][:4], looks[1][:4], strict=True):
    np.testing.assert_array_equal(first, second)
  first, other = (looks[i].tiles[..., :3].astype(int) for i in (0, 2))
  assert np.abs(first - other).mean() > 5


def test_scenes_have_the_spectrum_of_video():
  slopes = []
  for seed in range(8):
    grey = textures.scene(np.random.default_rng(seed), 256).mean(2)
    power = np.abs(np.fft.fft2(grey - grey.mean())) ** 2
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256)))
    band = (frequency > 0.02) & (frequency < 0.25)
    slopes.append(np.polyfit(np.log(frequency[band]), np.log(power[band] + 1), 1)[0])
  # Photographs have about -2, and frames of compressed video -3 to -4.
  assert -4.5 < np.mean(slopes) < -2


def test_cloth_is_reflectance():
  tiles = [textures.cloth(np.random.default_rng(seed), 64) for seed in range(12)]
  for tile in tiles:
    assert tile.shape == (64, 64, 3)
    assert tile.min() > 0
    assert tile.max() <= 1
  assert len({round(float(tile.std()), 4) for tile in tiles}) == 12
