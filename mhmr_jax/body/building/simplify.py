"""Simplifies a triangle mesh to a subset of its vertices, keeping it symmetric."""

import heapq

import numpy as np
import scipy.sparse
from jaxtyping import Bool, Float, Int


def triangulate(
  quads: Int[np.ndarray, "f 4"],
  vertices: Float[np.ndarray, "n 3"],
  mirror: Int[np.ndarray, " n"],
) -> Int[np.ndarray, "t 3"]:
  """Splits quads along the shorter diagonal, the same on both sides of the body."""
  first = np.linalg.norm(vertices[quads[:, 0]] - vertices[quads[:, 2]], axis=1)
  second = np.linalg.norm(vertices[quads[:, 1]] - vertices[quads[:, 3]], axis=1)
  # Equal up to rounding: the smaller vertex of the two sides' quads decides.
  tie = np.minimum(quads, mirror[quads]).argmin(1) % 2 == 0
  cut = np.where(np.abs(first - second) < 1e-9, tie, first < second)
  turned = np.where(cut[:, None], quads, np.roll(quads, -1, axis=1))
  return np.concatenate([turned[:, [0, 1, 2]], turned[:, [0, 2, 3]]])


def largest_patch(
  faces: Int[np.ndarray, "t 3"], chosen: Bool[np.ndarray, " t"]
) -> Bool[np.ndarray, " t"]:
  """Selects the largest group of the chosen faces that are connected by edges."""
  index = np.flatnonzero(chosen)
  edges = np.sort(faces[index][:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
  _, edge = np.unique(edges, axis=0, return_inverse=True)
  incidence = scipy.sparse.coo_array(
    (np.ones(len(edge)), (np.repeat(np.arange(len(index)), 3), edge))
  ).tocsr()
  _, label = scipy.sparse.csgraph.connected_components(incidence @ incidence.T)
  patch = np.zeros(len(faces), bool)
  patch[index[label == np.bincount(label).argmax()]] = True
  return patch


def mirrored(
  faces: Int[np.ndarray, "t 3"],
  chosen: Bool[np.ndarray, " t"],
  mirror: Int[np.ndarray, " n"],
) -> Bool[np.ndarray, " t"]:
  """Selects the faces that are mirror images of the chosen ones."""
  images = {tuple(face) for face in np.sort(mirror[faces[chosen]], axis=1).tolist()}
  corners = np.sort(faces, axis=1).tolist()
  return np.array([tuple(face) in images for face in corners])


def boundary_loop(faces: Int[np.ndarray, "t 3"]) -> list[int]:
  """Returns the boundary of a patch, in the direction of its faces' edges.

  Raises:
    ValueError: the patch has more than one boundary.
  """
  edges = {(a, b) for face in faces.tolist() for a, b in _edges(face)}
  after = {a: b for a, b in edges if (b, a) not in edges}
  loop = [min(after)]
  while after[loop[-1]] != loop[0]:
    loop.append(after[loop[-1]])
  if len(loop) != len(after):
    raise ValueError("The patch has more than one boundary.")
  return loop


class Simplifier:
  """Quadric edge collapse on both sides of a symmetric mesh at once.

  After Garland & Heckbert, "Surface simplification using quadric error metrics"
  (1997), but every collapse keeps one of the edge's own vertices, so that the kept
  vertices' attributes (targets, weights) stay exact.
  """

  def __init__(
    self,
    vertices: Float[np.ndarray, "n 3"],
    faces: Int[np.ndarray, "t 3"],
    mirror: Int[np.ndarray, " n"],
    importance: Float[np.ndarray, " t"],
    features: Float[np.ndarray, "n k"],
  ):
    """Prepares the collapses.

    Args:
      vertices: metres.
      faces: a closed surface.
      mirror: the vertex at -x of each vertex.
      importance: factors on the squared distances from each face.
      features: metres; attributes of the vertices whose change a collapse should keep
        small.
    """
    self.vertices = vertices
    self.mirror = mirror.tolist()
    self.features = features
    self.faces = {i: tuple(face) for i, face in enumerate(faces.tolist())}
    self.around: dict[int, set[int]] = {}
    for i, face in self.faces.items():
      for v in face:
        self.around.setdefault(v, set()).add(i)
    self.quadrics = np.zeros((len(vertices), 4, 4))
    self.areas = np.zeros(len(vertices))
    for face, weight in zip(faces, importance, strict=True):
      a, b, c = vertices[face]
      cross = np.cross(b - a, c - a)
      area = np.linalg.norm(cross) / 2
      plane = np.append(cross, -cross @ a) / max(2 * area, 1e-12)
      self.quadrics[face] += weight * area / 3 * np.outer(plane, plane)
      self.areas[face] += weight * area / 3

  def run(self, count: int) -> Int[np.ndarray, "t 3"]:
    """Collapses edges until at most `count` vertices are left."""
    heap = [entry for v in list(self.around) for entry in self._candidates(v)]
    heapq.heapify(heap)
    while len(self.around) > count:
      cost, removed, kept = heapq.heappop(heap)
      if removed not in self.around or kept not in self._neighbours(removed):
        continue
      now = self._cost(removed, kept)
      if now > cost * (1 + 1e-9):
        heapq.heappush(heap, (now, removed, kept))
        continue
      if not self._allowed(removed, kept):
        continue
      pairs = {(removed, kept), (self.mirror[removed], self.mirror[kept])}
      for pair in sorted(pairs):
        self._collapse(*pair)
      for v in sorted(self._neighbours(kept) | {kept}):
        for entry in self._candidates(v):
          heapq.heappush(heap, entry)
    return np.array(list(self.faces.values()))

  def _neighbours(self, v: int) -> set[int]:
    return {u for i in self.around[v] for u in self.faces[i]} - {v}

  def _on_left(self, v: int) -> bool:
    return bool(self.vertices[v, 0] > 0)

  def _candidates(self, v: int) -> list[tuple[float, int, int]]:
    # The right side follows the left; the middle line collapses within itself.
    if not self._on_left(v) and self.mirror[v] != v:
      return []
    options = [
      u
      for u in sorted(self._neighbours(v))
      if (self.mirror[u] == u or self._on_left(u))
      and (self.mirror[v] != v or self.mirror[u] == u)
    ]
    return [(self._cost(v, u), v, u) for u in options]

  def _cost(self, removed: int, kept: int) -> float:
    place = np.append(self.vertices[kept], 1.0)
    error = place @ (self.quadrics[removed] + self.quadrics[kept]) @ place
    change = self.features[removed] - self.features[kept]
    return float(error + self.areas[removed] * (change @ change))

  def _allowed(self, removed: int, kept: int) -> bool:
    """Whether the surface stays a manifold and no face turns over."""
    mirrored = self.mirror[removed]
    near, target = self._neighbours(removed), self._neighbours(kept)
    if len(near & target) != 2:
      return False
    if mirrored != removed:
      if any(self.mirror[u] != u and not self._on_left(u) for u in near):
        return False
      if self.mirror[kept] == kept:
        shared = near & self._neighbours(mirrored)
        if not shared <= target | {kept}:
          return False
    for i in self.around[removed]:
      face = self.faces[i]
      if kept in face:
        continue
      old = _normal(self.vertices[list(face)])
      new = _normal(self.vertices[[kept if v == removed else v for v in face]])
      lengths = np.linalg.norm(old) * np.linalg.norm(new)
      if old @ new < 0.3 * lengths or np.linalg.norm(new) < 1e-9:
        return False
    return True

  def _collapse(self, removed: int, kept: int) -> None:
    for i in self.around.pop(removed):
      face = self.faces[i]
      if kept in face:
        del self.faces[i]
        for v in face:
          if v != removed:
            self.around[v].discard(i)
      else:
        a, b, c = (kept if v == removed else v for v in face)
        self.faces[i] = (a, b, c)
        self.around[kept].add(i)
    self.quadrics[kept] += self.quadrics[removed]
    self.areas[kept] += self.areas[removed]


def runs_into(
  vertices: Float[np.ndarray, "n 3"],
  faces: Int[np.ndarray, "t 3"],
  blockers: Int[np.ndarray, "b 3"],
) -> Bool[np.ndarray, " t"]:
  """Whether the ray along a face's normal hits one of the faces in `blockers`."""
  start = vertices[faces].mean(1)
  ray = _normal(vertices[faces])
  ray /= np.maximum(np.linalg.norm(ray, axis=1, keepdims=True), 1e-12)
  start = start + 1e-5 * ray
  a, b, c = np.moveaxis(vertices[blockers], 1, 0)
  hit = np.zeros(len(faces), bool)
  for i, (origin, direction) in enumerate(zip(start, ray, strict=True)):
    # Möller & Trumbore's test, one ray against all blockers.
    p = np.cross(direction, c - a)
    with np.errstate(divide="ignore", invalid="ignore"):
      inverse = 1 / np.sum((b - a) * p, axis=1)
      u = np.sum((origin - a) * p, axis=1) * inverse
      q = np.cross(origin - a, b - a)
      v = np.sum(direction * q, axis=1) * inverse
      t = np.sum((c - a) * q, axis=1) * inverse
    hit[i] = np.any((u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0))
  return hit


def _edges(face: list[int]) -> list[tuple[int, int]]:
  return [(face[0], face[1]), (face[1], face[2]), (face[2], face[0])]


def _normal(corners: Float[np.ndarray, "*b 3 3"]) -> Float[np.ndarray, "*b 3"]:
  a, b, c = np.moveaxis(corners, -2, 0)
  return np.cross(b - a, c - a)
