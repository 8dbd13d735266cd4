"""The variants of the synthetic clips: with everything, with less, and shifted."""

import dataclasses

from mhmr_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Variant:
  """What the clips of a variant contain.

  Each component has a random stream of its own, so that clips of two variants differ in
  these components only.
  """

  moving_background: bool = True  # Besides the motion that the camera causes.
  moving_camera: bool = True
  occluders: bool = True
  distractors: bool = True  # Other people behind the person.
  recording: bool = True  # Motion blur and compression.
  shifted: bool = False  # Drawn from `domains.SHIFTED`.


VARIANTS = {
  "full": Variant(),
  "static_background": Variant(moving_background=False),
  "static_camera": Variant(moving_camera=False),
  "no_occluders": Variant(occluders=False),
  "plain": Variant(
    moving_background=False, moving_camera=False, occluders=False, distractors=False
  ),
  "shifted": Variant(shifted=True),
  # Cheap to make: for experiments on few cores.
  "alone": Variant(occluders=False, distractors=False, recording=False),
}


def get(name: str) -> Variant:
  """Returns the variant of that name.

  Raises:
    InputError: there is no variant of that name.
  """
  if name not in VARIANTS:
    raise InputError(
      f"There is no variant {name!r} of the synthetic clips: choose one of "
      f"{', '.join(VARIANTS)}."
    )
  return VARIANTS[name]
