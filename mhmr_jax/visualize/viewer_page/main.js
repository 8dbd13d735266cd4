// Puts the parts together: the clock says the time, and all else follows it.

const get = (id) => document.getElementById(id);
const data = readMotion();
const frameSeconds = 1 / data.fps;
const lastTime = Math.max(...data.people.map(({ arrays }) => arrays.times.at(-1)));
const bodies = data.people.map((person) => new Body(person, data.mesh, data.skeleton));
const angles = bodies.map(measureAngles);
const shown = new Set(bodies);
const chosenAngles = new Set(["left knee", "right knee"]);
let clock;
let stage = null;

/** The people who are in the scene at this time: [body, place]. */
function present() {
  return [...shown]
    .map((body) => [body, findRow(body.person, clock.time, frameSeconds)])
    .filter(([, place]) => place);
}

function middleOf(placed) {
  const middle = new THREE.Vector3();
  for (const [body] of placed) middle.add(body.joint(0));
  return middle.divideScalar(Math.max(placed.length, 1));
}

/** Shows the time of the clock everywhere. */
function update() {
  const placed = present();
  const places = new Map(placed);
  for (const body of bodies) body.group.visible = places.has(body);
  for (const [body, place] of placed) {
    body.pose(place);
    body.place(place, get("contacts").checked);
  }
  if (stage && placed.length) stage.follow(middleOf(placed), get("follow").checked);
  stage?.draw();
  showTime();
  showAngles();
}

function showTime() {
  const duration = clock.duration || lastTime + frameSeconds;
  get("scrub").max = duration;
  get("scrub").value = clock.time;
  get("scrub").setAttribute("aria-valuetext", `${clock.time.toFixed(1)} seconds`);
  get("time").textContent = `${formatTime(clock.time)} / ${formatTime(duration)}`;
  get("play").classList.toggle("playing", clock.playing);
  get("play").setAttribute("aria-label", clock.playing ? "Pause" : "Play");
  for (const plot of plots) plot.setTime(clock.time, duration);
}

function showAngles() {
  const index = Number(get("angles-person").value);
  const place = findRow(data.people[index], clock.time, frameSeconds);
  for (const output of get("angle-names").querySelectorAll("output")) {
    const values = angles[index][output.dataset.angle];
    output.textContent = place ? `${Math.round(values[place.row])}°` : "–";
  }
}

// Plots

function angleStyle(name) {
  const kinds = [...new Set(Object.keys(ANGLES).map((key) => key.split(" ").at(-1)))];
  const colour = data.colours[kinds.indexOf(name.split(" ").at(-1))];
  return { colour, dashed: name.startsWith("right") };
}

function anglesContent() {
  const index = Number(get("angles-person").value);
  const { times, followed, contacts } = data.people[index].arrays;
  const lines = [...chosenAngles].map((name) => {
    return { ...angleStyle(name), times, followed, values: angles[index][name] };
  });
  const highest = Math.max(60, ...lines.map(({ values }) => values.reduce(maximum)));
  const lanes = ["L", "R"].map((label, foot) => {
    const marked = Array.from(times, (_, row) => contacts[2 * row + foot] > STANDS);
    return { label, colour: INK, times, followed, marked };
  });
  const top = 30 * Math.ceil(highest / 30);
  return { top, step: top > 90 ? 60 : 30, lines, lanes };
}

function maximum(a, b) {
  return Math.max(a, b);
}

function confidenceContent() {
  const people = bodies.filter((body) => shown.has(body)).map((body) => body.person);
  const lines = people.map(({ colour, arrays: { times, followed, confidence } }) => {
    return { colour, dashed: false, times, followed, values: confidence };
  });
  const lanes = people.map(({ colour, arrays: { times, followed, detected } }) => {
    const marked = Array.from(detected, (found) => !found);
    return { label: "", colour, times, followed, marked };
  });
  return { top: 1, step: 0.5, lines, lanes };
}

const plots = [
  new Plot(
    get("angles-plot"),
    "The chosen angles over time. Strips under the axis: where the left and the right foot stand.",
    anglesContent,
    (time) => clock.seek(time),
  ),
  new Plot(
    get("confidence-plot"),
    "Each person's confidence over time, from 0 to 1.",
    confidenceContent,
    (time) => clock.seek(time),
  ),
];

// Controls

/** A checkbox or the like with a label; all text is set as text. */
function makeCheckbox(checked, onChange, ...parts) {
  const label = document.createElement("label");
  const input = document.createElement("input");
  input.type = "checkbox";
  input.checked = checked;
  input.addEventListener("change", () => onChange(input.checked));
  label.append(input, ...parts);
  return label;
}

function makeElement(tag, properties) {
  return Object.assign(document.createElement(tag), properties);
}

function makeSwatch(colour) {
  const swatch = makeElement("span", { className: "swatch" });
  swatch.style.background = colour;
  return swatch;
}

function toggle(set, value, isIn) {
  if (isIn) set.add(value);
  else set.delete(value);
}

function addPeople() {
  for (const body of bodies) {
    const { name, colour, arrays } = body.person;
    const { times, detected } = arrays;
    const missing = detected.filter((found) => !found).length;
    const seen = `${times[0].toFixed(1)}–${times.at(-1).toFixed(1)} s`;
    const about = missing ? `${seen}, ${missing} of ${times.length} not detected` : seen;
    const label = makeCheckbox(
      true,
      (isIn) => {
        toggle(shown, body, isIn);
        plots[1].draw();
        update();
      },
      makeSwatch(colour),
      `${name} `,
      makeElement("small", { textContent: about }),
    );
    label.className = "person";
    get("people").append(label);
    const option = makeElement("option", { textContent: name });
    option.value = String(bodies.indexOf(body));
    get("angles-person").append(option);
  }
  get("angles-person").addEventListener("change", () => {
    plots[0].draw();
    update();
  });
}

function addAngles() {
  for (const name of Object.keys(ANGLES)) {
    const output = makeElement("output", {});
    output.dataset.angle = name;
    const { colour, dashed } = angleStyle(name);
    const line = makeSwatch(dashed ? "none" : colour);
    if (dashed) line.style.border = `2px dotted ${colour}`;
    const label = makeCheckbox(
      chosenAngles.has(name),
      (isIn) => {
        toggle(chosenAngles, name, isIn);
        plots[0].draw();
      },
      line,
      `${name[0].toUpperCase()}${name.slice(1)} `,
      output,
    );
    get("angle-names").append(label);
  }
}

function addStage() {
  try {
    stage = new Stage(get("canvas"), bodies, data);
  } catch (error) {
    get("scene-problem").textContent = `The scene needs WebGL: ${error.message}`;
    get("scene-problem").hidden = false;
    get("views").hidden = true;
    return;
  }
  get("grid").addEventListener("change", () => {
    stage.grid.visible = get("grid").checked;
    stage.draw();
  });
  for (const button of get("views").querySelectorAll("button")) {
    button.addEventListener("click", () => {
      stage.view(button.dataset.view, middleOf(present()));
    });
  }
}

function setForm() {
  const form = get("bodies").querySelector(":checked").value;
  for (const body of bodies) body.setForm(form);
}

function togglePlaying() {
  if (clock.playing) clock.pause();
  else clock.play();
}

function step(seconds) {
  clock.seek(Math.max(clock.time + seconds, 0));
}

function onKey(event) {
  const { target, key } = event;
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const ownsKeys = target.matches("select, input[type=radio]");
  if (key === " " && !ownsKeys && !target.matches("button, input[type=checkbox]")) {
    togglePlaying();
  } else if ((key === "ArrowLeft" || key === "ArrowRight") && !ownsKeys) {
    const seconds = event.shiftKey ? 1 : frameSeconds;
    step(key === "ArrowLeft" ? -seconds : seconds);
  } else {
    return;
  }
  event.preventDefault();
}

function addControls() {
  get("scrub").step = "any";
  get("scrub").addEventListener("input", () => clock.seek(Number(get("scrub").value)));
  get("play").addEventListener("click", togglePlaying);
  get("rate").addEventListener("change", () => clock.setRate(Number(get("rate").value)));
  get("contacts").addEventListener("change", update);
  get("bodies").addEventListener("change", () => {
    setForm();
    update();
  });
  document.addEventListener("keydown", onKey);
}

// The beginning

function usePlainClock() {
  clock = new PlainClock(lastTime + frameSeconds, update);
  update();
}

function addVideo() {
  const text = takeText("video-data");
  if (!text) {
    document.body.classList.add("without-video");
    usePlainClock();
    return;
  }
  const video = get("video");
  clock = new VideoClock(video, update);
  video.addEventListener("error", () => {
    get("video-problem").textContent = "This browser cannot play the video.";
    get("video-problem").hidden = false;
    usePlainClock();
  });
  const blob = new Blob([bytesFromBase64(text)], { type: data.video_type });
  video.src = URL.createObjectURL(blob);
}

get("facts").textContent = data.facts.join(" · ");
addPeople();
addAngles();
addVideo();
addStage();
addControls();
setForm();
stage?.view("front");
update();

/** What a script may ask of the page. */
window.viewer = {
  get time() {
    return clock.time;
  },
  seek: (time) => clock.seek(time),
  /** A person's joints as they are shown now, metres; null while they are hidden. */
  joints(index) {
    const body = bodies[index];
    if (!body.group.visible) return null;
    return body.bones.map((_, joint) => body.joint(joint).toArray());
  },
  /** A person's angle in each row, degrees. */
  angles: (index, name) => Array.from(angles[index][name]),
};
