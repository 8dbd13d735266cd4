"""What people look like: skin, hair and cloth, and the light that falls on them."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8, UInt32

from mhmr_jax.synth import regions, textures
from mhmr_jax.synth.regions import Region

Rng = np.random.Generator

_TILE = 128  # Pixels of a tile's side; a power of two, so that & wraps.
# Indices on and above the diagonal of a quadratic form of four variables.
_UPPER = [(i, j) for i in range(4) for j in range(i, 4)]
# sRGB, from light to dark; a person's skin lies between two neighbours.
_SKIN = np.array(
  [[250, 221, 200], [233, 190, 157], [201, 150, 115], [150, 100, 70], [78, 50, 38]]
)
_HAIR = np.array([[20, 16, 15], [58, 40, 28], [110, 72, 40], [190, 150, 95], [165] * 3])


@runtime_checkable
class Light(Protocol):
  """The light around people; it is fixed in the world."""

  def shade(self, normals: Float[np.ndarray, "V 3"]) -> Float[np.ndarray, "V 3"]:
    """Factors for the sRGB colours of surfaces with these unit normals."""


class SkyLight(NamedTuple):
  """Light in second-order spherical harmonics, as a quadratic form of the normal.

  Diffusely reflected light is [n 1] M [n 1]^T for each colour, up to about a percent
  (Ramamoorthi & Hanrahan, "An efficient representation for irradiance environment
  maps", 2001).
  """

  matrix: Float[np.ndarray, "3 4 4"]

  def shade(self, normals: Float[np.ndarray, "V 3"]) -> Float[np.ndarray, "V 3"]:
    """Factors for sRGB colours, about 0 to 1.2; the gamma is taken to be 2."""
    n = np.append(normals.T, np.ones((1, len(normals)), np.float32), 0)
    products = np.empty((len(_UPPER), len(normals)), np.float32)
    for product, (row, column) in zip(products, _UPPER, strict=True):
      np.multiply(n[row], n[column], out=product)
    # The form is symmetric, so that entries off its diagonal count twice.
    twice = np.array([1 if i == j else 2 for i, j in _UPPER], np.float32)
    light = (self.matrix[:, *np.transpose(_UPPER)] * twice) @ products
    return np.sqrt(np.maximum(light, np.float32(0.01))).T


class Style(NamedTuple):
  """The distributions that a person's looks are drawn from."""

  skin: Int[np.ndarray, "tones 3"]  # sRGB, from light to dark.
  hair: Int[np.ndarray, "tones 3"]
  # Draws a tile of cloth from a stream, given its side in pixels: RGB, 0 to 1.
  cloth: Callable[[Rng, int], Float[np.ndarray, "side side 3"]]
  light: Callable[[Rng], Light]


class Appearance(NamedTuple):
  """One person's looks."""

  region: Int[np.ndarray, "V"]
  swell: Float[np.ndarray, "V"]  # Metres by which hair and cloth lie off the skin.
  tiles: UInt8[np.ndarray, "regions 128 128 4"]  # RGB and an unused channel.
  texels: Float[np.ndarray, "V 2"]  # Each vertex's place on its region's tile.
  density: Float[np.ndarray, "regions"]  # Texels a metre.
  light: Light

  def at_resolution(self, pixels: float) -> "Coat":
    """Blurs the tiles for an image with so many pixels a metre.

    Drawing looks up one texel for each pixel, so patterns finer than that would
    flicker.
    """
    soft = np.empty_like(self.tiles)
    for tile, blurred, density in zip(self.tiles, soft, self.density, strict=True):
      # The standard deviation of a pixel's width, and half as much again for softness.
      cv2.GaussianBlur(tile, (0, 0), max(0.45 * density / pixels, 0.1), blurred)
    return Coat(self.region, soft.view(np.uint32).ravel(), self.texels, self.light)


class Coat(NamedTuple):
  """A person's looks, ready to be drawn at one resolution."""

  region: Int[np.ndarray, "V"]
  tiles: UInt32[np.ndarray, "texels"]  # The four channels of a texel as one number.
  texels: Float[np.ndarray, "V 2"]
  light: Light

  def vertex_values(
    self, normals: Float[np.ndarray, "V 3"]
  ) -> tuple[Float[np.ndarray, "V"], ...]:
    """Five values of each vertex to interpolate for `colour`: texel x, y and light RGB.

    Args:
      normals: unit normals in the world's frame, where the light is fixed.
    """
    return (*self.texels.T, *self.light.shade(normals).T)

  def colour(
    self, values: Sequence[Float[np.ndarray, "n"]], nearest: Int[np.ndarray, "n"]
  ) -> list[Float[np.ndarray, "n"]]:
    """The sRGB colours, 0 to 255, at n points of the surface; an array a channel.

    Args:
      values: interpolated values of `vertex_values`.
      nearest: the vertex nearest to each point.
    """
    column, row = (values[i].astype(np.int32) & (_TILE - 1) for i in (1, 0))
    texel = (self.region.take(nearest) * _TILE + row) * _TILE + column
    # The same as tiles[region, row, column], but eight times as fast.
    reflectance = self.tiles.take(texel).view(np.uint8).reshape(-1, 4)
    return [reflectance[:, i] * values[2 + i] for i in range(3)]


def sample(
  rng: Rng, body_map: regions.BodyMap, style: Style | None = None
) -> Appearance:
  """Draws a person's looks; style None means `USUAL`."""
  style = style or USUAL
  region = regions.dress(body_map, _sample_outfit(rng))
  tiles = np.zeros((len(Region), _TILE, _TILE, 4), np.uint8)
  skin = _between(rng, style.skin, spread=6.0)
  _grainy(rng, tiles[Region.SKIN], skin, 0.1, persistence=0.5)
  hair = _between(rng, style.hair, spread=8.0)
  _grainy(rng, tiles[Region.HAIR], hair, 0.35, persistence=0.9)
  for garment in (Region.TOP, Region.BOTTOM, Region.SHOES):
    cloth = cv2.convertScaleAbs(style.cloth(rng, _TILE), alpha=255)
    cv2.cvtColor(cloth, cv2.COLOR_RGB2RGBA, tiles[garment])
  if rng.random() < 0.15:  # A dress, an overall, a tracksuit.
    tiles[Region.BOTTOM] = tiles[Region.TOP]
  tiles[Region.EYES] = 40
  tiles[Region.LIPS, ..., :3] = skin * [0.85, 0.6, 0.6]
  swell = np.zeros(len(Region), np.float32)
  swell[Region.HAIR] = rng.uniform(0.004, 0.035)
  swell[[Region.TOP, Region.BOTTOM]] = rng.uniform(0, 0.022, 2)
  swell[Region.SHOES] = rng.uniform(0.003, 0.012)
  # Tiles repeat after 0.5 to 1.2 metres, in each region from another corner.
  density = _TILE / rng.uniform(0.5, 1.2, len(Region))
  corner = rng.uniform(0, _TILE, (len(Region), 2))[region]
  texels = (body_map.texture * density[region, None] + corner).astype(np.float32)
  return Appearance(region, swell[region], tiles, texels, density, style.light(rng))


def _sample_outfit(rng: Rng) -> regions.Outfit:
  sleeves = [rng.uniform(-0.1, 0.1), rng.uniform(0.4, 0.9), rng.uniform(1.3, 2.05)]
  trousers = [rng.uniform(0.3, 0.95), rng.uniform(1.1, 1.6), rng.uniform(1.8, 2.05)]
  return regions.Outfit(
    sleeve=rng.choice(sleeves, p=[0.15, 0.45, 0.4]),
    trousers=rng.choice(trousers, p=[0.35, 0.1, 0.55]),
    waist=rng.uniform(-0.12, 0.2),
    collar=rng.uniform(0.78, 1.0),
    shoe=rng.choice([rng.uniform(1.8, 2.1), 9.0], p=[0.85, 0.15]),
    hairline=rng.choice([rng.uniform(0.5, 0.75), 2.0], p=[0.92, 0.08]),
    long_hair=rng.random() < 0.35,
  )


def _between(rng: Rng, colours: np.ndarray, spread: float) -> np.ndarray:
  """Draws a colour between two neighbours of a row, with some noise."""
  place = rng.uniform(0, len(colours) - 1)
  index = np.arange(len(colours))
  colour = [np.interp(place, index, channel) for channel in colours.T]
  return np.clip(colour + rng.normal(0, spread, 3), 8, 255)


def _grainy(
  rng: Rng, tile: np.ndarray, colour: np.ndarray, amount: float, persistence: float
) -> None:
  """Fills a tile with a colour and noise of `amount` times the colour."""
  noise = textures.octave_noise(rng, (_TILE, _TILE), persistence=persistence)
  noise *= np.float32(amount)
  noise += 1
  planes = [cv2.convertScaleAbs(noise, alpha=channel) for channel in colour]
  cv2.merge([*planes, planes[0]], tile)


def sample_light(rng: Rng) -> SkyLight:
  """Draws ambient light, light from the sky, and one to three lamps."""
  matrix = np.zeros((3, 4, 4))
  matrix[:, 3, 3] = rng.uniform(0.2, 0.55) * _tint(rng, 0.1)
  # The sky's light is proportional to (1 + n_y) / 2.
  sky = rng.uniform(0, 0.4) * _tint(rng, 0.1) / 2
  matrix[:, 3, 3] += sky
  matrix[:, 1, 3] += sky / 2
  matrix[:, 3, 1] += sky / 2
  for strongest in (1.1, 0.5, 0.3)[: rng.integers(1, 4)]:
    direction = rng.normal([0, 0.7, 0], 1)
    direction /= np.linalg.norm(direction)
    colour = rng.uniform(0.3, 1) * strongest * _tint(rng, 0.15)
    matrix += colour[:, None, None] * _from(direction)
  return SkyLight(matrix.astype(np.float32))


def _from(direction: Float[np.ndarray, "3"]) -> Float[np.ndarray, "4 4"]:
  """The form of max(0, n . d) to second order, 3/32 + (n . d)/2 + 15/32 (n . d)^2."""
  form = np.zeros((4, 4))
  form[:3, :3] = 15 / 32 * np.outer(direction, direction)
  form[3, :3] = form[:3, 3] = direction / 4
  form[3, 3] = 3 / 32
  return form


def _tint(rng: Rng, spread: float) -> Float[np.ndarray, "3"]:
  """Draws a light's colour between warm and cold."""
  return 1 + rng.normal(0, spread) * np.array([1.0, 0.1, -1.0])


USUAL = Style(_SKIN, _HAIR, textures.cloth, sample_light)
