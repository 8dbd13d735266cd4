// A plot over the time of the video; a click or a drag in it sets the time.

const MARGIN = { left: 34, right: 8, top: 6, line: 14, lanes: 5 };
const LANE = 11;
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
      onSeek(Math.min(Math.max(share, 0), 1) * this.duration);
    };
    element.addEventListener("pointerdown", seek);
    element.addEventListener("pointermove", seek);
    new ResizeObserver(() => this.draw()).observe(element);
  }

  get #width() {
    return Math.max(this.element.clientWidth - MARGIN.left - MARGIN.right, 1);
  }

  #x(time) {
    return MARGIN.left + (time / this.duration) * this.#width;
  }

  setTime(time) {
    const x = this.#x(Math.min(time, this.duration));
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
    for (const line of lines) this.#drawLine(context, line, y);
    lanes.forEach((lane, i) => {
      this.#drawLane(context, lane, bottom + MARGIN.lanes + LANE * i);
    });
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
    const fitting = this.duration / (this.#width / 60);
    const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600];
    const seconds = steps.find((one) => one >= fitting) ?? 1800;
    for (let time = 0; time <= this.duration; time += seconds) {
      const text = `${+time.toFixed(1)} s`;
      context.fillText(text, Math.max(this.#x(time), 12), this.element.clientHeight);
    }
  }

  #drawLine(context, { colour, dashed, times, followed, values }, y) {
    context.strokeStyle = colour;
    context.lineWidth = 1.5;
    context.lineJoin = "round";
    context.setLineDash(dashed ? [4, 3] : []);
    context.beginPath();
    for (let row = 0; row < times.length; row++) {
      const joined = row > 0 && followed[row - 1];
      context[joined ? "lineTo" : "moveTo"](this.#x(times[row]), y(values[row]));
    }
    context.stroke();
    context.setLineDash([]);
  }

  /** A strip that is pale where there are rows and dark where they are marked. */
  #drawLane(context, { label, colour, times, followed, marked }, top) {
    context.fillStyle = INK;
    context.textAlign = "right";
    context.textBaseline = "middle";
    context.fillText(label, MARGIN.left - 6, top + LANE / 2 - 2);
    context.fillStyle = colour;
    let start = 0;
    for (let row = 0; row < times.length; row++) {
      if (followed[row] && marked[row] === marked[row + 1]) continue;
      const x = this.#x(times[start]);
      const end = this.#x(times[followed[row] ? row + 1 : row]);
      context.globalAlpha = marked[row] ? 1 : 0.15;
      context.fillRect(x, top, Math.max(end - x, 1), LANE - 5);
      start = row + 1;
    }
    context.globalAlpha = 1;
  }
}
