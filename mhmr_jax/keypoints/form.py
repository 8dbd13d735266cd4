"""How keypoints enter the network: as heatmaps among the pixels, or as coordinates."""

from ml_collections import ConfigDict

from mhmr_jax.errors import InputError

FORMS = ("heatmaps", "coordinates")


def reads_coordinates(config: ConfigDict) -> bool:
  """Whether the network of a whole config reads keypoints as coordinates.

  Raises:
    InputError: there is no such form of keypoints.
  """
  form = config.keypoints.get("form", "heatmaps")
  if form not in FORMS:
    raise InputError(
      f"config.keypoints.form is {form!r}: use one of {', '.join(FORMS)}."
    )
  return "keypoints" in config.model.inputs and form == "coordinates"
