"""Reads the cameras' orientations from a calibration of Qualisys' (.qca.txt, XML).

Its cameras look along their own -z, and their y is up in the image. A row of the
rotation in a file is one of the camera's axes in the world.
"""

import pathlib
import xml.etree.ElementTree as ET

import numpy as np
from jaxtyping import Float

from mhmr_jax.files import untrusted

# From Qualisys' camera axes to x right, y down, z forward.
_FORWARD = np.diag([1.0, -1.0, -1.0])


def read(path: pathlib.Path) -> Float[np.ndarray, "cameras 3 3"]:
  """The rotations from world to camera frames; InputError for a damaged file."""
  with untrusted.reading(path, "a calibration of Qualisys'"):
    turns = []
    for camera in ET.parse(path).getroot().iterfind("cameras/camera/transform"):
      rows = [[float(camera.attrib[f"r{i}{j}"]) for j in "123"] for i in "123"]
      turns.append(_FORWARD @ np.array(rows))
    if not turns:
      raise ValueError("there is no camera in it")
    return np.stack(turns)
