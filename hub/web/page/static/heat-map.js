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
    const count = Math.max(1, Math.min(MOST_CELLS, Math.round((series.end - series.start) / 1000 / interval)));
    const cells = cellsOf(series, peaks ?? columns, count);
    const across = (width - MARGIN.left - MARGIN.right) / count;
    const down = (height - MARGIN.top - MARGIN.bottom) / columns.length;
    const paths = SHADES.map(() => "");
    cells.forEach((row, line) => {
      // Whole pixels, so that neither gaps nor seams are between the cells.
      const [top, bottom] = [line, line + 1].map((edge) => Math.round(MARGIN.top + edge * down));
      row.forEach((value, cell) => {
        if (value === null) return;
        const shade = Math.min(SHADES.length - 1, Math.floor(value / 20));
        const [left, right] = [cell, cell + 1].map((edge) => Math.round(MARGIN.left + edge * across));
        paths[shade] += `M${left},${top}H${right}V${bottom}H${left}Z`;
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

/**
 * Return the highest value of each stretch of time, by row; null where there is none. The stretches
 * are counted from the newest value: each has its own, even where values come a little early or late.
 */
function cellsOf(series, columns, count) {
  const rows = columns.map(() => Array(count).fill(null));
  const { times, start, end } = series;
  const [stretch, newest] = [(end - start) / count, times.at(-1)];
  const last = count - 1 - Math.round((end - newest) / stretch);
  for (let index = indexAfter(times, start); index < times.length; index += 1) {
    const cell = last - Math.round((newest - times[index]) / stretch);
    if (cell < 0) continue;
    columns.forEach((column, line) => {
      const value = column[index];
      if (value !== null && value >= (rows[line][cell] ?? 0)) rows[line][cell] = value;
    });
  }
  return rows;
}
