"""The SMPL body layer: a frozen pytree and pure functions (Loper et al. 2015).

`forward` skins every vertex. `joints` computes no vertex, and `regressed_joints` of a
`restrict`ed model only the vertices that its regressor reads. The package has skinning
in three forms: here in JAX, with the batch first; in `posed_frames`, with the frames
last, for evaluation; and in `synth.skinning` in NumPy, for processes that render, on
whose bits stored clips depend.
"""

import dataclasses
import functools
import pathlib

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mhmr_jax.body import joints as body_joints
from mhmr_jax.body import model_files
from mhmr_jax.errors import InputError
from mhmr_jax.files import arrays
from mhmr_jax.geometry import rotations as rot

FREE_BODY = pathlib.Path(__file__).parent / "free_body.npz"

# The nose, left eye, right eye, left ear and right ear on SMPL's own mesh.
_FACE_VERTICES = (332, 2800, 6260, 583, 4071)
_SMPL_NUM_VERTICES = 6890
# x to -x on both sides of a rotation.
_MIRROR_SIGNS = np.array([[1, -1, -1], [-1, 1, 1], [-1, 1, 1]], np.float32)

# A TPU would otherwise multiply in bfloat16: centimetres at human scale.
_einsum = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)


@flax.struct.dataclass
class SmplModel:
  """A body in SMPL's form; metres, y up, facing +z.

  `joint_template` and `joint_shapedirs` are J_regressor applied to `v_template` and
  `shapedirs`: the joints of the unposed body are joint_template + joint_shapedirs @
  betas. A body without pose blend shapes has P = 0.
  """

  v_template: Float[Array, "V 3"]
  shapedirs: Float[Array, "V 3 10"]
  posedirs: Float[Array, "V 3 P"]
  J_regressor: Float[Array, "24 V"]
  weights: Float[Array, "V 24"]
  faces: Int[Array, "F 3"]
  joint_template: Float[Array, "24 3"]
  joint_shapedirs: Float[Array, "24 3 10"]
  keypoint_regressor: Float[Array, "K V"]  # COCO-17 from the vertices.
  parents: tuple[int, ...] = flax.struct.field(
    pytree_node=False, default=body_joints.SMPL_PARENTS
  )


def load(path: str | pathlib.Path | None = None) -> SmplModel:
  """Reads SMPL's `.pkl` or an `.npz` with the same keys; None is the free body.

  Raises:
    InputError: the file is missing or unreadable, lacks a key, or is not in SMPL's
      form.
  """
  path = FREE_BODY if path is None else pathlib.Path(path)
  data = model_files.read_model(path)
  read = functools.partial(arrays.read_array, data, path)
  v_template = read("v_template", (None, 3))
  num_vertices = len(v_template)
  shapedirs = read("shapedirs", (num_vertices, 3, None))[..., :10]
  if shapedirs.shape[-1] < 10:
    raise InputError(f"shapedirs of {path} has fewer than the 10 shapes of SMPL")
  posedirs = read("posedirs", (num_vertices, 3, 207))
  J_regressor = read("J_regressor", (24, num_vertices))
  parents = read("kintree_table", (2, 24))[0, 1:]
  if tuple(parents) != body_joints.SMPL_PARENTS[1:]:
    raise InputError(f"kintree_table of {path} is not the tree of SMPL's 24 joints")
  faces = read("f", (None, 3))
  if faces.size and not 0 <= faces.min() <= faces.max() < num_vertices:
    raise InputError(f"f of {path} names vertices that its {num_vertices} do not have")
  if "keypoint_regressor" in data:
    keypoints = read("keypoint_regressor", (17, num_vertices))
  elif num_vertices == _SMPL_NUM_VERTICES:
    keypoints = _smpl_keypoint_regressor(J_regressor)
  else:
    raise InputError(
      f"{path} has no keypoint_regressor, and its {num_vertices} vertices are not"
      " SMPL's, whose eyes, ears and nose are known"
    )
  # Without a conversion before, or a dtype here, JAX would compile a program for each.
  to_float = lambda values: jnp.asarray(np.asarray(values, np.float32), jnp.float32)
  return SmplModel(
    v_template=to_float(v_template),
    shapedirs=to_float(shapedirs),
    posedirs=to_float(posedirs if posedirs.any() else posedirs[..., :0]),
    J_regressor=to_float(J_regressor),
    weights=to_float(read("weights", (num_vertices, 24))),
    faces=jnp.asarray(np.asarray(faces, np.int32), jnp.int32),
    joint_template=to_float(J_regressor @ v_template),
    joint_shapedirs=to_float(np.einsum("jv,vcs->jcs", J_regressor, shapedirs)),
    keypoint_regressor=to_float(keypoints),
  )


def _smpl_keypoint_regressor(
  regressor: Float[np.ndarray, "24 V"],
) -> Float[np.ndarray, "17 V"]:
  keypoints = np.zeros((17, regressor.shape[1]))
  keypoints[range(5), _FACE_VERTICES] = 1.0
  for keypoint, joint in body_joints.COCO_FROM_SMPL.items():
    keypoints[keypoint] = regressor[joint]
  return keypoints


def forward(
  model: SmplModel,
  pose: Float[Array, "*#batch 24 3"],
  betas: Float[Array, "*#batch 10"],
  transl: Float[Array, "*#batch 3"],
) -> tuple[Float[Array, "*#batch V 3"], Float[Array, "*#batch 24 3"]]:
  """Poses a body and returns its vertices and joints in metres.

  The pose is axis-angle, and its first entry, the global orientation, rotates the body
  about its pelvis (as in smplx).
  """
  return forward_matrices(model, rot.axis_angle_to_matrix(pose), betas, transl)


def joints(
  model: SmplModel,
  pose: Float[Array, "*#batch 24 3"],
  betas: Float[Array, "*#batch 10"],
  transl: Float[Array, "*#batch 3"],
) -> Float[Array, "*#batch 24 3"]:
  """The joints that `forward` returns, computed without any vertex."""
  return joints_from_matrices(model, rot.axis_angle_to_matrix(pose), betas, transl)


def forward_matrices(
  model: SmplModel,
  rotations: Float[Array, "*#batch 24 3 3"],
  betas: Float[Array, "*#batch 10"],
  transl: Float[Array, "*#batch 3"],
) -> tuple[Float[Array, "*#batch V 3"], Float[Array, "*#batch 24 3"]]:
  """`forward` for a pose of rotation matrices."""
  R, t, joints = bone_transforms(model, rotations, betas)
  vertices = _skin(model, _unposed(model, rotations, betas), R, t)
  return vertices + transl[..., None, :], joints + transl[..., None, :]


def bone_transforms(
  model: SmplModel,
  rotations: Float[Array, "*#batch 24 3 3"],
  betas: Float[Array, "*#batch 10"],
) -> tuple[
  Float[Array, "*#batch 24 3 3"],
  Float[Array, "*#batch 24 3"],
  Float[Array, "*#batch 24 3"],
]:
  """The R and t by which each joint moves the unposed body, and the joints."""
  rest_joints = _rest_joints(model, betas)
  R, joints = _kinematic_chain(model.parents, rotations, rest_joints)
  return R, joints - _einsum("...jik,...jk->...ji", R, rest_joints), joints


def bones_of_world_rotations(
  model: SmplModel,
  world: Float[Array, "*#batch 24 3 3"],
  betas: Float[Array, "*#batch 10"],
) -> tuple[Float[Array, "*#batch 24 3"], Float[Array, "*#batch 24 3"]]:
  """The t and the joints of `bone_transforms`, given its R: the world rotations.

  The joints are not computed one after the other along the chain: each is the sum of
  the rotated bones above it.
  """
  rest_joints = _rest_joints(model, betas)
  parents = np.array(model.parents[1:])
  offsets = rest_joints[..., 1:, :] - rest_joints[..., parents, :]
  bones = _einsum("...jik,...jk->...ji", world[..., parents, :, :], offsets)
  pelvis = jnp.broadcast_to(rest_joints[..., :1, :], (*bones.shape[:-2], 1, 3))
  chains = np.eye(24, dtype=np.float32)
  for joint, parent in enumerate(parents, start=1):
    chains[joint] += chains[parent]
  bones = jnp.concatenate([pelvis, bones], axis=-2)
  joints = _einsum("jk,...kc->...jc", chains, bones)
  return joints - _einsum("...jik,...jk->...ji", world, rest_joints), joints


def joints_from_matrices(
  model: SmplModel,
  rotations: Float[Array, "*#batch 24 3 3"],
  betas: Float[Array, "*#batch 10"],
  transl: Float[Array, "*#batch 3"],
) -> Float[Array, "*#batch 24 3"]:
  """`joints` for a pose of rotation matrices."""
  rest_joints = _rest_joints(model, betas)
  _, t = _kinematic_chain(model.parents, rotations, rest_joints)
  return t + transl[..., None, :]


def world_rotations(
  rotations: Float[Array, "*batch 24 3 3"],
) -> Float[Array, "*batch 24 3 3"]:
  """Each joint's rotation in the frame that the pelvis' is in: camera or world."""
  world = [rotations[..., :1, :, :]]
  for joints, parents in _levels(body_joints.SMPL_PARENTS):
    above = _of_joints(world[-1], parents)
    world.append(rot.product(above, rotations[..., joints, :, :]))
  return jnp.concatenate(world, axis=-3)


def parent_relative(
  world: Float[Array, "*batch 24 3 3"],
) -> Float[Array, "*batch 24 3 3"]:
  """The inverse of `world_rotations`."""
  parents = np.array(body_joints.SMPL_PARENTS[1:])
  inverse = jnp.swapaxes(world[..., parents, :, :], -1, -2)
  return jnp.concatenate(
    [world[..., :1, :, :], rot.product(inverse, world[..., 1:, :, :])], axis=-3
  )


def mirror_rotations(
  rotations: Float[Array, "*batch 24 3 3"],
) -> Float[Array, "*batch 24 3 3"]:
  """Mirrors rotations left to right, as `joints.flip_pose` does axis-angle poses."""
  return rotations[..., np.array(body_joints.SMPL_FLIP), :, :] * _MIRROR_SIGNS


def restrict(
  model: SmplModel, regressor: Float[Array | np.ndarray, "K V"]
) -> SmplModel:
  """Reduces a model to the vertices that a regressor reads, for `regressed_joints`.

  `keypoint_regressor` becomes the regressor on those vertices; faces are dropped.
  `joint_template` and `joint_shapedirs` stay those of the whole body.
  """
  rows = np.asarray(regressor, np.float32)
  used = np.flatnonzero(rows.any(axis=0))
  # NumPy has no program to compile for it.
  to_float = lambda values: jnp.asarray(values, jnp.float32)
  return dataclasses.replace(
    model,
    v_template=to_float(np.asarray(model.v_template)[used]),
    shapedirs=to_float(np.asarray(model.shapedirs)[used]),
    posedirs=to_float(np.asarray(model.posedirs)[used]),
    J_regressor=to_float(np.asarray(model.J_regressor)[:, used]),
    weights=to_float(np.asarray(model.weights)[used]),
    faces=jnp.asarray(np.zeros((0, 3), np.int32), jnp.int32),
    keypoint_regressor=to_float(rows[:, used]),
  )


def regressed_joints(
  restricted: SmplModel,
  pose: Float[Array, "*#batch 24 3"],
  betas: Float[Array, "*#batch 10"],
  transl: Float[Array, "*#batch 3"],
) -> Float[Array, "*#batch K 3"]:
  """Poses the points of a restricted model's regressor."""
  vertices, _ = forward(restricted, pose, betas, transl)
  return _einsum("kv,...vc->...kc", restricted.keypoint_regressor, vertices)


def _rest_joints(
  model: SmplModel, betas: Float[Array, "*#batch 10"]
) -> Float[Array, "*#batch 24 3"]:
  offsets = _einsum("jcs,...s->...jc", model.joint_shapedirs, betas)
  return model.joint_template + offsets


def _unposed(
  model: SmplModel,
  rotations: Float[Array, "*#batch 24 3 3"],
  betas: Float[Array, "*#batch 10"],
) -> Float[Array, "*#batch V 3"]:
  """The template with shape and pose blend shapes added, before skinning."""
  vertices = model.v_template + _einsum("vcs,...s->...vc", model.shapedirs, betas)
  if not model.posedirs.shape[-1]:
    return vertices
  feature = pose_feature(rotations)
  return vertices + _einsum("vcp,...p->...vc", model.posedirs, feature)


def pose_feature(
  rotations: Float[Array, "*batch 24 3 3"],
) -> Float[Array, "*batch 207"]:
  """The vector that pose blend shapes multiply: R - I of every joint but the pelvis."""
  feature = rotations[..., 1:, :, :] - jnp.eye(3, dtype=rotations.dtype)
  return feature.reshape(*feature.shape[:-3], 207)


def _skin(
  model: SmplModel,
  vertices: Float[Array, "*#batch V 3"],
  R: Float[Array, "*#batch 24 3 3"],
  t: Float[Array, "*#batch 24 3"],
) -> Float[Array, "*#batch V 3"]:
  blended_R = _einsum("vj,...jik->...vik", model.weights, R)
  blended_t = _einsum("vj,...ji->...vi", model.weights, t)
  return _einsum("...vik,...vk->...vi", blended_R, vertices) + blended_t


def _kinematic_chain(
  parents: tuple[int, ...],
  rotations: Float[Array, "*#batch 24 3 3"],
  rest_joints: Float[Array, "*#batch 24 3"],
) -> tuple[Float[Array, "*#batch 24 3 3"], Float[Array, "*#batch 24 3"]]:
  """Computes every joint's world rotation and position, a level of the tree at once."""
  offsets = rest_joints[..., 1:, :] - rest_joints[..., parents[1:], :]
  batch = jnp.broadcast_shapes(rotations.shape[:-3], rest_joints.shape[:-2])
  R = [jnp.broadcast_to(rotations[..., :1, :, :], (*batch, 1, 3, 3))]
  t = [jnp.broadcast_to(rest_joints[..., :1, :], (*batch, 1, 3))]
  for joints, above in _levels(parents):
    R_parent = _of_joints(R[-1], above)
    bones = offsets[..., joints.start - 1 : joints.stop - 1, :]
    moved = _einsum("...ik,...k->...i", R_parent, bones)
    t.append(_of_joints(t[-1][..., None], above)[..., 0] + moved)
    R.append(_einsum("...ik,...kl->...il", R_parent, rotations[..., joints, :, :]))
  return jnp.concatenate(R, axis=-3), jnp.concatenate(t, axis=-2)


@functools.cache
def _levels(parents: tuple[int, ...]) -> tuple[tuple[slice, tuple[int, ...]], ...]:
  """The levels of the tree of joints below its root.

  Returns:
    The joints of each level, and their parents' places in the level above.
  """
  levels = []
  above = slice(0, 1)
  while above.stop < len(parents):
    # SMPL's joints are sorted by their depth in the tree, so a level is a slice.
    start = stop = above.stop
    while stop < len(parents) and parents[stop] < start:
      stop += 1
    places = tuple(parents[joint] - above.start for joint in range(start, stop))
    above = slice(start, stop)
    levels.append((above, places))
  return tuple(levels)


def _of_joints(
  values: Float[Array, "*batch above i k"], places: tuple[int, ...]
) -> Float[Array, "*batch level i k"]:
  """The values of the joints in those places, which may repeat."""
  # Slices: the gradient of indexing by a list is a scatter for every level.
  first, number = places[0], len(places)
  if places == tuple(range(first, first + number)):
    return values[..., first : first + number, :, :]
  parts = [values[..., place : place + 1, :, :] for place in places]
  return jnp.concatenate(parts, axis=-3)
