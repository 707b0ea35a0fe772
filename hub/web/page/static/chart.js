/**
 * A chart of lines over time, in SVG, inside a <figure> of the page.
 *
 * It draws the values of a `Series` on demand. However many values there are, a line has at most
 * four points for each column of pixels: its first, lowest, highest and last value, which looks the
 * same. With a pointer or the arrow keys the user reads the values at one time, in all charts that
 * share a crosshair.
 */
import { Crosshair } from "./crosshair.js";
import { element, set, svg, text } from "./elements.js";
import { highest, scaleOf } from "./scale.js";
import { indexAfter, indexNearest } from "./series.js";
import { bandTrace, stack, trace } from "./trace.js";

const MARGIN = { left: 60, right: 6, top: 6, bottom: 20 };
const LOW = 100; // pixels of height below which the scale has but its ends
const COLUMN_WIDTH = 75;

/** The states of values that have reached so many marks, as they are spoken. */
const STATES = ["", "high", "critical"];

/** A line has a gap where values are more than this many intervals apart. */
const GAP = 2.5;

export const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

const CLOCK_FIELDS = { hour: "numeric", minute: "2-digit", second: "2-digit" };
const DAY_AND_CLOCK = new Intl.DateTimeFormat(undefined, { weekday: "short", ...CLOCK_FIELDS });
const HALF_A_DAY = 12 * 3_600_000; // in milliseconds

/** Units of a scale of time, and the milliseconds of each; shorter scales are in seconds. */
const SPANS = [["d", 86_400_000], ["h", 3_600_000], ["min", 60_000]];

export class Chart {
  #figure;
  #labels;
  #format;
  #max;
  #least;
  #stacked;
  #downward; // of each line, whether it is drawn downward from zero
  #svg;
  #lines;
  #areas;
  #bands; // from the means up to the highest values
  #legend = element("dl", { class: "legend" });
  #entries;
  #readings;
  #seen; // which lines have ever had a value
  #shown; // the numbers of those in the legend
  #time = element("span", { class: "time" });
  #note = element("p", { class: "note", hidden: "" });
  #announcement = element("p", { class: "visually-hidden", "aria-live": "polite" });
  #grid = svg("g", { class: "grid" });
  #scale = svg("g", { class: "scale" });
  #marks = []; // ascending
  #markLines = svg("g", { class: "marks" });
  #cursorLine = svg("line", { class: "cursor", visibility: "hidden" });
  #crosshair;
  #styles;
  #size = { width: 0, height: 0 };
  #drawnScale = "";
  #lastDraw = null;

  /**
   * @param {HTMLElement} figure has a heading; the chart is added to it
   * @param {object} options
   * @param {string[]} options.labels the names of its lines, up to eight; see `rename`
   * @param {(value: number, scale?: object) => string} options.format turns a value into text; for
   *   the labels of a scale it is given that, see `scaleOf`
   * @param {number} [options.max] the top of the scale; by default it follows the values
   * @param {number} [options.least] what the top is at least
   * @param {boolean} [options.stacked] whether its values are parts of a whole, each on those before
   * @param {number[]} [options.downward] the numbers of lines that are drawn downward from zero
   * @param {number} [options.styles] after how many lines the colours begin anew
   * @param {Crosshair} [options.crosshair] shared with other charts; by default it has its own
   */
  constructor(figure, { labels, format, max, least = 1, stacked = false, downward = [], styles = labels.length, crosshair = new Crosshair() }) {
    this.#crosshair = crosshair;
    this.#downward = labels.map((_, line) => downward.includes(line));
    this.#figure = figure;
    this.#format = format;
    this.#max = max;
    this.#least = least;
    this.#stacked = stacked;
    this.#seen = labels.map(() => false);
    this.#styles = styles;
    const paths = (count, name) => Array.from({ length: count }, (_, line) =>
      svg("path", { class: `${name} ${name}-${(line % styles) + 1}` }),
    );
    this.#lines = paths(labels.length, "line");
    this.#areas = paths(stacked || downward.length ? labels.length : 1, "area");
    this.#bands = paths(stacked ? 0 : labels.length, "band");
    this.#svg = svg("svg", { role: "img" });
    const drawing = svg("g", { transform: "scale(0.1)" }); // see PathBuilder
    const shapes = this.#lines.map((line, index) => [this.#areas[index], line].filter(Boolean));
    // Of a stack the lower parts come last: what is nothing lies hidden under the part below it.
    drawing.append(...this.#bands, ...(stacked ? shapes.reverse() : shapes).flat());
    this.#svg.append(this.#grid, this.#markLines, drawing, this.#scale, this.#cursorLine);
    this.#readings = labels.map(() => element("dd", {}, "–"));
    this.rename(labels);
    figure.append(this.#legend, this.#time, this.#svg, this.#note, this.#announcement);
    if (stacked) figure.classList.add("stacked");
    this.#addListeners();
  }

  /** Whether none of its lines has ever had a value. */
  get isEmpty() {
    return !this.#seen.includes(true);
  }

  /** Name the lines: shortly, and in full if that is something else. Those left over have no name. */
  rename(labels, titles = labels) {
    this.#labels = labels;
    this.#entries = labels.map((label, line) => {
      const name = element("dt", { title: titles[line] }, label);
      return element("div", { class: `entry entry-${(line % this.#styles) + 1}` }, name, this.#readings[line]);
    });
    this.#showLegend();
  }

  /** Mark values of note, ascending and at most two: a reading from there on is high, then critical. */
  mark(values) {
    this.#marks = values;
  }

  /**
   * Draw the lines and the scale, and show the current values.
   *
   * @param {Series} series has `times`, `start` and `end` in milliseconds
   * @param {(number|null)[][]} columns the values of this chart's lines at those times
   * @param {number} interval seconds from one value to the next
   * @param {(number|null)[][]|null} [peaks] the highest values of those of which these are the means
   */
  draw(series, columns, interval, peaks = null) {
    this.#lastDraw = { series, columns, interval, peaks };
    this.#look(columns);
    const { width, height } = this.#size;
    if (!width || series.end === null) return;
    const heights = this.#stacked ? stack(columns) : columns;
    const { start, end } = series;
    const first = indexAfter(series.times, start - 1);
    const range = this.#range((!this.#stacked && peaks) || heights, first);
    const bottom = height - MARGIN.bottom;
    const perMillisecond = plotWidth(width) / (end - start);
    const perUnit = (bottom - MARGIN.top) / (range.high - range.low);
    const x = (time) => MARGIN.left + (time - start) * perMillisecond;
    const y = (value) => bottom - (value - range.low) * perUnit;
    const [up, down] = [y, (value) => y(-value)];
    const scales = this.#downward.map((isDownward) => {
      return { first, x, y: isDownward ? down : up, gap: 1000 * GAP * interval, bottom: y(0) };
    });
    const traces = heights.map((values, line) => trace(series.times, values, scales[line]));
    traces.forEach(({ line, area }, index) => {
      this.#lines[index].setAttribute("d", line);
      this.#areas[index]?.setAttribute("d", area);
    });
    this.#bands.forEach((band, line) => {
      band.setAttribute("d", peaks ? bandTrace(series.times, columns[line], peaks[line], scales[line]) : "");
    });
    this.#drawScale(range, y, end - start);
    this.#showValues();
  }

  #range(columns, first) {
    if (this.#max !== undefined) return scaleOf(0, this.#max);
    const [up, down] = [false, true].map((side) => columns.filter((_, line) => this.#downward[line] === side));
    const high = Math.max(this.#least, ...this.#marks, highest(up, first));
    return scaleOf(down.length ? -Math.max(this.#least, highest(down, first)) : 0, high);
  }

  /** Show a note over the chart, such as an error; an empty text hides it. */
  note(text) {
    this.#note.textContent = text;
    this.#note.hidden = !text;
  }

  /** Look which lines have values; a line that never had one is not in the legend. */
  #look(columns) {
    const found = columns.map((column, line) => this.#seen[line] || column.some((value) => value !== null));
    if (found.join() === this.#seen.join()) return;
    this.#seen = found;
    this.#showLegend();
  }

  #showLegend() {
    const named = this.#labels.flatMap((label, line) => (label ? [line] : []));
    this.#shown = this.isEmpty ? named : named.filter((line) => this.#seen[line]);
    this.#legend.replaceChildren(...this.#shown.map((line) => this.#entries[line]));
  }

  #addListeners() {
    const observer = new ResizeObserver(([{ contentRect }]) => {
      this.#size = { width: contentRect.width, height: contentRect.height };
      this.#redraw();
    });
    observer.observe(this.#svg);
    const heading = this.#figure.querySelector("h2").textContent;
    set(this.#figure, { tabindex: 0, "aria-label": `${heading}; the arrow keys read its values` });
    this.#svg.addEventListener("pointermove", ({ offsetX }) => {
      this.#crosshair.move((offsetX - MARGIN.left) / plotWidth(this.#size.width));
    });
    this.#svg.addEventListener("pointerleave", () => this.#crosshair.move(null));
    this.#figure.addEventListener("blur", () => this.#crosshair.move(null));
    this.#crosshair.addEventListener("change", () => this.#size.width && this.#lastDraw && this.#showValues());
    this.#figure.addEventListener("keydown", (event) => this.#onKeyDown(event));
  }

  #onKeyDown(event) {
    if (event.target !== this.#figure) return; // but a list inside it
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -Infinity, End: Infinity };
    if (!(event.key in steps) || !this.#lastDraw) return;
    event.preventDefault();
    const { series, interval } = this.#lastDraw;
    const step = (1000 * interval) / (series.end - series.start);
    this.#crosshair.move((this.#crosshair.at ?? 1) + steps[event.key] * step);
    this.#announcement.textContent = this.#svg.getAttribute("aria-label");
  }

  #redraw() {
    if (!this.#lastDraw) return;
    const { series, columns, interval, peaks } = this.#lastDraw;
    this.draw(series, columns, interval, peaks);
  }

  /** Show the values at the crosshair, or the newest ones. */
  #showValues() {
    const { series, columns, peaks } = this.#lastDraw;
    if (series.end === null) return;
    const { at } = this.#crosshair;
    const time = series.start + (at ?? 1) * (series.end - series.start);
    const index = indexNearest(series.times, time);
    const values = columns.map((column) => column[index]);
    values.forEach((value, line) => {
      const peak = at === null ? null : peaks?.[line][index];
      this.#readings[line].textContent = this.#reading(value, peak);
      this.#readings[line].dataset.state = this.#stateOf(value);
    });
    this.#showCursor();
    const clock = clockOf(series.times[index], series);
    const texts = this.#shown.map((line) => {
      const { textContent, dataset } = this.#readings[line];
      return [this.#labels[line], textContent, dataset.state].filter(Boolean).join(" ");
    });
    this.#svg.setAttribute("aria-label", `At ${clock}: ${texts.join(", ")}`);
    this.#time.textContent = at === null ? "" : clock;
  }

  #stateOf(value) {
    return value === null ? "" : STATES[this.#marks.filter((mark) => value >= mark).length];
  }

  /** Write a value, and how high it went if that reads otherwise. */
  #reading(value, peak) {
    if (value === null) return "–";
    const [mean, highest] = [value, peak ?? value].map((one) => this.#format(one));
    return mean === highest ? mean : `${mean}, max ${highest}`;
  }

  #showCursor() {
    const line = this.#cursorLine;
    const { at } = this.#crosshair;
    line.setAttribute("visibility", at === null ? "hidden" : "visible");
    if (at === null) return;
    const x = MARGIN.left + at * plotWidth(this.#size.width);
    set(line, { x1: x, x2: x, y1: MARGIN.top, y2: this.#size.height - MARGIN.bottom });
  }

  /** Draw the grid and its labels, unless they are drawn already. */
  #drawScale(range, y, milliseconds) {
    const { width, height } = this.#size;
    const drawn = [range.low, range.high, milliseconds, width, height, ...this.#marks].join();
    if (drawn === this.#drawnScale) return;
    this.#drawnScale = drawn;
    const ticks = height < LOW ? [range.low, range.high] : range.ticks;
    const rows = ticks.map((value) => ({ value, y: y(value) }));
    const columns = fractions(width < 5 * COLUMN_WIDTH ? 2 : 4).map((part) => ({ part, x: MARGIN.left + part * plotWidth(width) }));
    this.#grid.replaceChildren(
      ...rows.map(({ y }) => svg("line", { x1: MARGIN.left, x2: width - MARGIN.right, y1: y, y2: y })),
      ...rows.filter(({ value }) => value === 0 && range.low < 0).map(({ y }) =>
        svg("line", { class: "zero", x1: MARGIN.left, x2: width - MARGIN.right, y1: y, y2: y }),
      ),
    );
    const [x1, x2] = [MARGIN.left, width - MARGIN.right];
    this.#markLines.replaceChildren(
      ...this.#marks.map((value, index) => {
        const state = STATES[index + 1];
        return svg("line", { class: state, x1, x2, y1: y(value), y2: y(value), "data-value": value });
      }),
    );
    this.#scale.replaceChildren(
      ...rows.map(({ value, y }) => text(this.#format(Math.abs(value), range), MARGIN.left - 6, y + 4, "end")),
      ...columns.map(({ part, x }) => text(ago((1 - part) * milliseconds, milliseconds), x, height - 4, anchor(part))),
    );
  }
}

function plotWidth(width) {
  return width - MARGIN.left - MARGIN.right;
}

function fractions(count) {
  return Array.from({ length: count + 1 }, (_, step) => step / count);
}

function anchor(part) {
  if (part === 0) return "start";
  return part === 1 ? "end" : "middle";
}

/** Write how long ago something was, in the unit that suits the span of the scale. */
export function ago(milliseconds, span = milliseconds) {
  if (Math.round(milliseconds / 1000) === 0) return "now";
  const [unit, each] = SPANS.find(([, each]) => Math.round(span) >= 2 * each) ?? ["s", 1000];
  return `−${+(milliseconds / each).toFixed(2)} ${unit}`;
}

/** Write a time; where a chart spans more than half a day, with its day. */
function clockOf(time, { start, end }) {
  return (end - start > HALF_A_DAY ? DAY_AND_CLOCK : CLOCK).format(time);
}
