"""The parameters of the keypoint noise model; `corruption` applies them to a clip."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class KeypointNoise:
  """How a detector errs.

  Lengths are fractions of the person's size: the longer side of the box round all 17
  points, its median over the clip. Probabilities are shares of frames, not of onsets.

  Attributes:
    offset: standard deviation of a clip's constant error: the detector places a joint
      elsewhere than the body does. It is scaled by COCO's spread: 1.6 for hips, 0.4
      for eyes. Along the trunk, an error of twice that is shared by left and right.
    width: standard deviation of a clip's relative error of the distance between left
      and right (detectors disagree on how wide hips and shoulders are).
    jitter: standard deviation of the error that drifts from frame to frame.
    correlation: correlation of that drift between neighbouring frames.
    flicker: scale of the error that is new in every frame; it has Student's
      t-distribution with 4 degrees of freedom.
    speed: error added by a movement of 1 a frame (motion blur), drifting as `jitter`
      does.
    occluded: factor on jitter and flicker of a point that is occluded.
    quality: standard deviation of the log of a clip's factor on jitter, flicker and
      misses: some detectors and videos are better than others.
    outlier: probability that a point is reported somewhere else on the body.
    outlier_distance: standard deviation of an outlier's displacement.
    miss: probability that a visible point is not reported.
    miss_occluded: probability that an occluded point is not reported; if it is, its
      place is guessed.
    miss_outside: probability that a point outside the frame is not reported; if it
      is, it lies at the border.
    miss_limb: probability that a forearm or lower leg is not reported.
    miss_frame: probability that nothing is reported.
    swap: probability that left and right of one pair are exchanged; threefold where
      one of the two is occluded.
    swap_limbs: probability that both arms, or both legs, are exchanged.
    jump: probability that all points are those of somebody else: about as large, in
      another pose, half a size to two sizes to the side.
    run: mean length in frames of an outlier, a miss, a swap or a jump.
    score_error: the error at which the score has fallen to 1/e.
    score_occluded: factor on the score of a point that is occluded.
    score_power: median of a clip's exponent on all scores; below 1 they are higher.
    score_gamma: standard deviation of that exponent's log, so that the network cannot
      depend on one detector's calibration.
    score_constant: probability that a clip's scores are all 1.
  """

  offset: float = 0.008
  width: float = 0.1
  jitter: float = 0.007
  correlation: float = 0.9
  flicker: float = 0.0025
  speed: float = 0.15
  occluded: float = 2.5
  quality: float = 0.4
  outlier: float = 0.005
  outlier_distance: float = 0.12
  miss: float = 0.01
  miss_occluded: float = 0.15
  miss_outside: float = 0.85
  miss_limb: float = 0.01
  miss_frame: float = 0.005
  swap: float = 0.004
  swap_limbs: float = 0.015
  jump: float = 0.002
  run: float = 5.0
  score_error: float = 0.06
  score_occluded: float = 0.6
  score_power: float = 1.0
  score_gamma: float = 0.5
  score_constant: float = 0.1


# Another detector, for the shifted domain of the synthetic clips: it places joints
# elsewhere, flickers more than it drifts, misses more, and its scores fall otherwise.
SHIFTED = KeypointNoise(
  offset=0.014,
  width=0.2,
  jitter=0.004,
  correlation=0.5,
  flicker=0.006,
  speed=0.05,
  occluded=1.2,
  quality=0.1,
  outlier=0.015,
  outlier_distance=0.3,
  miss=0.03,
  miss_occluded=0.5,
  miss_outside=0.3,
  miss_limb=0.03,
  miss_frame=0.02,
  swap=0.01,
  swap_limbs=0.03,
  run=2.0,
  score_error=0.15,
  score_occluded=0.25,
  score_gamma=0.1,
  score_constant=0.0,
  jump=0.006,
  score_power=0.7,
)
