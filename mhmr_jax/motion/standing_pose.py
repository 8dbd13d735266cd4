"""Standing poses of a figure: its rest pose, its axes, and poses before the motion."""

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.transform import Rotation

from mhmr_jax.geometry import vectors
from mhmr_jax.motion.figure import Figure

_SIDES = (("left", 1.0), ("right", -1.0))
LEGS = tuple((f"{s}_{a}", f"{s}_{b}") for s, _ in _SIDES
              for a, b in (("hip", "knee"), ("knee", "ankle")))  # fmt: skip
_ARMS = tuple((f"{s}_{a}", f"{s}_{b}") for s, _ in _SIDES
              for a, b in (("shoulder", "elbow"), ("elbow", "wrist")))  # fmt: skip
LIMBS = LEGS + _ARMS

# Cosines of the angles that still count as a standing pose, as along an axis of the
# world, and as a straight limb.
_STANDING, _ALONG, _STRAIGHT = np.cos(np.radians([50, 35, 30]))
_FACING = np.cos(np.radians(10))
_LEAD_DEGREES = 8.0  # The mean turn of limbs from a calibration pose to the motion.
_LEAD_RATIO = 3.0  # The least ratio of that turn to those of the motion's fast frames.


def stands(figure: Figure) -> Bool[np.ndarray, "time"]:
  """Whether legs are down and apart, and no arm points to the other side."""
  left, up, _ = _body_axes(figure)
  down = [-_cosine(figure.line(*leg), up) for leg in LEGS]
  level = np.abs(_cosine(figure.line("right_hip", "left_hip"), up))
  inward = [
    -sign * _cosine(figure.line(f"{side}_{first}", f"{side}_{last}"), left)
    for side, sign in _SIDES
    for first, last in (("shoulder", "elbow"), ("elbow", "wrist"))
  ]
  standing = np.min(down, axis=0) > _STANDING
  return standing & (level < 0.5) & (np.max(inward, axis=0) < 0.8)


def straightest(figure: Figure) -> int | None:
  """The standing frame with the straightest legs, the first one if it stands."""
  standing = stands(figure)
  if standing[0]:
    return 0
  up = _body_axes(figure)[1]
  down = np.sum([-_cosine(figure.line(*leg), up) for leg in LEGS], axis=0)
  return int(np.argmax(np.where(standing, down, -np.inf))) if standing.any() else None


def is_upright(figure: Figure) -> bool:
  """Whether a single frame stands, about along an axis of the world."""
  up = _body_axes(figure)[1][0]
  return bool(stands(figure)[0] and upright_axis(figure) @ up > _ALONG)


def upright_axis(figure: Figure) -> Float[np.ndarray, "3"]:
  """The world's axis that is nearest to the body's up on average."""
  return _nearest_axis(_body_axes(figure)[1].mean(axis=0))


def facing(figure: Figure, up: Float[np.ndarray, "3"]) -> Rotation:
  """The rotation to a world where y is up and a single frame's body faces z."""
  left = _across(figure, up)[0]
  nearest = _nearest_axis(left)
  # Hips of a recorded person are not quite symmetric, which turns nobody.
  if nearest @ left > _FACING and abs(nearest @ up) < 0.5:
    left = nearest
  return _axes(left, up)


def body_turn(figure: Figure) -> Rotation:
  """The rotation from SMPL's rest pose (y up, facing z) to a single frame's body."""
  left, up, _ = _body_axes(figure)
  return _axes(left[0], up[0]).inv()


def lead_in(figure: Figure, unrotated: Bool[np.ndarray, "time"]) -> int:
  """How many frames of a calibration pose stand in front of the motion.

  Calibration poses are a T-pose, an A-pose or a pose without any rotation. The motion
  proper begins with a jump that is much larger than its own turns.

  Args:
    figure: the beginning of the recording.
    unrotated: the frames in which no joint is rotated.
  """
  lines = [vectors.unit(figure.line(*limb)) for limb in LIMBS]
  lines.append(vectors.unit(figure.line("right_hip", "left_hip")))
  turns = np.mean(
    [np.degrees(np.arccos(np.clip(_cosine(x[:-1], x[1:]), -1, 1))) for x in lines],
    axis=0,
  )
  posed = _calibrates(figure) | unrotated
  for last in range(len(turns) - 1):
    if not posed[last]:
      break
    own = np.quantile(turns[last + 1 :], 0.95)
    if turns[last] > max(_LEAD_DEGREES, _LEAD_RATIO * own):
      return last + 1
  return 0


def _calibrates(figure: Figure) -> Bool[np.ndarray, "time"]:
  """Whether limbs are straight, legs down, and arms to the sides or obliquely down."""
  left, up, front = _body_axes(figure)
  holds = [-_cosine(figure.line(*leg), up) > _STRAIGHT for leg in LEGS]
  for side, sign in _SIDES:
    upper = figure.line(f"{side}_shoulder", f"{side}_elbow")
    lower = figure.line(f"{side}_elbow", f"{side}_wrist")
    holds += [
      _cosine(upper, lower) > _STRAIGHT,
      sign * _cosine(upper, left) > 0.35,
      _cosine(upper, up) < 0.35,
      np.abs(_cosine(upper, front)) < 0.5,
    ]
  return np.all(holds, axis=0)


def _body_axes(figure: Figure) -> list[Float[np.ndarray, "time 3"]]:
  """The body's own left, up and front in every frame."""
  up = vectors.unit(figure.line("hips", "top"))
  left = _across(figure, up)
  return [left, up, np.cross(left, up)]


def _across(
  figure: Figure, up: Float[np.ndarray, "*time 3"]
) -> Float[np.ndarray, "time 3"]:
  line = figure.line("right_hip", "left_hip")
  return vectors.unit(line - np.sum(line * up, axis=-1, keepdims=True) * up)


def _nearest_axis(vector: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
  index = np.argmax(np.abs(vector))
  return np.eye(3)[index] * np.sign(vector[index])


def _axes(left: Float[np.ndarray, "3"], up: Float[np.ndarray, "3"]) -> Rotation:
  """The rotation that takes `left` to x and `up` to y."""
  return Rotation.from_matrix(np.stack([left, up, np.cross(left, up)]))


def _cosine(
  first: Float[np.ndarray, "*time 3"], second: Float[np.ndarray, "*time 3"]
) -> Float[np.ndarray, "*time"]:
  return np.sum(vectors.unit(first) * vectors.unit(second), axis=-1)
