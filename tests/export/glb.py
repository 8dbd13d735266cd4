"""Reads the bodies of a .glb by the letter of glTF 2.0, with no library of glTF's."""

import json
import pathlib
import struct
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

_TYPES = {5121: np.uint8, 5125: np.uint32, 5126: np.float32}
_SHAPES = {"SCALAR": (), "VEC3": (3,), "VEC4": (4,), "MAT4": (4, 4)}


class Glb(NamedTuple):
  """The JSON of a file and its accessors' arrays."""

  content: dict
  arrays: list[np.ndarray]


def read(path: pathlib.Path) -> Glb:
  data = path.read_bytes()
  magic, version, length, json_length, kind = struct.unpack_from("<4sIII4s", data)
  assert (magic, version, length, kind) == (b"glTF", 2, len(data), b"JSON")
  content = json.loads(data[20 : 20 + json_length])
  size, kind = struct.unpack_from("<I4s", data, 20 + json_length)
  binary = data[28 + json_length :]
  assert (kind, size) == (b"BIN\0", len(binary))
  assert content["buffers"][0]["byteLength"] <= size
  arrays = []
  for accessor in content["accessors"]:
    view = content["bufferViews"][accessor["bufferView"]]
    shape = (accessor["count"], *_SHAPES[accessor["type"]])
    array = np.frombuffer(
      binary,
      np.dtype(_TYPES[accessor["componentType"]]).newbyteorder("<"),
      int(np.prod(shape)),
      view.get("byteOffset", 0) + accessor.get("byteOffset", 0),
    )
    arrays.append(array.reshape(shape))
  return Glb(content, arrays)


def named(glb: Glb, name: str) -> int:
  """The index of the only node of that name."""
  (index,) = (i for i, n in enumerate(glb.content["nodes"]) if n["name"] == name)
  return index


def channel(
  glb: Glb, node: int, path: str
) -> tuple[str, np.ndarray, np.ndarray] | None:
  """The interpolation, times and values that move a node, if there are any."""
  (animation,) = glb.content["animations"]
  for entry in animation["channels"]:
    if entry["target"] == {"node": node, "path": path}:
      sampler = animation["samplers"][entry["sampler"]]
      arrays = (glb.arrays[sampler[key]] for key in ("input", "output"))
      return (sampler.get("interpolation", "LINEAR"), *arrays)
  return None


def _sampled(glb: Glb, node: int, path: str, times: np.ndarray) -> np.ndarray:
  default = {"translation": [0, 0, 0], "rotation": [0, 0, 0, 1], "scale": [1, 1, 1]}
  found = channel(glb, node, path)
  if found is None:
    value = glb.content["nodes"][node].get(path, default[path])
    return np.tile(np.array(value, float), (len(times), 1))
  how, keys, values = found
  times = np.clip(times, keys[0], keys[-1])
  if how == "STEP":
    return values[np.searchsorted(keys, times, side="right") - 1].astype(float)
  assert how == "LINEAR"
  if path == "rotation":
    return Slerp(keys, Rotation.from_quat(values))(times).as_quat()
  return np.stack([np.interp(times, keys, column) for column in values.T], axis=1)


def transforms(glb: Glb, times: np.ndarray) -> np.ndarray:
  """Every node's global matrix at every time, [times, nodes, 4, 4]."""
  nodes = glb.content["nodes"]
  found = np.tile(np.eye(4), (len(times), len(nodes), 1, 1))

  def place(node: int, above: np.ndarray) -> None:
    local = np.tile(np.eye(4), (len(times), 1, 1))
    rotation = Rotation.from_quat(_sampled(glb, node, "rotation", times)).as_matrix()
    local[:, :3, :3] = rotation * _sampled(glb, node, "scale", times)[:, None]
    local[:, :3, 3] = _sampled(glb, node, "translation", times)
    found[:, node] = above @ local
    for child in nodes[node].get("children", []):
      place(child, found[:, node])

  for root in glb.content["scenes"][glb.content["scene"]]["nodes"]:
    place(root, np.eye(4))
  return found


def joints(glb: Glb, person: int, times: np.ndarray) -> dict[str, np.ndarray]:
  """The path of each joint of a person's skin, by its name."""
  matrices = transforms(glb, times)
  nodes = glb.content["nodes"]
  return {
    nodes[joint]["name"]: matrices[:, joint, :3, 3]
    for joint in glb.content["skins"][person]["joints"]
  }


def vertices(glb: Glb, person: int, times: np.ndarray) -> np.ndarray:
  """The skinned vertices of a person's mesh, [times, vertices, 3]."""
  skin = glb.content["skins"][person]
  (primitive,) = glb.content["meshes"][person]["primitives"]
  rest, carriers, weights = (
    glb.arrays[primitive["attributes"][key]]
    for key in ("POSITION", "JOINTS_0", "WEIGHTS_0")
  )
  inverse = glb.arrays[skin["inverseBindMatrices"]].swapaxes(1, 2)  # Columns first.
  bones = transforms(glb, times)[:, skin["joints"]] @ inverse
  moved = np.concatenate([rest, np.ones((len(rest), 1))], axis=1)
  blended = np.einsum("vk,tvkij->tvij", weights, bones[:, carriers])
  return np.einsum("tvij,vj->tvi", blended, moved)[..., :3]
