"""The kinds of clips: everything, everything but one thing, and another domain."""

import dataclasses

from mhmr_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Variant:
  """What clips have; all is drawn from streams of its own, so the rest stays equal."""

  moving_background: bool = True  # Motion of its own; it follows the camera anyway.
  moving_camera: bool = True
  occluders: bool = True
  distractors: bool = True  # Other people, farther away.
  recording: bool = True  # Motion blur and compression.
  shifted: bool = False  # Other bodies, textures, scenes, light, sensors, cameras.


VARIANTS = {
  "full": Variant(),
  "static_background": Variant(moving_background=False),
  "static_camera": Variant(moving_camera=False),
  "no_occluders": Variant(occluders=False),
  "plain": Variant(
    moving_background=False, moving_camera=False, occluders=False, distractors=False
  ),
  "shifted": Variant(shifted=True),
  # Cheap: for experiments on few cores.
  "alone": Variant(occluders=False, distractors=False, recording=False),
}


def get(name: str) -> Variant:
  """The variant of that name.

  Raises:
    InputError: where there is none.
  """
  if name not in VARIANTS:
    raise InputError(
      f"There is no variant {name!r} of the synthetic clips: choose one of "
      f"{', '.join(VARIANTS)}."
    )
  return VARIANTS[name]
