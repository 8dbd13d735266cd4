import base64
import importlib.util
import json
import pathlib
import re
import types
import zipfile
from html.parser import HTMLParser

import jax
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mhmr_jax.body import joints, smpl
from mhmr_jax.errors import InputError
from mhmr_jax.schema import Motion
from mhmr_jax.visualize import viewer
from tests import motions

HOSTILE = '</script><script>alert("1")</script><!-- $three \0video\0 &amp; \u2028'


class Page(HTMLParser):
  """The scripts of a page by their id, what it refers to, and its visible text."""

  def __init__(self, text: str):
    super().__init__()
    self.scripts: dict[str, str] = {}
    self.references: list[str] = []
    self.policy = ""
    self.text = ""
    self.open = ""
    self.feed(text)
    self.close()

  def handle_starttag(self, tag, attrs):
    attributes = dict(attrs)
    for name in ("src", "href", "srcset", "poster", "action", "data", "style"):
      if name in attributes:
        self.references.append(f"{tag} {name}={attributes[name]}")
    if attributes.get("http-equiv") == "Content-Security-Policy":
      self.policy = attributes["content"]
    self.open = tag
    if tag == "script":
      self.open = attributes.get("id", attributes.get("type", "three"))
      assert self.open not in self.scripts
      self.scripts[self.open] = ""

  def handle_data(self, data):
    if self.open in self.scripts:
      self.scripts[self.open] += data
    else:
      self.text += data

  def handle_endtag(self, tag):
    self.open = ""


def decode(packed: dict) -> np.ndarray:
  stored = np.frombuffer(base64.b64decode(packed["base64"]), packed["type"])
  return stored if packed["scale"] is None else stored * packed["scale"]


@pytest.fixture(scope="module")
def body() -> smpl.SmplModel:
  return smpl.load()


def choose(motion: Motion, rows: np.ndarray) -> Motion:
  """Some rows of a motion, as of a person who leaves and comes back."""
  count = len(motion.times)
  columns = {
    name: value[rows]
    for name, value in motion._asdict().items()
    if isinstance(value, np.ndarray) and len(value) == count
  }
  return motion._replace(**columns)


@pytest.fixture(scope="module")
def people(body) -> list[Motion]:
  second = motions.walking(body, seed=1)
  return [
    motions.walking(body, seed=0),
    choose(second, np.r_[5:12, 20:30]),
  ]


@pytest.fixture
def page(tmp_path, people, body) -> Page:
  viewer.write(tmp_path / "motion.html", people, body, None)
  return Page((tmp_path / "motion.html").read_text())


def make_video(path: pathlib.Path, size: int = 1000) -> bytes:
  """A file that begins as an MP4 does."""
  content = b"\0\0\0\x20ftypisom" + np.random.default_rng(0).bytes(size)
  path.write_bytes(content)
  return content


def test_a_page_refers_to_nothing_outside_itself(page):
  assert page.references == []
  assert page.policy.startswith("default-src 'none';")
  assert "http" not in page.policy
  own = page.scripts["module"] + page.text
  assert not re.findall(r"https?:|url\(|@import|\bimport\b|\beval\b|innerHTML", own)


def test_three_js_comes_from_the_installed_package_with_its_licence(page):
  template = pathlib.Path(importlib.util.find_spec("trimesh").origin).parent
  with zipfile.ZipFile(template / "resources/templates/viewer.zip") as archive:
    original = archive.read("viewer.html.template").decode()
  three = page.scripts["three"].strip()
  assert three in original
  assert len(three) > 500_000
  assert "Three.js Authors" in three[:200]
  assert "SPDX-License-Identifier: MIT" in three[:200]
  assert "TrackballControls" not in three  # An add-on, which follows the library.


@pytest.mark.parametrize("content", [None, "<script>/** @license */</script>"])
def test_a_trimesh_without_three_js_is_refused(tmp_path, monkeypatch, content):
  (tmp_path / "resources/templates").mkdir(parents=True)
  if content is not None:
    with zipfile.ZipFile(tmp_path / "resources/templates/viewer.zip", "w") as archive:
      archive.writestr("viewer.html.template", content)
  found = types.SimpleNamespace(origin=str(tmp_path / "__init__.py"))
  monkeypatch.setattr(importlib.util, "find_spec", lambda _: found)
  with pytest.raises(InputError, match=r"trimesh has no three\.js"):
    viewer.read_three_js()


def test_the_rows_come_back_within_their_rounding(page, people):
  data = json.loads(page.scripts["motion-data"])
  assert data["fps"] == 30
  assert data["skeleton"]["names"] == list(joints.SMPL_JOINTS)
  for motion, person in zip(people, data["people"], strict=True):
    arrays = {name: decode(packed) for name, packed in person["arrays"].items()}
    np.testing.assert_array_equal(arrays["times"], motion.times)
    np.testing.assert_array_equal(arrays["detected"], motion.detected)
    np.testing.assert_allclose(arrays["confidence"], motion.confidence, atol=0.002)
    np.testing.assert_allclose(
      arrays["contacts"].reshape(-1, 2), motion.contacts, atol=0.002
    )
    root = arrays["root"].reshape(-1, 3)
    np.testing.assert_allclose(root, motion.joints_world[:, 0], atol=1e-5)
    stored = Rotation.from_quat(arrays["rotations"].reshape(-1, 4))
    exact = Rotation.from_rotvec(motion.pose_world.reshape(-1, 3))
    assert (stored * exact.inv()).magnitude().max() < 2e-4


def test_a_row_before_a_gap_has_no_next_one(page):
  data = json.loads(page.scripts["motion-data"])
  followed = decode(data["people"][1]["arrays"]["followed"])
  assert np.flatnonzero(followed == 0).tolist() == [6, 16]


def test_bodies_skinned_from_the_page_are_those_of_the_body_model(page, people, body):
  data = json.loads(page.scripts["motion-data"])
  mesh = {name: decode(packed) for name, packed in data["mesh"].items()}
  np.testing.assert_array_equal(mesh["faces"].reshape(-1, 3), body.faces)
  skin_joints = mesh["skin_joints"].reshape(-1, 4)
  weights = mesh["skin_weights"].reshape(-1, 4)
  weights = weights / weights.sum(axis=1, keepdims=True)
  arrays = {n: decode(a) for n, a in data["people"][0]["arrays"].items()}
  rest_joints = arrays["rest_joints"].reshape(24, 3)
  rest_vertices = arrays["rest_vertices"].reshape(-1, 3)
  row = 17
  local = Rotation.from_quat(arrays["rotations"].reshape(-1, 24, 4)[row]).as_matrix()
  turns, places = [local[0]], [arrays["root"].reshape(-1, 3)[row]]
  for joint in range(1, 24):
    parent = data["skeleton"]["parents"][joint]
    offset = rest_joints[joint] - rest_joints[parent]
    places.append(places[parent] + turns[parent] @ offset)
    turns.append(turns[parent] @ local[joint])
  motion = people[0]
  np.testing.assert_allclose(places, motion.joints_world[row], atol=1e-3)
  moved = np.einsum(
    "vkij,vkj->vki",
    np.array(turns)[skin_joints],
    rest_vertices[:, None] - rest_joints[skin_joints],
  )
  skinned = (weights[..., None] * (moved + np.array(places)[skin_joints])).sum(axis=1)
  parameters = (motion.pose_world, motion.betas, motion.transl_world)
  forward = jax.jit(smpl.forward)
  expected = np.asarray(forward(body, *(array[row] for array in parameters))[0])
  distance = np.linalg.norm(skinned - expected, axis=1)
  assert distance.mean() < 1e-3
  assert distance.max() < 0.02  # The weakest of seven joints are left out.


def test_the_camera_of_the_video_is_found_again(page):
  camera = json.loads(page.scripts["motion-data"])["camera"]
  np.testing.assert_allclose(camera["position"], [0, 1.2, 4], atol=1e-3)
  np.testing.assert_allclose(camera["forward"], [0, 0, -1], atol=1e-4)
  assert camera["aspect"] == pytest.approx(640 / 480)


def test_a_minute_of_one_person_beside_its_video_is_less_than_15_mb(tmp_path, body):
  motion = motions.walking(body)
  rows = np.arange(1800) % 40
  minute = choose(motion, rows)._replace(
    frame_index=np.arange(1800), times=np.arange(1800) / 30
  )
  content = make_video(tmp_path / "video.mp4", 10_000_000)
  viewer.write(tmp_path / "page.html", [minute], body, tmp_path / "video.mp4")
  size = (tmp_path / "page.html").stat().st_size
  assert size < 15e6
  assert size - len(content) * 4 / 3 < 1.5e6


def test_the_video_is_in_the_page_byte_for_byte(tmp_path, people, body):
  # More than one of the pieces in which it is copied.
  content = make_video(tmp_path / "video.mp4", 7_000_001)
  viewer.write(tmp_path / "page.html", people, body, tmp_path / "video.mp4")
  page = Page((tmp_path / "page.html").read_text())
  assert base64.b64decode(page.scripts["video-data"], validate=True) == content
  assert json.loads(page.scripts["motion-data"])["video_type"] == "video/mp4"


def test_hostile_strings_stay_text(tmp_path, people, body):
  hostile = [people[0]._replace(body=HOSTILE), people[1]]
  path = tmp_path / "page.html"
  viewer.write(path, hostile, body, None, title=HOSTILE)
  page = Page(path.read_text())
  assert set(page.scripts) == {"three", "motion-data", "video-data", "module"}
  assert page.scripts["video-data"] == ""
  data = json.loads(page.scripts["motion-data"])
  assert [person["name"] for person in data["people"]] == ["person 0", "person 1"]
  assert f"body: {HOSTILE}" in data["facts"]
  assert HOSTILE.replace("\0", "") in page.text
  assert "\0" not in path.read_text()


@pytest.mark.parametrize(
  ("content", "message"),
  [(b"RIFF1234AVI LIST", "neither MP4 nor WebM"), (None, "cannot be read")],
)
def test_a_video_that_no_browser_plays_is_refused(
  tmp_path, people, body, content, message
):
  video = tmp_path / "video.avi"
  if content is not None:
    video.write_bytes(content)
  with pytest.raises(InputError, match=rf"video\.avi.*{message}"):
    viewer.write(tmp_path / "page.html", people, body, video)
  assert not (tmp_path / "page.html").exists()
