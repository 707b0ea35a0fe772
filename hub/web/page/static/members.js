import { Chart } from "./chart.js";
import { Crosshair } from "./crosshair.js";
import { element } from "./elements.js";
import { HeatMap } from "./heat-map.js";
import { fetchMessages, fetchPast } from "./past.js";
import { Series } from "./series.js";

/** How many lines there are at most; those of members left over are named. */
const MOST_LINES = 8;

/**
 * A dialog with the members of one family over time: a line each, or a row each of a heat map.
 *
 * It exists while it is open. It asks for the past by itself, and is fed with the page's messages.
 */
export class Members {
  #definition;
  #dialog;
  #figure;
  #chart = null;
  #series = null;
  #period;
  #waiting = []; // messages that come before the past
  #rest = element("p", { class: "rest" });
  #asking = new AbortController();

  /**
   * @param {object} definition see `MEMBERS`
   * @param {object} period
   * @param {number} period.seconds how long it is
   * @param {number} period.history how much of it the hub may have kept
   * @param {number} period.interval seconds from one value to the next
   * @param {boolean} period.folded whether such a value is of several ticks
   * @param {string[]} [period.devices] which members of families, see `MetricsFeed`
   * @param {() => void} closed called when the user has closed it
   */
  constructor(definition, period, closed) {
    this.#definition = definition;
    this.#period = period;
    const heading = element("h2", {}, definition.title);
    const button = element("button", { type: "button" }, "Close");
    this.#figure = element("figure", { class: "chart members-chart" }, heading);
    this.#dialog = element("dialog", { class: "members", "aria-label": definition.title }, button, this.#figure, this.#rest);
    button.addEventListener("click", () => this.close());
    this.#dialog.addEventListener("close", () => {
      this.#asking.abort();
      this.#dialog.remove();
      closed();
    });
    document.body.append(this.#dialog);
    this.#dialog.showModal();
    this.#load();
  }

  /** Close the dialog, as the user may. */
  close() {
    this.#dialog.close();
  }

  /** Take in the newest message, and draw. */
  add(message) {
    if (!this.#series) return this.#waiting.push(message);
    if (!this.#chart) this.#choose([message]);
    this.#series.add(message);
    this.#draw();
  }

  async #load() {
    const { means, peaks, single } = await this.#past().catch(() => ({ means: [], peaks: [], single: [] }));
    if (this.#asking.signal.aborted) return;
    const newest = [...single, ...this.#waiting];
    this.#choose([...peaks, ...newest]);
    this.#series.load({ means, peaks });
    for (const message of newest) {
      if (Date.parse(message.timestamp) > (this.#series.end ?? 0)) this.#series.add(message);
    }
    this.#draw();
  }

  /** Fetch the past, and the single values since its last whole bucket. */
  async #past() {
    const { family } = this.#definition;
    const { devices, history, interval } = this.#period;
    const { signal } = this.#asking;
    const query = { metrics: family, devices: devices.filter((one) => one.startsWith(`${family}:`)) };
    const tail = { ...query, seconds: Math.min(history, Math.ceil(2 * interval)) };
    const [past, single] = await Promise.all([
      fetchPast({ ...query, seconds: history, interval, signal }),
      fetchMessages(tail, signal),
    ]);
    return { ...past, single };
  }

  /** Choose the members that are drawn, by their greatest values, and create what draws them. */
  #choose(messages) {
    const { of, ways, heat } = this.#definition;
    const reads = Object.values(ways);
    const greatest = new Map();
    for (const message of messages) {
      for (const [name, member] of Object.entries(of(message) ?? {})) {
        const values = reads.map((read) => read(member) ?? 0);
        greatest.set(name, Math.max(greatest.get(name) ?? 0, ...values));
      }
    }
    const names = [...greatest.keys()];
    if (!heat) names.sort((one, other) => greatest.get(other) - greatest.get(one));
    const drawn = heat ? names : names.slice(0, MOST_LINES / reads.length);
    const rest = names.slice(drawn.length);
    this.#rest.textContent = rest.length ? `Not drawn: ${rest.join(", ")}` : "";
    const { seconds, interval, folded } = this.#period;
    this.#series = new Series(this.#lines(drawn), seconds, folded ? interval : 0);
    if (drawn.length) this.#chart = heat ? new HeatMap(this.#figure, drawn) : this.#newChart(drawn);
  }

  #lines(names) {
    const { of, ways } = this.#definition;
    const lines = (read) => names.map((name) => (message) => read(of(message)?.[name]));
    return Object.values(ways).flatMap(lines);
  }

  #newChart(names) {
    const { format, ways, max, least, marks } = this.#definition;
    const labels = Object.keys(ways).flatMap((way) => names.map((name) => (way ? `${name} ${way}` : name)));
    const downward = labels.flatMap((_, line) => (line < names.length ? [] : [line]));
    const crosshair = new Crosshair(this.#asking.signal);
    this.#figure.classList.add("peers");
    const options = { labels, format, max, least, downward, crosshair, styles: names.length };
    const chart = new Chart(this.#figure, options);
    if (marks) chart.mark(marks());
    return chart;
  }

  #draw() {
    const { columns, peaks } = this.#series;
    this.#chart?.draw(this.#series, columns, this.#period.interval, peaks);
  }
}

/** Create the button in a heading that opens the members of its family. */
export function membersButton(heading, open) {
  const button = element("button", { type: "button", class: "open-members", "aria-haspopup": "dialog" });
  button.append(...[...heading.childNodes].filter((node) => node.nodeName !== "SMALL"));
  heading.prepend(button, " ");
  button.addEventListener("click", open);
}
