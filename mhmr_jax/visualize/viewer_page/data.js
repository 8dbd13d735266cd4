// What the page shows, out of the JSON and the base64 text that stand in it.

/** Takes the text of an element out of the page, so that it is not kept twice. */
function takeText(id) {
  const element = document.getElementById(id);
  const text = element.textContent;
  element.remove();
  return text;
}

function bytesFromBase64(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

const ARRAY_TYPES = {
  uint8: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  float32: Float32Array,
  float64: Float64Array,
};

/** A typed array; one with a scale holds whole numbers, of which it makes floats. */
function decodeArray({ type, scale, base64 }) {
  const stored = new ARRAY_TYPES[type](bytesFromBase64(base64).buffer);
  return scale === null ? stored : Float32Array.from(stored, (value) => value * scale);
}

function readMotion() {
  const data = JSON.parse(takeText("motion-data"));
  const decodeAll = (arrays) =>
    Object.fromEntries(
      Object.entries(arrays).map(([name, array]) => [name, decodeArray(array)]),
    );
  data.mesh = decodeAll(data.mesh);
  for (const person of data.people) person.arrays = decodeAll(person.arrays);
  return data;
}

// Containers round times to their own clocks, by up to so many seconds.
const ROUNDING = 0.002;

/**
 * Finds the rows that a time lies between.
 *
 * Returns {row, fraction}, where `fraction` says how far the next row is, or null where
 * the person has no row. The last row before a gap lasts for one frame.
 */
function findRow(person, time, frameSeconds) {
  const { times, followed } = person.arrays;
  let low = 0;
  let high = times.length - 1;
  if (time < times[0] - ROUNDING) return null;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (times[middle] <= time + ROUNDING) low = middle;
    else high = middle - 1;
  }
  const after = Math.max(time - times[low], 0);
  if (followed[low]) {
    return { row: low, fraction: after / (times[low + 1] - times[low]) };
  }
  return after < frameSeconds + ROUNDING ? { row: low, fraction: 0 } : null;
}

function formatTime(seconds) {
  const minutes = Math.floor(seconds / 60);
  return `${minutes}:${(seconds - 60 * minutes).toFixed(2).padStart(5, "0")}`;
}
