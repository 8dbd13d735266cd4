"""Fits the predictions for stored clips to the keypoints that the network was given."""

from collections.abc import Sequence

import numpy as np

from mhmr_jax.inference import keypoint_fit
from mhmr_jax.inference.keypoint_fit import Person
from mhmr_jax.inference.reprojection import Body
from mhmr_jax.inference.sequences import SequencePrediction
from mhmr_jax.schema import Clip


def fit(
  body: Body,
  clips: Sequence[Clip],
  predictions: Sequence[SequencePrediction],
  size: int,
) -> list[SequencePrediction]:
  """Replaces the rotations and shapes of predictions by fitted ones.

  Cameras stay the network's. Clips without `fps` are taken to have 30 frames a second.

  Args:
    body: the body that the network predicts.
    clips: the clips, of which only intrinsics and frame rates are read, and no labels.
    predictions: the predictions for these clips, with keypoints.
    size: the side of the network's crops, px.
  """
  rates = np.array([clip.get("fps", 30.0) for clip in clips])
  fitted = list(predictions)
  for rate in np.unique(rates):
    chosen = np.flatnonzero(rates == rate).tolist()
    people = [_person(clips[i], predictions[i], size) for i in chosen]
    for index, one in zip(chosen, keypoint_fit.fit(body, people, rate), strict=True):
      betas = np.broadcast_to(one.betas, predictions[index].betas.shape)
      fitted[index] = predictions[index]._replace(rotations=one.rotations, betas=betas)
  return fitted


def _person(clip: Clip, prediction: SequencePrediction, size: int) -> Person:
  """Converts a prediction to what the fit takes, in image pixels."""
  assert prediction.keypoints is not None
  box = prediction.box
  side = box[:, 2] - box[:, 0]
  keypoints = prediction.keypoints.copy()
  keypoints[..., :2] *= (side / size)[:, None, None]
  keypoints[..., :2] += box[:, None, :2]
  intrinsics = clip.get("intrinsics")
  if intrinsics is None:
    # A camera that sees the window under an angle of 53 degrees.
    (x, y), focal = np.median((box[:, :2] + box[:, 2:]) / 2, axis=0), np.median(side)
    intrinsics = np.array([[focal, 0, x], [0, focal, y], [0, 0, 1]])
  return Person(
    rotations=prediction.rotations,
    betas=prediction.betas,
    camera=prediction.camera,
    box=box,
    keypoints=keypoints,
    intrinsics=intrinsics,
    segment=np.zeros(len(box), np.int32),
  )
