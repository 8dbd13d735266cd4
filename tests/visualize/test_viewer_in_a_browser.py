"""The page in a Chromium that is installed already; without one these tests skip.

Playwright comes with the extra `test` and fetches no browser. Its own Chromium, from
`playwright install chromium`, does as well as the system's.
"""

import pathlib
import shutil

import cv2
import numpy as np
import pytest

from mhmr_jax.body import joints, smpl
from mhmr_jax.visualize import viewer
from tests import motions

sync_api = pytest.importorskip("playwright.sync_api")

FPS, FRAMES = 30, 50
FIRST = 3  # The first frame in which `motions.walking` has people.
STEP = 5  # How much brighter a frame of the video is than the one before.
# The rows of the first person in which there is a second one, who leaves twice.
SECOND = [*range(12), *range(16, 20)]
FLAGS = [
  "--no-sandbox",
  "--disable-background-networking",
  "--enable-unsafe-swiftshader",
]
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")

# Brightness of the frame that the video shows.
READ_FRAME = """() => {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const context = canvas.getContext("2d");
  context.drawImage(document.querySelector("video"), 0, 0, 1, 1);
  return context.getImageData(0, 0, 1, 1).data[1];
}"""


@pytest.fixture(scope="module")
def browser():
  with sync_api.sync_playwright() as playwright:
    own = pathlib.Path(playwright.chromium.executable_path)
    found = (
      str(own) if own.exists() else next(filter(None, map(shutil.which, NAMES)), "")
    )
    if not found:
      pytest.skip("no Chromium is installed")
    browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def people():
  body = smpl.load()
  second = motions.walking(body, seed=1)
  count = len(second.times)
  columns = {
    name: value[SECOND]
    for name, value in second._asdict().items()
    if isinstance(value, np.ndarray) and len(value) == count
  }
  return [motions.walking(body, seed=0), second._replace(**columns)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, people):
  """Pages with and without a video, whose frames say their number by brightness."""
  folder = tmp_path_factory.mktemp("pages")
  video = folder / "video.webm"
  # Chromium without licensed codecs plays VP8, and no H.264.
  writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"VP80"), FPS, (64, 48))
  assert writer.isOpened()
  for index in range(FRAMES):
    writer.write(np.full((48, 64, 3), STEP * index, np.uint8))
  writer.release()
  viewer.write(folder / "video.html", people, smpl.load(), video)
  viewer.write(folder / "plain.html", people, smpl.load(), None)
  broken = folder / "broken.mp4"
  broken.write_bytes(b"\0\0\0\x20ftypisom" + bytes(100))
  viewer.write(folder / "broken.html", people, smpl.load(), broken)
  return folder


class Opened:
  """A page, with what it asked for and complained of."""

  def __init__(self, page, path):
    self.page = page
    self.requests: list[str] = []
    self.complaints: list[str] = []
    page.on("request", lambda request: self.requests.append(request.url))
    page.on("pageerror", lambda error: self.complaints.append(str(error)))
    page.on("console", self._on_console)
    page.goto(path.as_uri())
    page.wait_for_function("() => window.viewer")

  def _on_console(self, message):
    # The driver warns that screenshots are slow.
    if message.type == "error" or "GPU stall" not in message.text:
      self.complaints.append(message.text)

  def wait_for_time(self, time):
    self.page.wait_for_function(
      "time => Math.abs(viewer.time - time) < 0.005", arg=time
    )

  def joints(self, person):
    return self.page.evaluate("person => viewer.joints(person)", person)


@pytest.fixture
def opened(browser, folder, request):
  page = browser.new_page(viewport={"width": 1280, "height": 800})
  opened = Opened(page, folder / request.param)
  yield opened
  page.close()


with_video = pytest.mark.parametrize("opened", ["video.html"], indirect=True)
without_video = pytest.mark.parametrize("opened", ["plain.html"], indirect=True)


@with_video
def test_the_scene_moves_with_the_video(opened, people):
  pictures = []
  for row in (4, 14, 18, 30):
    frame = row + FIRST
    opened.page.evaluate("time => viewer.seek(time)", frame / FPS)
    opened.wait_for_time(frame / FPS)
    assert opened.page.evaluate(READ_FRAME) == pytest.approx(STEP * frame, abs=2)
    shown = np.array(opened.joints(0))
    np.testing.assert_allclose(shown, people[0].joints_world[row], atol=0.005)
    assert (opened.joints(1) is None) == (row not in SECOND)
    if row in SECOND:
      expected = people[1].joints_world[SECOND.index(row)]
      np.testing.assert_allclose(opened.joints(1), expected, atol=0.005)
    pictures.append(opened.page.locator("#canvas").screenshot())
  assert len(set(pictures)) == len(pictures)
  assert opened.complaints == []
  assert [
    url for url in opened.requests if not url.startswith(("file:", "blob:"))
  ] == []


@with_video
def test_the_scene_stays_in_step_while_the_video_plays(opened, people):
  # So slowly that it does not end before a busy machine comes to the pause.
  opened.page.get_by_label("Speed").select_option("0.1")
  opened.page.get_by_role("button", name="Play").click()
  opened.page.wait_for_function("() => viewer.time > 0.2")
  opened.page.get_by_role("button", name="Pause").click()
  opened.page.get_by_role("button", name="Play").wait_for()
  time = opened.page.evaluate("viewer.time")
  row = round(time * FPS) - FIRST
  assert time * FPS == pytest.approx(row + FIRST, abs=0.1)
  assert opened.page.evaluate(READ_FRAME) == pytest.approx(STEP * (row + FIRST), abs=2)
  shown = np.array(opened.joints(0))
  np.testing.assert_allclose(shown, people[0].joints_world[row], atol=0.005)
  assert opened.complaints == []


@with_video
def test_keys_step_and_choices_hide(opened):
  page = opened.page
  page.evaluate("viewer.seek(0.5)")
  opened.wait_for_time(0.5)
  page.keyboard.press("ArrowRight")
  opened.wait_for_time(16 / FPS)
  page.keyboard.press("ArrowLeft")
  opened.wait_for_time(15 / FPS)
  page.keyboard.press("Shift+ArrowRight")
  opened.wait_for_time(45 / FPS)
  assert opened.joints(0) is None  # All rows are before.
  page.keyboard.press("Shift+ArrowLeft")
  opened.wait_for_time(15 / FPS)
  assert opened.joints(0) is not None
  page.get_by_label("person 0").uncheck()
  assert opened.joints(0) is None
  assert opened.joints(1) is not None
  canvas = page.locator("#canvas")
  mesh = canvas.screenshot()
  page.get_by_label("Skeleton").check()
  skeleton = canvas.screenshot()
  page.get_by_role("button", name="Top").click()
  assert len({mesh, skeleton, canvas.screenshot()}) == 3
  assert opened.complaints == []


@with_video
def test_a_drag_turns_the_scene_and_a_click_in_a_plot_sets_the_time(opened):
  page = opened.page
  before = page.locator("#canvas").screenshot()
  box = page.locator("#canvas").bounding_box()
  page.mouse.move(box["x"] + 200, box["y"] + 200)
  page.mouse.down()
  page.mouse.move(box["x"] + 300, box["y"] + 180)
  page.mouse.up()
  assert page.locator("#canvas").screenshot() != before
  page.locator("#confidence-plot").click()  # In the middle, without the axis' margin.
  page.wait_for_function("() => Math.abs(viewer.time - 0.8) < 0.1")
  assert opened.complaints == []


@without_video
def test_a_page_without_a_video_plays_by_itself(opened, people):
  assert not opened.page.locator("#picture").is_visible()
  opened.page.get_by_label("Speed").select_option("0.1")
  opened.page.locator("h1").click()  # Space would open the list again.
  opened.page.keyboard.press("Space")
  opened.page.wait_for_function("() => viewer.time > 0.1")
  opened.page.keyboard.press("Space")
  opened.page.evaluate("viewer.seek(0.55)")  # Midway between two rows.
  shown = np.array(opened.joints(0))
  row = people[0].joints_world[[13, 14]].mean(axis=0)
  np.testing.assert_allclose(shown, row, atol=0.01)
  assert opened.complaints == []


def test_without_webgl_and_the_codec_the_plots_and_the_clock_remain(browser, folder):
  page = browser.new_page()
  page.add_init_script("""
    const original = HTMLCanvasElement.prototype.getContext;
    HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
      return kind === "2d" ? original.call(this, kind, ...more) : null;
    };
  """)
  page.goto((folder / "broken.html").as_uri())
  page.get_by_text("The scene needs WebGL").wait_for()
  page.get_by_text("This browser cannot play the video").wait_for()
  page.get_by_role("button", name="Play").click()
  page.wait_for_function("() => viewer.time > 0.1 && viewer.joints(0)")
  page.close()


@without_video
def test_angles_are_those_of_the_joints(opened, people):
  place = {
    name: people[0].joints_world[:, joint]
    for joint, name in enumerate(joints.SMPL_JOINTS)
  }

  def between(first, second):
    first, second = (place[end] - place[start] for start, end in (first, second))
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return np.degrees(np.arccos((first * second).sum(axis=1) / lengths))

  trunk = ("neck", "pelvis")
  expected = {
    "left knee": between(("left_hip", "left_knee"), ("left_knee", "left_ankle")),
    "right shoulder": between(trunk, ("right_shoulder", "right_elbow")),
    "right hip": between(trunk, ("right_hip", "right_knee")),
  }
  for name, values in expected.items():
    shown = opened.page.evaluate("name => viewer.angles(0, name)", name)
    np.testing.assert_allclose(shown, values, atol=0.2, err_msg=name)
