"""Whether keypoints are read as coordinates."""

import pytest
from ml_collections import ConfigDict

from mhmr_jax.errors import InputError
from mhmr_jax.keypoints import form


def _config(inputs, **keypoints):
  return ConfigDict({"model": {"inputs": inputs}, "keypoints": keypoints})


@pytest.mark.parametrize(
  ("inputs", "keypoints", "expected"),
  [
    (("keypoints",), {"form": "coordinates"}, True),
    (("flow", "keypoints"), {"form": "coordinates"}, True),
    (("flow",), {"form": "coordinates"}, False),
    (("keypoints",), {"form": "heatmaps"}, False),
    (("keypoints",), {}, False),  # A run of a version that had only heatmaps.
  ],
)
def test_coordinates_are_read_where_the_config_says_so(inputs, keypoints, expected):
  assert form.reads_coordinates(_config(inputs, **keypoints)) is expected


def test_an_unknown_form_is_named_with_those_that_there_are():
  with pytest.raises(InputError) as caught:
    form.reads_coordinates(_config(("keypoints",), form="points"))
  assert str(caught.value) == (
    "config.keypoints.form is 'points': use one of heatmaps, coordinates."
  )
