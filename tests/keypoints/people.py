"""People that the tests of the noise model and of its fit look at."""

import numpy as np

HEIGHT = 200.0  # px
# A standing person seen from the front, y down, in fractions of the height.
STANDING = np.array(
  [
    [0.00, 0.06], [0.02, 0.04], [-0.02, 0.04], [0.05, 0.05], [-0.05, 0.05],
    [0.11, 0.18], [-0.11, 0.18], [0.15, 0.35], [-0.15, 0.35], [0.16, 0.48],
    [-0.16, 0.48], [0.08, 0.50], [-0.08, 0.50], [0.08, 0.75], [-0.08, 0.75],
    [0.08, 1.00], [-0.08, 1.00],
  ]
)  # fmt: skip
