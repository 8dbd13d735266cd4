"""Counts and distributions over the clips of a dataset.

A measure is left out if the clips lack a field that it needs.
"""

import collections
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.transform import Rotation

from mhmr_jax.body import joints as body_joints
from mhmr_jax.files import jpeg
from mhmr_jax.schema import Clip
from mhmr_jax.visualize import clip_view

_EDGES = {
  "person_height": np.linspace(0, 2, 21),
  "joint_speed": np.linspace(0, 6, 25),
  "pelvis_speed": np.linspace(0, 6, 25),
  "keypoint_speed": np.linspace(0, 0.2, 21),
  "facing": np.linspace(-180, 180, 25),
  "frames_per_clip": None,  # Numbers of any size, so no histogram.
  "mask_share": np.linspace(0, 1, 21),
}
UNITS = {
  "frames_per_clip": "frames",
  "person_height": "height of the joints over that of the frame",
  "joint_speed": "m/s, relative to the pelvis",
  "pelvis_speed": "m/s, relative to the camera",
  "keypoint_speed": "person's heights per frame",
  "facing": "degrees; 0 faces the camera, 90 the frame's left side",
  "mask_share": "share of the frame, at each clip's middle",
}
_COUNTED = ("fps", "frame_size", "gender", "keypoints_detected")


def gather(clips: Iterable[Clip]) -> dict[str, Any]:
  """Reads the clips one after the other and returns the facts, ready for JSON."""
  kept: dict[str, list[np.ndarray]] = collections.defaultdict(list)
  counted: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
  sequences: set[str] = set()
  seconds = 0.0
  for clip in clips:
    valid = _valid(clip)
    sequences.add(str(clip.get("sequence", "")))
    height, width = clip_view.frame_shape(clip)
    counted["frame_size"][f"{width}x{height}"] += 1
    kept["frames_per_clip"].append(np.array([valid.sum()]))
    if "fps" in clip:
      counted["fps"][f"{float(clip['fps']):g}"] += 1
      seconds += float(valid.sum()) / float(clip["fps"])
    if "gender" in clip:
      counted["gender"][clip["gender"]] += 1
    if "keypoints_detected" in clip:
      counted["keypoints_detected"][str(bool(clip["keypoints_detected"])).lower()] += 1
    for name, values in _measures(clip, valid, height).items():
      kept[name].append(values)
  read = len(kept["frames_per_clip"])
  facts: dict[str, Any] = {
    "clips_read": read,
    "sequences": len(sequences),
    "frames": int(sum(values.sum() for values in kept["frames_per_clip"])),
  }
  if seconds:
    facts["seconds"] = round(seconds, 1)
  facts |= {
    name: dict(counted[name].most_common()) for name in _COUNTED if name in counted
  }
  return facts | _summaries(kept)


def _summaries(kept: dict[str, list[np.ndarray]]) -> dict[str, Any]:
  joined = {name: np.concatenate(parts) for name, parts in kept.items()}
  out: dict[str, Any] = {
    name: distribution(joined[name].ravel().astype(np.float64), edges)
    for name, edges in _EDGES.items()
    if name in joined and np.isfinite(joined[name]).any()
  }
  if "betas" in joined:
    betas = joined["betas"]
    out["betas"] = [distribution(column, None) for column in betas.T]
  names = body_joints.SMPL_JOINTS
  for key in ("visibility", "inside_frame"):
    if key in joined:
      out[key] = _shares(names, joined[key])
  if "keypoint_found" in joined:
    out["keypoint_found"] = _shares(
      body_joints.COCO_KEYPOINTS, joined["keypoint_found"]
    )
  for key in ("joint_speed", "joint_angle"):
    if key in joined:
      out[f"{key}_by_joint"] = {
        name: {
          "median": _rounded(np.nanmedian(column)),
          "p95": _rounded(np.nanquantile(column, 0.95)),
        }
        for name, column in zip(names, joined[key].T, strict=True)
        if np.isfinite(column).any()
      }
  return out


def distribution(
  values: Float[np.ndarray, "n"], edges: Float[np.ndarray, "m"] | None
) -> dict[str, Any]:
  """The mean, the spread and the quantiles of finite values; a histogram if asked for.

  The first and the last bin also count the values beyond them.
  """
  finite = values[np.isfinite(values)]
  p5, median, p95 = np.quantile(finite, (0.05, 0.5, 0.95))
  out: dict[str, Any] = {
    "mean": _rounded(finite.mean()),
    "std": _rounded(finite.std()),
    "min": _rounded(finite.min()),
    "p5": _rounded(p5),
    "median": _rounded(median),
    "p95": _rounded(p95),
    "max": _rounded(finite.max()),
  }
  if edges is not None:
    counts, _ = np.histogram(np.clip(finite, edges[0], edges[-1]), edges)
    out["histogram"] = {
      "edges": [_rounded(edge) for edge in edges],
      "counts": counts.tolist(),
    }
  return out


def _shares(
  names: Sequence[str], present: Bool[np.ndarray, "rows points"]
) -> dict[str, float]:
  shares = present.mean(0)
  return {name: _rounded(share) for name, share in zip(names, shares, strict=True)}


def _rounded(value: Any) -> float:
  return float(f"{float(value):.4g}")


def _valid(clip: Clip) -> Bool[np.ndarray, "time"]:
  if "valid" in clip:
    return np.asarray(clip["valid"], bool)
  return np.ones(len(clip["frames"]), bool)


def _measures(
  clip: Clip, valid: Bool[np.ndarray, "time"], frame_height: int
) -> dict[str, np.ndarray]:
  """The values of each measure in the valid frames of one clip."""
  out: dict[str, np.ndarray] = {}
  if not valid.any():
    return out
  steps = valid[1:] & valid[:-1]
  if "betas" in clip:
    out["betas"] = clip["betas"][None]
  if "visibility" in clip:
    out["visibility"] = clip["visibility"][valid] > 0
  if "pose" in clip:
    pose = clip["pose"][valid]
    angles = np.degrees(np.linalg.norm(pose, axis=-1))
    # The rotation of the pelvis is the body's orientation, no angle of a joint.
    out["joint_angle"] = np.where(np.arange(24) == 0, np.nan, angles)
    out["facing"] = _facing(pose[:, 0])
  if "joints_camera" in clip and "fps" in clip:
    points = clip["joints_camera"]
    relative = points - points[:, :1]
    speed = np.linalg.norm(np.diff(relative, axis=0), axis=-1)[steps] * clip["fps"]
    out["joint_speed"] = np.where(np.arange(24) == 0, np.nan, speed)
    if "intrinsics" in clip:  # Else the origin is the pelvis.
      moved = np.linalg.norm(np.diff(points[:, 0], axis=0), axis=-1)
      out["pelvis_speed"] = moved[steps] * clip["fps"]
  out |= _in_the_frame(clip, valid, steps, frame_height)
  if "mask" in clip:
    data = clip["mask"][int(np.flatnonzero(valid)[valid.sum() // 2])]
    out["mask_share"] = np.array([np.mean(jpeg.decode(data, colour=False) > 0)])
  return out


def _in_the_frame(
  clip: Clip,
  valid: Bool[np.ndarray, "time"],
  steps: Bool[np.ndarray, "pairs"],
  frame_height: int,
) -> dict[str, np.ndarray]:
  """The measures in pixels, by the joints if a camera is known, else by keypoints."""
  out: dict[str, np.ndarray] = {}
  height = None
  pixels = clip_view.joints_image(clip)
  if pixels is not None:
    high, wide = clip_view.frame_shape(clip)
    inside: np.ndarray = np.all((pixels >= 0) & (pixels < [wide, high]), axis=-1)
    out["inside_frame"] = inside[valid]
    height = np.ptp(pixels[..., 1], axis=1)
  if "keypoints_image" in clip:
    points = clip["keypoints_image"]
    found = np.asarray(points[..., 2] > 0)
    out["keypoint_found"] = found[valid]
    if height is None:
      low = np.where(found, points[..., 1], np.inf).min(1)
      height = np.where(found, points[..., 1], -np.inf).max(1) - low
      height = np.where(np.isfinite(height), height, np.nan)
    both = np.logical_and(found[1:], found[:-1])[steps]
    moved = np.linalg.norm(np.diff(points[..., :2], axis=0), axis=-1)[steps]
    typical = np.nanmedian(height) if np.isfinite(height).any() else np.nan
    out["keypoint_speed"] = (moved / typical)[both]
  if height is not None:
    out["person_height"] = height[valid] / frame_height
  return out


def _facing(orientation: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n"]:
  """The direction of the body's front (+z at rest) about the vertical, degrees."""
  front = Rotation.from_rotvec(orientation).apply([0.0, 0.0, 1.0])
  return np.degrees(np.arctan2(-front[:, 0], -front[:, 2]))
