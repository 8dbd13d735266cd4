"""A sphere of triangles, whose depth and outline are known exactly."""

import numpy as np

from mhmr_jax.synth import render


def sphere(
  radius: float, centre: tuple[float, float, float]
) -> tuple[np.ndarray, render.Mesh]:
  """Vertices and their mesh, seen from outside counter-clockwise."""
  rings, segments = 60, 120
  polar, around = np.meshgrid(
    np.linspace(0, np.pi, rings), np.arange(segments) * 2 * np.pi / segments,
    indexing="ij",
  )  # fmt: skip
  unit = np.stack(
    [np.sin(polar) * np.cos(around), np.cos(polar), np.sin(polar) * np.sin(around)], -1
  ).reshape(-1, 3)
  faces = []
  for ring in range(rings - 1):
    for segment in range(segments):
      a = ring * segments + segment
      b = ring * segments + (segment + 1) % segments
      faces += [[a, b, a + segments], [b, b + segments, a + segments]]
  vertices = (unit * radius + np.array(centre)).astype(np.float32)
  return vertices, render.Mesh(np.array(faces, np.int32))
