/**
 * A chart of lines over time, in SVG, inside a <figure> of the page.
 *
 * It draws what a `Past` holds, on demand. However many points there are, a line has at most four
 * for each column of pixels: where it enters, its lowest, its highest and where it leaves, which
 * looks the same. A pointer or the arrow keys read the values at one time.
 */
import { after, nearest } from "./past.js";

const MARGIN = { left: 60, right: 6, top: 6, bottom: 20 };
const ROWS = 4;
const COLUMN_WIDTH = 75;

/** After so many intervals without a value, a line is broken. */
const GAP = 2.5;

const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

export class Chart {
  #figure;
  #labels;
  #format;
  #max;
  #svg;
  #lines;
  #area = svg("path", { class: "area" });
  #readings;
  #time = element("span", { class: "time" });
  #note = element("p", { class: "note", hidden: "" });
  #spoken = element("p", { class: "unseen", "aria-live": "polite" });
  #grid = svg("g", { class: "grid" });
  #scale = svg("g", { class: "scale" });
  #cursorLine = svg("line", { class: "cursor", visibility: "hidden" });
  #cursor = null;
  #size = { width: 0, height: 0 };
  #drawn = "";
  #last = null;

  /**
   * @param {HTMLElement} figure has a heading, and becomes the chart
   * @param {object} options
   * @param {string[]} options.labels what its lines are called, up to three
   * @param {(value: number) => string} options.format writes a value
   * @param {number} [options.max] the top of the scale; by default what the values need
   */
  constructor(figure, { labels, format, max }) {
    this.#figure = figure;
    this.#labels = labels;
    this.#format = format;
    this.#max = max;
    this.#lines = labels.map((_, line) => svg("path", { class: `line line-${line + 1}` }));
    this.#svg = svg("svg", { role: "img" });
    const drawing = svg("g", { transform: "scale(0.1)" }); // see Pen
    drawing.append(this.#area, ...this.#lines);
    this.#svg.append(this.#grid, drawing, this.#scale, this.#cursorLine);
    this.#readings = labels.map(() => element("dd", {}, "–"));
    figure.append(legend(labels, this.#readings), this.#time, this.#svg, this.#note, this.#spoken);
    this.#listen();
  }

  /**
   * Draw what there is.
   *
   * @param {object} past has `times`, `start` and `end` in milliseconds
   * @param {(number|null)[][]} columns the values of this chart's lines at those times
   * @param {number} interval seconds from one value to the next
   */
  draw(past, columns, interval) {
    this.#last = { past, columns, interval };
    const { width, height } = this.#size;
    if (!width || past.end === null) return;
    const max = this.#max ?? roundUp(highest(columns));
    const { start, end } = past;
    const bottom = height - MARGIN.bottom;
    const perMillisecond = plot(width) / (end - start);
    const perUnit = (bottom - MARGIN.top) / max;
    const x = (time) => MARGIN.left + (time - start) * perMillisecond;
    const y = (value) => bottom - value * perUnit;
    const scale = { first: after(past.times, start - 1), x, y, gap: 1000 * GAP * interval, bottom };
    const traces = columns.map((values) => trace(past.times, values, scale));
    this.#area.setAttribute("d", traces[0].area);
    traces.forEach(({ line }, index) => this.#lines[index].setAttribute("d", line));
    this.#drawScale(max, end - start);
    this.#read();
  }

  /** Say why there is nothing to see; an empty text takes it back. */
  note(text) {
    this.#note.textContent = text;
    this.#note.hidden = !text;
  }

  #listen() {
    const observer = new ResizeObserver(([{ contentRect }]) => {
      this.#size = { width: contentRect.width, height: contentRect.height };
      this.#redraw();
    });
    observer.observe(this.#svg);
    const heading = this.#figure.querySelector("h2").textContent;
    set(this.#figure, { tabindex: 0, "aria-label": `${heading}; the arrow keys read its values` });
    this.#svg.addEventListener("pointermove", ({ offsetX }) => {
      this.#point((offsetX - MARGIN.left) / plot(this.#size.width));
    });
    this.#svg.addEventListener("pointerleave", () => this.#point(null));
    this.#figure.addEventListener("blur", () => this.#point(null));
    this.#figure.addEventListener("keydown", (event) => this.#steer(event));
  }

  #steer(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -Infinity, End: Infinity };
    if (event.key === "Escape") return this.#point(null);
    if (!(event.key in steps) || !this.#last) return;
    event.preventDefault();
    const { past, interval } = this.#last;
    const step = (1000 * interval) / (past.end - past.start);
    this.#point((this.#cursor ?? 1) + steps[event.key] * step);
    this.#spoken.textContent = this.#svg.getAttribute("aria-label");
  }

  #point(fraction) {
    this.#cursor = fraction === null ? null : Math.min(1, Math.max(0, fraction));
    this.#redraw();
  }

  #redraw() {
    if (this.#last) this.draw(this.#last.past, this.#last.columns, this.#last.interval);
  }

  /** Show the values under the cursor, or the newest ones. */
  #read() {
    const { past, columns } = this.#last;
    const wanted = this.#cursor === null ? past.end : past.start + this.#cursor * (past.end - past.start);
    const index = nearest(past.times, wanted);
    const values = columns.map((column) => column[index]);
    values.forEach((value, line) => {
      this.#readings[line].textContent = value === null ? "–" : this.#format(value);
    });
    this.#showCursor();
    const time = CLOCK.format(past.times[index]);
    const said = this.#labels.map((label, line) => `${label} ${this.#readings[line].textContent}`);
    this.#svg.setAttribute("aria-label", `At ${time}: ${said.join(", ")}`);
    this.#time.textContent = this.#cursor === null ? "" : time;
  }

  #showCursor() {
    const line = this.#cursorLine;
    line.setAttribute("visibility", this.#cursor === null ? "hidden" : "visible");
    if (this.#cursor === null) return;
    const x = MARGIN.left + this.#cursor * plot(this.#size.width);
    set(line, { x1: x, x2: x, y1: MARGIN.top, y2: this.#size.height - MARGIN.bottom });
  }

  /** Draw the grid and its labels, unless they are there already. */
  #drawScale(max, milliseconds) {
    const { width, height } = this.#size;
    const drawn = [max, milliseconds, width, height].join();
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    const bottom = height - MARGIN.bottom;
    const rows = steps(ROWS).map((part) => ({ part, y: bottom - part * (bottom - MARGIN.top) }));
    const columns = steps(width < 5 * COLUMN_WIDTH ? 2 : 4).map((part) => ({ part, x: MARGIN.left + part * plot(width) }));
    this.#grid.replaceChildren(
      ...rows.map(({ y }) => svg("line", { x1: MARGIN.left, x2: width - MARGIN.right, y1: y, y2: y })),
    );
    this.#scale.replaceChildren(
      ...rows.map(({ part, y }) => text(this.#format(part * max), MARGIN.left - 6, y + 4, "end")),
      ...columns.map(({ part, x }) => text(ago((1 - part) * milliseconds), x, height - 4, anchor(part))),
    );
  }
}

/**
 * Turn values over ascending times into the paths of a line and of the area under it, beginning
 * with the value at index `first`. The line is broken where a value is null, and where the next one
 * comes after more than `gap` milliseconds.
 */
export function trace(times, values, { first = 0, x, y, gap, bottom }) {
  const pen = new Pen(bottom);
  for (let index = first; index < times.length; index += 1) {
    const value = values[index];
    if (value === null || times[index] - times[index - 1] > gap) pen.lift();
    if (value !== null) pen.to(x(times[index]), y(value));
  }
  pen.lift();
  return pen;
}

/**
 * Draws from point to point, in as many steps as can be seen, and in whole tenths of a pixel:
 * whole numbers become text much faster than others.
 */
class Pen {
  line = "";
  area = "";
  #bottom;
  #stroke = "";
  #start = 0;
  #x = 0;
  #pixel = NaN;
  #count = 0;
  #low = 0;
  #high = 0;
  #last = 0;

  constructor(bottom) {
    this.#bottom = tenths(bottom);
  }

  to(x, y) {
    const pixel = Math.floor(x);
    if (pixel === this.#pixel) {
      this.#count += 1;
      if (y < this.#low) this.#low = y;
      if (y > this.#high) this.#high = y;
      this.#last = y;
      return;
    }
    this.#leave();
    if (!this.#stroke) this.#start = tenths(x);
    this.#stroke += `${this.#stroke ? "L" : "M"}${tenths(x)},${tenths(y)}`;
    this.#x = tenths(x);
    this.#pixel = pixel;
    this.#count = 1;
    this.#low = this.#high = this.#last = y;
  }

  lift() {
    this.#leave();
    this.#pixel = NaN;
    if (!this.#stroke) return;
    this.line += this.#stroke;
    this.area += `${this.#stroke}L${this.#x},${this.#bottom}L${this.#start},${this.#bottom}Z`;
    this.#stroke = "";
  }

  /** Finish a column of pixels: up and down to all that it has. */
  #leave() {
    if (this.#count < 2) return;
    this.#stroke += `V${tenths(this.#low)}V${tenths(this.#high)}V${tenths(this.#last)}`;
    this.#count = 0;
  }
}

function tenths(pixels) {
  return Math.round(pixels * 10);
}

function highest(columns) {
  let found = 0;
  for (const column of columns) for (const value of column) if (value > found) found = value;
  return found;
}

/** Round up to 1, 2, 4 or 8 times a power of ten: what a scale may end with; at least 1. */
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return (([1, 2, 4, 8].find((factor) => factor * power >= value) ?? 10) * power);
}

function plot(width) {
  return width - MARGIN.left - MARGIN.right;
}

function steps(count) {
  return Array.from({ length: count + 1 }, (_, step) => step / count);
}

function anchor(part) {
  if (part === 0) return "start";
  return part === 1 ? "end" : "middle";
}

function ago(milliseconds) {
  const seconds = Math.round(milliseconds / 1000);
  if (seconds === 0) return "now";
  return seconds < 120 ? `−${seconds} s` : `−${+(seconds / 60).toFixed(1)} min`;
}

function legend(labels, readings) {
  const entries = labels.map((label, line) => {
    return element("div", { class: `entry entry-${line + 1}` }, element("dt", {}, label), readings[line]);
  });
  return element("dl", { class: "legend" }, ...entries);
}

function text(content, x, y, anchor) {
  const label = svg("text", { x, y, "text-anchor": anchor });
  label.textContent = content;
  return label;
}

function svg(name, attributes) {
  return set(document.createElementNS("http://www.w3.org/2000/svg", name), attributes);
}

/** Make an element of the page, with attributes and children. */
export function element(name, attributes, ...children) {
  const made = set(document.createElement(name), attributes);
  made.append(...children);
  return made;
}

function set(target, attributes) {
  for (const [name, value] of Object.entries(attributes)) target.setAttribute(name, value);
  return target;
}
