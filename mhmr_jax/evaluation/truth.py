"""What an evaluation compares: the labels of clips, and the predictions for them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from mhmr_jax.errors import InputError
from mhmr_jax.evaluation import protocols
from mhmr_jax.schema import Clip


class Truth(NamedTuple):
  """The labels of several clips, one clip after the other along the axis `frames`."""

  pose: Float[np.ndarray, "frames 24 3"]
  betas: Float[np.ndarray, "frames 10"]
  joints_camera: Float[np.ndarray, "frames 24 3"]
  valid: Bool[np.ndarray, "frames"]
  frame_index: Int[np.ndarray, "frames"]
  keypoints: Float[np.ndarray, "frames 17 3"] | None
  lengths: Int[np.ndarray, "clips"]
  fps: Float[np.ndarray, "clips"]
  names: tuple[str, ...]  # One for each clip, as are `sequences` and `genders`.
  sequences: tuple[str, ...]  # Both people of a 3DPW sequence share its name.
  genders: tuple[str, ...]

  @classmethod
  def of(cls, clips: Sequence[Clip], dataset: str) -> "Truth":
    """Joins the labels of a dataset's clips; InputError if there are no clips."""
    if not clips:
      raise InputError("That split has no clips: there is nothing to score.")
    lengths = np.array([len(clip["pose"]) for clip in clips])
    betas = np.stack([clip["betas"] for clip in clips])
    keypoints = [c["keypoints_image"] for c in clips if "keypoints_image" in c]
    return cls(
      pose=np.concatenate([clip["pose"] for clip in clips]),
      betas=np.repeat(betas, lengths, axis=0),
      joints_camera=np.concatenate([clip["joints_camera"] for clip in clips]),
      valid=np.concatenate([np.asarray(clip["valid"], bool) for clip in clips]),
      frame_index=np.concatenate([clip["frame_index"] for clip in clips]),
      keypoints=np.concatenate(keypoints) if len(keypoints) == len(clips) else None,
      lengths=lengths,
      fps=np.array([clip["fps"] for clip in clips], np.float32),
      names=tuple(clip["sequence"] for clip in clips),
      sequences=tuple(protocols.sequence_of(dataset, c["sequence"]) for c in clips),
      genders=tuple(clip.get("gender", "neutral") for clip in clips),
    )

  @property
  def num_frames(self) -> int:
    """The number of frames of all clips together."""
    return len(self.valid)

  def by_clip(self, values: Shaped[np.ndarray, "frames ..."]) -> list[np.ndarray]:
    """Splits values of all frames into one array for each clip."""
    return np.split(values, np.cumsum(self.lengths)[:-1])


class Predicted(NamedTuple):
  """Predictions for every frame of the truth, in one of three forms.

  Attributes:
    arrays: `rotations` [frames, 24, 3, 3] and `betas` [frames, 10]; or `vertices`
      [frames, V, 3]; or `points` [frames, n + 1, 3], the protocol's n joints followed
      by its root. `points` may accompany `vertices`. A single body, with a leading
      axis of 1, stands for all frames.
    present: the frames that have a prediction.
  """

  arrays: Mapping[str, np.ndarray]
  present: Bool[np.ndarray, "frames"]

  @classmethod
  def of_bodies(
    cls,
    rotations: Float[np.ndarray, "frames 24 3 3"],
    betas: Float[np.ndarray, "frames 10"],
  ) -> "Predicted":
    """A body for every frame."""
    arrays = {"rotations": rotations, "betas": betas}
    return cls(arrays, np.ones(len(betas), bool))

  @classmethod
  def constant(
    cls,
    rotations: Float[np.ndarray, "24 3 3"],
    betas: Float[np.ndarray, "10"],
    frames: int,
  ) -> "Predicted":
    """The same body in every frame, which is posed only once."""
    arrays = {"rotations": rotations[None], "betas": betas[None]}
    return cls(arrays, np.ones(frames, bool))

  @property
  def constant_body(self) -> bool:
    """Whether one body stands for all frames."""
    return "betas" in self.arrays and len(self.arrays["betas"]) < len(self.present)
