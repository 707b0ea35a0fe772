import { Chart } from "./chart.js";
import { DeviceList } from "./devices.js";
import { element } from "./elements.js";
import { membersButton } from "./members.js";
import { pngButton } from "./png.js";

/** How many members of a family can have a line each. */
const MOST_LINES = 8;

/**
 * A chart of the page with what belongs to it: the hint beside its heading, the list of its devices,
 * and why it cannot be drawn. It takes no room until there is something to show.
 */
export class Panel {
  /** The functions that read the values of its lines from a message. */
  lines;
  /** The families that it shows. */
  families;
  #figure;
  #definition;
  #family;
  #chart;
  #hint;
  #devices = null;
  #members = []; // of which each has a line, as they were first seen
  #named = 0; // how many of them the chart's lines are named after

  /**
   * @param {HTMLElement} figure has a heading; all else is added to it
   * @param {object} definition one of `CHARTS`
   * @param {object} options
   * @param {string} [options.hint] stands beside the heading
   * @param {object} [options.devices] see `DeviceList`; for charts whose device may be chosen
   * @param {Crosshair} [options.crosshair] see `Chart`
   * @param {() => object} options.png names the picture of it, see `pngButton`
   * @param {() => void} [options.open] shows the members of its family, from a button in the heading
   */
  constructor(figure, definition, { hint = "", devices, crosshair, png, open }) {
    const { families, lines = {}, each, format, max, least, stacked, downward } = definition;
    const heading = figure.querySelector("h2");
    this.#figure = figure;
    this.#definition = definition;
    this.#family = families[0];
    this.families = families;
    this.#hint = element("small", {}, hint);
    // A wall is only looked at.
    if (open && document.documentElement.dataset.view !== "wall") membersButton(heading, open);
    heading.after(pngButton(figure, png));
    heading.append(" ", this.#hint);
    const labels = each ? Array(MOST_LINES).fill("") : Object.keys(lines);
    this.#chart = new Chart(figure, { labels, format, max, least, stacked, downward, crosshair });
    this.lines = each ? this.#memberLines(definition) : this.#deviceLines(Object.values(lines));
    if (devices) this.#devices = new DeviceList(heading, devices);
  }

  /** Be ready for messages that may name other devices than those before. */
  reset(all) {
    this.#devices?.reset(all);
  }

  /** Take note of the members that a message has, before it is read. */
  note(message) {
    const value = message[this.#family];
    const { each, devices } = this.#definition;
    for (const [name, member] of each ? Object.entries(membersOf(value)) : []) {
      if (typeof each(member) === "number" && !this.#members.includes(name)) this.#members.push(name);
    }
    this.#devices?.note(Object.keys(value?.[devices] ?? {}));
  }

  /** Draw the values so far; see `Chart.draw`. The message is the newest. */
  draw(series, columns, interval, message, peaks) {
    const { families, hint, marks } = this.#definition;
    if (hint) this.#hint.textContent = hint(message);
    if (this.#named < this.#members.length) this.#nameLines();
    this.#devices?.show();
    if (marks) this.#chart.mark(marks(message));
    this.#chart.draw(series, columns, interval, peaks);
    const causes = families.flatMap((family) => [...causesOf(message, family)]);
    const texts = causes.map(([member, cause]) => (member ? `${member}: ${cause}` : cause));
    this.#chart.note(texts.join("; "));
    this.#figure.hidden &&= this.#chart.isEmpty && !causes.length;
  }

  #nameLines() {
    const count = (this.#named = this.#members.length);
    const shown = this.#members.slice(0, MOST_LINES);
    this.#chart.rename(withoutCommonStart(shown), shown);
    this.#figure.classList.toggle("peers", count > 1);
    if (count > MOST_LINES) this.#hint.textContent = `${MOST_LINES} of ${count}`;
  }

  #memberLines({ each }) {
    return Array.from({ length: MOST_LINES }, (_, line) => (message) => {
      const member = membersOf(message[this.#family])[this.#members[line]];
      return member === undefined ? null : each(member);
    });
  }

  /** Have lines read from the chosen device as they do from the family itself. */
  #deviceLines(lines) {
    const { devices } = this.#definition;
    return lines.map((read) => (message) => {
      const device = this.#devices?.chosen;
      return read(device ? { [this.#family]: message[this.#family]?.[devices]?.[device] } : message);
    });
  }
}

/** Iterate over what failed of a family: the names of its members, "" for all of it, and the causes. */
export function* causesOf({ errors = {} }, family) {
  for (const [name, cause] of Object.entries(errors)) {
    if (name === family) yield ["", cause];
    else if (name.startsWith(`${family}/`)) yield [name.slice(family.length + 1), cause];
  }
}

/** Return a family's members by name; a number alone is one. */
function membersOf(value) {
  return typeof value === "number" ? { now: value } : value ?? {};
}

/** Shorten names by the words with which all of them begin. */
function withoutCommonStart(names) {
  const [first, ...others] = names;
  let end = 0;
  for (const { index } of others.length ? first.matchAll(/[ :]/g) : []) {
    const start = first.slice(0, index + 1);
    if (others.every((name) => name.startsWith(start))) end = index + 1;
  }
  return names.map((name) => name.slice(end));
}
