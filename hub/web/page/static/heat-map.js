/**
 * A heat map over time, in SVG: a row for each member, and a cell for each stretch of time, the
 * fuller its colour the higher the values of percent. All cells of a shade are one path.
 */
import { CLOCK, ago } from "./chart.js";
import { element, set, svg, text } from "./elements.js";
import { indexAfter } from "./series.js";

const SHADES = ["under 20 %", "20 to 40 %", "40 to 60 %", "60 to 80 %", "80 % and more"];
const MOST_CELLS = 120;
const MARGIN = { left: 40, right: 6, top: 6, bottom: 20 };

export class HeatMap {
  #names;
  #svg = svg("svg", { role: "img" });
  #paths = SHADES.map((_, shade) => svg("path", { class: `heat heat-${shade + 1}` }));
  #scale = svg("g", { class: "scale" });
  #size = { width: 0, height: 0 };
  #lastDraw = null;

  /**
   * @param {HTMLElement} figure the map is added to it
   * @param {string[]} names the members', from the top
   */
  constructor(figure, names) {
    this.#names = names;
    this.#svg.append(...this.#paths, this.#scale);
    const key = SHADES.map((label, shade) => element("span", { class: `shade shade-${shade + 1}` }, label));
    figure.append(element("p", { class: "shades" }, ...key), this.#svg);
    new ResizeObserver(([{ contentRect: { width, height } }]) => {
      this.#size = { width, height };
      if (this.#lastDraw) this.draw(...this.#lastDraw);
    }).observe(this.#svg);
  }

  /** Draw the highest values of each stretch of time; the parameters are those of `Chart.draw`. */
  draw(series, columns, interval, peaks = null) {
    this.#lastDraw = [series, columns, interval, peaks];
    const { width, height } = this.#size;
    if (!width || series.end === null) return;
    const cells = cellsOf(series, peaks ?? columns);
    const across = (width - MARGIN.left - MARGIN.right) / MOST_CELLS;
    const down = (height - MARGIN.top - MARGIN.bottom) / columns.length;
    const paths = SHADES.map(() => "");
    cells.forEach((row, line) => {
      const top = (MARGIN.top + line * down).toFixed(1);
      row.forEach((value, cell) => {
        if (value === null) return;
        const shade = Math.min(SHADES.length - 1, Math.floor(value / 20));
        const left = (MARGIN.left + cell * across).toFixed(1);
        paths[shade] += `M${left},${top}h${across.toFixed(1)}v${down.toFixed(1)}h${(-across).toFixed(1)}Z`;
      });
    });
    paths.forEach((path, shade) => this.#paths[shade].setAttribute("d", path));
    this.#drawScale(series, down);
    this.#describe(series, columns);
  }

  #drawScale(series, down) {
    const { width, height } = this.#size;
    const each = Math.ceil(14 / down); // so that the names of rows do not overlap
    const rows = this.#names.flatMap((name, line) =>
      line % each ? [] : [text(name, MARGIN.left - 6, MARGIN.top + (line + 0.5) * down + 4, "end")],
    );
    const from = text(ago(series.end - series.start), MARGIN.left, height - 4, "start");
    this.#scale.replaceChildren(...rows, from, text("now", width - MARGIN.right, height - 4, "end"));
  }

  #describe(series, columns) {
    const values = columns.map((column) => column.at(-1));
    const greatest = Math.max(...values.map((value) => value ?? 0));
    const name = this.#names[values.indexOf(greatest)];
    const busiest = name === undefined ? "" : `; the busiest is ${name} with ${Math.round(greatest)} %`;
    const clock = CLOCK.format(series.end);
    set(this.#svg, { "aria-label": `${columns.length} rows at ${clock}${busiest}` });
  }
}

/** Return the highest value of each stretch of time, by row; null where there is none. */
function cellsOf(series, columns) {
  const rows = columns.map(() => Array(MOST_CELLS).fill(null));
  const { times, start, end } = series;
  for (let index = indexAfter(times, start); index < times.length; index += 1) {
    const share = (times[index] - start) / (end - start);
    const cell = Math.min(MOST_CELLS - 1, Math.floor(share * MOST_CELLS));
    columns.forEach((column, line) => {
      const value = column[index];
      if (value !== null && value >= (rows[line][cell] ?? 0)) rows[line][cell] = value;
    });
  }
  return rows;
}
