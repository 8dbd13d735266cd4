// A plot over the time of the video; a click or a drag in it sets the time. Of a long
// video it shows the stretch that the time lies in.

const MARGIN = { left: 34, right: 8, top: 6, line: 14, lanes: 5 };
const LANE = 11;
const LONGEST = 30; // Seconds that are drawn at once.
const GRID = "#e3e6e9";
const INK = "#5d666e";

class Plot {
  /**
   * `content()` returns {top, step, lines, lanes}: the upper end of the axis, which
   * begins at 0, and the distance of its ticks; lines {colour, dashed, times, followed,
   * values}; lanes under the axis {label, colour, times, followed, marked}.
   */
  constructor(element, label, content, onSeek) {
    this.element = element;
    this.content = content;
    this.duration = 1;
    this.start = 0;
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", label);
    this.cursor = document.createElement("div");
    this.cursor.className = "cursor";
    element.append(this.canvas, this.cursor);
    const seek = (event) => {
      if (!(event.buttons & 1)) return;
      const x = event.clientX - element.getBoundingClientRect().left;
      const share = (x - MARGIN.left) / this.#width;
      const time = this.start + Math.min(Math.max(share, 0), 1) * this.#span;
      onSeek(Math.min(time, this.duration));
    };
    element.addEventListener("pointerdown", seek);
    element.addEventListener("pointermove", seek);
    new ResizeObserver(() => this.draw()).observe(element);
  }

  get #width() {
    return Math.max(this.element.clientWidth - MARGIN.left - MARGIN.right, 1);
  }

  get #span() {
    return Math.min(this.duration, LONGEST);
  }

  #x(time) {
    return MARGIN.left + ((time - this.start) / this.#span) * this.#width;
  }

  setTime(time, duration) {
    const stretches = Math.max(Math.ceil(duration / LONGEST), 1);
    const start = LONGEST * Math.min(Math.floor(time / LONGEST), stretches - 1);
    if (duration !== this.duration || start !== this.start) {
      Object.assign(this, { duration, start });
      this.draw();
    }
    const x = this.#x(Math.min(time, duration));
    this.cursor.style.transform = `translateX(${x}px)`;
  }

  draw() {
    const { clientWidth, clientHeight } = this.element;
    const ratio = devicePixelRatio;
    this.canvas.width = clientWidth * ratio;
    this.canvas.height = clientHeight * ratio;
    const context = this.canvas.getContext("2d");
    context.scale(ratio, ratio);
    context.font = "11px system-ui, sans-serif";
    const { top, step, lines, lanes } = this.content();
    const bottom = clientHeight - MARGIN.line - MARGIN.lanes - LANE * lanes.length;
    const y = (value) => bottom - (value / top) * (bottom - MARGIN.top);
    this.#drawAxes(context, top, step, bottom, y);
    context.save();
    context.beginPath();
    context.rect(MARGIN.left, 0, this.#width, clientHeight);
    context.clip();
    for (const line of lines) this.#drawLine(context, line, y);
    lanes.forEach((lane, i) => {
      this.#drawLane(context, lane, bottom + MARGIN.lanes + LANE * i);
    });
    context.restore();
    lanes.forEach(({ label }, i) => {
      this.#drawLabel(context, label, bottom + MARGIN.lanes + LANE * (i + 0.5) - 2);
    });
  }

  /** The rows in the stretch that is drawn, and one more on both sides. */
  #rows(times) {
    const rows = [];
    const end = this.start + this.#span;
    for (let row = 0; row < times.length; row++) {
      const begins = row + 1 === times.length || times[row + 1] >= this.start;
      if (begins && (row === 0 || times[row - 1] <= end)) rows.push(row);
    }
    return rows;
  }

  #drawAxes(context, top, step, bottom, y) {
    context.fillStyle = INK;
    context.strokeStyle = GRID;
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (let value = 0; value <= top + 1e-6; value += step) {
      const at = Math.round(y(value)) + 0.5;
      context.beginPath();
      context.moveTo(MARGIN.left, at);
      context.lineTo(MARGIN.left + this.#width, at);
      context.stroke();
      context.fillText(String(+value.toFixed(2)), MARGIN.left - 6, at);
    }
    context.textAlign = "center";
    context.textBaseline = "bottom";
    const fitting = this.#span / (this.#width / 60);
    const seconds = [0.1, 0.2, 0.5, 1, 2, 5, 10].find((one) => one >= fitting) ?? 15;
    const end = Math.min(this.start + this.#span, this.duration);
    for (let time = this.start; time <= end; time += seconds) {
      const { clientWidth, clientHeight } = this.element;
      const x = Math.min(Math.max(this.#x(time), 14), clientWidth - 16);
      context.fillText(`${+time.toFixed(1)} s`, x, clientHeight);
    }
  }

  #drawLine(context, { colour, dashed, times, followed, values }, y) {
    context.strokeStyle = colour;
    context.lineWidth = 1.5;
    context.lineJoin = "round";
    context.setLineDash(dashed ? [4, 3] : []);
    context.beginPath();
    for (const row of this.#rows(times)) {
      const joined = row > 0 && followed[row - 1];
      context[joined ? "lineTo" : "moveTo"](this.#x(times[row]), y(values[row]));
    }
    context.stroke();
    context.setLineDash([]);
  }

  /** A strip that is pale where there are rows and dark where they are marked. */
  #drawLane(context, { colour, times, followed, marked }, top) {
    context.fillStyle = colour;
    const rows = this.#rows(times);
    let start = rows[0];
    for (const row of rows) {
      const goesOn = followed[row] && marked[row] === marked[row + 1];
      if (goesOn && row !== rows.at(-1)) continue;
      const x = this.#x(times[start]);
      const end = this.#x(times[followed[row] ? row + 1 : row]);
      context.globalAlpha = marked[row] ? 1 : 0.15;
      context.fillRect(x, top, Math.max(end - x, 1), LANE - 5);
      start = row + 1;
    }
    context.globalAlpha = 1;
  }

  #drawLabel(context, label, y) {
    context.fillStyle = INK;
    context.textAlign = "right";
    context.textBaseline = "middle";
    context.fillText(label, MARGIN.left - 6, y);
  }
}
