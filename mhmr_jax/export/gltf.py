"""Writes skinned, animated bodies as binary glTF 2.0: one scene for all people.

glTF's world is the motion's: y up, in metres. A person is a node that holds the
skeleton, 24 nodes of SMPL's names, and a skinned mesh, the body of the person's shape
in its rest pose. One animation moves everybody, at the times of the video. People who
are absent have the scale zero, because glTF cannot animate visibility itself.

Each vertex follows at most four joints, as most readers require, and pose blend shapes
are left out, because they would need a mesh for each frame.
"""

import colorsys
import pathlib
import shutil
import struct
import tempfile
from typing import BinaryIO

import numpy as np
import pygltflib
from jaxtyping import Float, Int, UInt8
from scipy.spatial.transform import Rotation

from mhmr_jax.body import smpl
from mhmr_jax.body.joints import SMPL_JOINTS, SMPL_PARENTS
from mhmr_jax.export import rest_pose
from mhmr_jax.files import atomic
from mhmr_jax.schema import Motion

_KINDS = {(): "SCALAR", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}
_COMPONENTS = {
  "f4": pygltflib.FLOAT,
  "u1": pygltflib.UNSIGNED_BYTE,
  "u4": pygltflib.UNSIGNED_INT,
}
_JOINTS_A_VERTEX = 4
_FIRST_HUE, _GOLDEN = 0.58, 0.618034  # Hues of people in turn lie far apart.


def write(path: pathlib.Path, motions: list[Motion], body: smpl.SmplModel) -> None:
  """Writes a .glb file with the motions of all people in the world.

  Args:
    path: the path of the file.
    motions: the motions of the people, in the order of their numbers.
    body: the body that the motions were made with.

  Raises:
    InputError: the file cannot be written.
  """
  file = pygltflib.GLTF2(
    asset=pygltflib.Asset(generator="mhmr_jax"),
    scene=0,
    scenes=[pygltflib.Scene(nodes=[])],
    animations=[pygltflib.Animation(name="motion")],
  )
  with (
    atomic.whole(path) as partial,
    partial.open("wb") as opened,
    tempfile.TemporaryFile(dir=partial.parent) as arrays,
  ):
    buffer = _Buffer(file, arrays)
    end = max(float(motion.times[-1]) for motion in motions)
    for motion in motions:
      first = _add_person(file, buffer, motion, body)
      _animate(file, buffer, first, motion, end)
    file.buffers = [pygltflib.Buffer(byteLength=buffer.length)]
    described = file.gltf_to_json(separators=(",", ":"), indent=None).encode()
    described += b" " * (-len(described) % 4)
    # pygltflib would have all motions in memory, and copy them three times.
    length = 12 + 8 + len(described) + 8 + buffer.length
    opened.write(struct.pack("<4sII", b"glTF", 2, length))
    opened.write(struct.pack("<I4s", len(described), b"JSON") + described)
    opened.write(struct.pack("<I4s", buffer.length, b"BIN\0"))
    arrays.seek(0)
    shutil.copyfileobj(arrays, opened)


class _Buffer:
  """Appends arrays to the file's one buffer, each as an accessor.

  The buffer stands behind all that describes it, so it is kept in `arrays` until then.
  """

  def __init__(self, file: pygltflib.GLTF2, arrays: BinaryIO):
    self._arrays = arrays
    self.length = 0
    self._file = file

  def add(self, array: np.ndarray, target: int | None = None) -> int:
    """Returns the new accessor's index; `target` says what a mesh uses it for."""
    view = pygltflib.BufferView(
      buffer=0, byteOffset=self.length, byteLength=array.nbytes, target=target
    )
    bounded = array.dtype == np.float32 and array.ndim <= 2 and array.shape[-1] != 4
    accessor = pygltflib.Accessor(
      bufferView=len(self._file.bufferViews),
      componentType=_COMPONENTS[array.dtype.str[1:]],
      count=len(array),
      type=_KINDS[array.shape[1:]],
      min=np.atleast_1d(array.min(axis=0)).tolist() if bounded else None,
      max=np.atleast_1d(array.max(axis=0)).tolist() if bounded else None,
    )
    self._file.bufferViews.append(view)
    self._file.accessors.append(accessor)
    filled = array.tobytes() + bytes(-array.nbytes % 4)  # Offsets are multiples of 4.
    self.length += self._arrays.write(filled)
    return len(self._file.accessors) - 1


def _add_person(
  file: pygltflib.GLTF2,
  buffer: _Buffer,
  motion: Motion,
  body: smpl.SmplModel,
) -> int:
  """Adds a person at rest, and returns the index of the node that holds it.

  The 24 nodes after that one are the joints.
  """
  name = f"person_{motion.person:02d}"
  vertices, joints = rest_pose.shaped(body, motion.betas[0])
  floor = np.array([0, vertices[:, 1].min(), 0])
  vertices, joints = (vertices - floor).astype(np.float32), joints - floor
  first = len(file.nodes)
  nodes = _skeleton(joints, first + 1)
  holder = pygltflib.Node(name=name, children=[first + 1])
  figure = pygltflib.Node(
    name=f"{name}_mesh", mesh=len(file.meshes), skin=len(file.skins)
  )
  file.nodes += [holder, *nodes, figure]
  file.scenes[0].nodes += [first, first + 1 + len(nodes)]
  inverse_bind = np.tile(np.eye(4, dtype=np.float32), (24, 1, 1))
  inverse_bind[:, 3, :3] = -joints  # Columns first.
  skin = pygltflib.Skin(
    name=name,
    inverseBindMatrices=buffer.add(inverse_bind),
    skeleton=first + 1,
    joints=list(range(first + 1, first + 25)),
  )
  file.skins.append(skin)
  primitive = _primitive(buffer, vertices, body)
  primitive.material = len(file.materials)
  file.meshes.append(pygltflib.Mesh(name=name, primitives=[primitive]))
  file.materials.append(_material(name, motion.person))
  return first


def _skeleton(joints: Float[np.ndarray, "24 3"], first: int) -> list[pygltflib.Node]:
  """The joints' nodes, the first of which has the index `first`, in the rest pose."""
  nodes = []
  for joint, parent in enumerate(SMPL_PARENTS):
    place = joints[joint] - (joints[parent] if joint else 0)
    children = [first + c for c in range(24) if SMPL_PARENTS[c] == joint]
    node = pygltflib.Node(
      name=SMPL_JOINTS[joint], translation=place.tolist(), children=children
    )
    nodes.append(node)
  return nodes


def _primitive(
  buffer: _Buffer, vertices: Float[np.ndarray, "V 3"], body: smpl.SmplModel
) -> pygltflib.Primitive:
  faces = np.asarray(body.faces)
  joints, weights = _strongest(np.asarray(body.weights))
  normals = _normals(vertices, faces)
  return pygltflib.Primitive(
    attributes=pygltflib.Attributes(
      POSITION=buffer.add(vertices, pygltflib.ARRAY_BUFFER),
      NORMAL=buffer.add(normals, pygltflib.ARRAY_BUFFER),
      JOINTS_0=buffer.add(joints, pygltflib.ARRAY_BUFFER),
      WEIGHTS_0=buffer.add(weights, pygltflib.ARRAY_BUFFER),
    ),
    indices=buffer.add(
      faces.reshape(-1).astype(np.uint32), pygltflib.ELEMENT_ARRAY_BUFFER
    ),
    mode=pygltflib.TRIANGLES,
  )


def _strongest(
  weights: Float[np.ndarray, "V 24"],
) -> tuple[UInt8[np.ndarray, "V 4"], Float[np.ndarray, "V 4"]]:
  """The four joints of the largest weights, and these weights with the sum 1."""
  joints = np.argsort(-weights, axis=1, kind="stable")[:, :_JOINTS_A_VERTEX]
  largest = np.take_along_axis(weights, joints, axis=1).astype(np.float64)
  largest /= largest.sum(axis=1, keepdims=True)
  # Validators want joint 0 where a weight is zero.
  return np.where(largest > 0, joints, 0).astype(np.uint8), largest.astype(np.float32)


def _normals(
  vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]
) -> Float[np.ndarray, "V 3"]:
  """The unit normals, means of the adjacent faces' by their areas."""
  corners = vertices[faces].astype(np.float64)
  across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
  normals = np.zeros(vertices.shape)
  np.add.at(normals, faces, across[:, None])
  length = np.linalg.norm(normals, axis=1, keepdims=True)
  # A vertex of no face has no normal; any unit vector is valid.
  return np.where(length > 0, normals / np.maximum(length, 1e-30), (0, 1, 0)).astype(
    np.float32
  )


def _material(name: str, number: int) -> pygltflib.Material:
  colour = colorsys.hsv_to_rgb((_FIRST_HUE + _GOLDEN * number) % 1, 0.5, 0.8)
  return pygltflib.Material(
    name=name,
    pbrMetallicRoughness=pygltflib.PbrMetallicRoughness(
      baseColorFactor=[*colour, 1.0], metallicFactor=0.0, roughnessFactor=0.8
    ),
    alphaCutoff=None,
  )


def _animate(
  file: pygltflib.GLTF2, buffer: _Buffer, first: int, motion: Motion, end: float
) -> None:
  """Adds a person's channels to the animation; the scene ends at `end` seconds."""
  animation = file.animations[0]

  def add(node: int, path: str, times: int, values: np.ndarray, how: str) -> None:
    sampler = pygltflib.AnimationSampler(
      input=times, output=buffer.add(values.astype(np.float32)), interpolation=how
    )
    target = pygltflib.AnimationChannelTarget(node=node, path=path)
    channel = pygltflib.AnimationChannel(sampler=len(animation.samplers), target=target)
    animation.samplers.append(sampler)
    animation.channels.append(channel)

  times = buffer.add(motion.times.astype(np.float32))
  add(first + 1, "translation", times, motion.joints_world[:, 0], "LINEAR")
  for joint in range(24):  # All at once would take several times the memory.
    rotations = _quaternions(motion.pose_world[:, joint])
    add(first + 1 + joint, "rotation", times, rotations, "LINEAR")
  switched, shown = _presence(motion, end)
  if not shown.all():
    scale = np.repeat(shown[:, None], 3, axis=1)
    times = buffer.add(switched.astype(np.float32))
    # The pelvis is scaled, not the holder: programs that take a skeleton's rest pose
    # from the first frame would find it without length.
    add(first + 1, "scale", times, scale, "STEP")


def _quaternions(
  rotations: Float[np.ndarray, "time 3"],
) -> Float[np.ndarray, "time 4"]:
  """Unit quaternions x, y, z, w, whose signs do not change from row to row.

  Args:
    rotations: a joint's, axis-angle.
  """
  quaternions = Rotation.from_rotvec(rotations).as_quat()
  cosine = np.sum(quaternions[1:] * quaternions[:-1], axis=-1, keepdims=True)
  quaternions[1:] *= np.cumprod(np.where(cosine < 0, -1, 1), axis=0)
  return quaternions


def _presence(
  motion: Motion, end: float
) -> tuple[Float[np.ndarray, "keys"], Float[np.ndarray, "keys"]]:
  """When the person comes and goes, in seconds, and 1 or 0 for what holds from there.

  A person comes half a frame before a row and goes half a frame after one.
  """
  times, index = motion.times, motion.frame_index
  half = 0.5 / motion.fps
  keys = [(0.0, 0.0)] if times[0] > half else []
  keys.append((max(times[0] - half, 0.0), 1.0))
  for row in np.flatnonzero(np.diff(index) > 1):
    frames = index[row + 1] - index[row]
    half_here = (times[row + 1] - times[row]) / frames / 2
    keys += [(times[row] + half_here, 0.0), (times[row + 1] - half_here, 1.0)]
  if times[-1] + half < end:
    keys.append((times[-1] + half, 0.0))
  switched, shown = np.array(keys).T
  return switched, shown
