import numpy as np

from mhmr_jax.body.joints import SMPL_FLIP
from mhmr_jax.motion.procedural import anatomy, poses, stances


def test_a_mirrored_key_pose_is_the_mirror_image():
  for seed, name in enumerate(stances.STANCES):
    pose = stances.sample(np.random.default_rng(seed), name)
    angles = poses.solve([pose, stances.mirrored(pose)])
    points, _ = anatomy.forward_kinematics(anatomy.local_rotations(angles))
    flip = list(SMPL_FLIP)
    np.testing.assert_allclose(points[1], points[0][flip] * (-1, 1, 1), atol=0.01)
