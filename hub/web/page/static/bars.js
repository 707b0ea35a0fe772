import { element } from "./elements.js";

/**
 * A list of bars that show percentages, such as of processors or file systems.
 *
 * @typedef {object} Bar
 * @property {string} name unlike that of any other
 * @property {number|null} [value] the percentage; null is unknown, and without one there is no bar
 * @property {string} [text] the figure; by default the percentage
 * @property {string} [cause] why there is no value, or not all of it
 */
export class Bars {
  #list;
  #many;
  #note = element("p", { class: "note" });
  #rows = new Map();

  /**
   * @param {HTMLElement} list an empty <ul> in a <section>
   * @param {number} [many] above this number the bars are small blocks, which say in a tip what they are
   */
  constructor(list, many = Infinity) {
    this.#list = list;
    this.#many = many;
    list.before(this.#note);
  }

  /**
   * Show exactly these bars, in the sequence given; without any, and without a note, no section.
   *
   * @param {Bar[]} bars
   * @param {string} [note] stands above them, such as an error
   */
  show(bars, note = "") {
    const names = bars.map(({ name }) => name);
    if (names.join("\n") !== [...this.#rows.keys()].join("\n")) this.#rebuild(names);
    for (const bar of bars) this.#rows.get(bar.name)(bar);
    this.#note.textContent = note;
    this.#list.closest("section").hidden = !bars.length && !note;
  }

  #rebuild(names) {
    this.#rows = new Map();
    this.#list.classList.toggle("blocks", names.length > this.#many);
    this.#list.replaceChildren(
      ...names.map((name) => {
        const [row, update] = createRow(name);
        this.#rows.set(name, update);
        return row;
      }),
    );
  }
}

/** Create a bar; return its element and the function that shows another state of it. */
function createRow(name) {
  const fill = element("div", { class: "fill" });
  const range = { role: "meter", "aria-label": name, "aria-valuemin": 0, "aria-valuemax": 100 };
  const meter = element("div", { class: "meter", ...range }, fill);
  const figure = element("span", { class: "figure", "aria-hidden": "true" });
  const label = element("span", { class: "name", title: name }, name);
  const note = element("span", { class: "note" });
  const update = ({ value, text, cause = "" }) => {
    const share = Math.min(100, Math.max(0, value ?? 0));
    meter.hidden = value === undefined;
    label.setAttribute("aria-hidden", String(!meter.hidden));
    figure.textContent = text ?? (meter.hidden || value === null ? "–" : `${Math.round(value)} %`);
    meter.setAttribute("aria-valuenow", Math.round(share));
    meter.setAttribute("aria-valuetext", figure.textContent);
    fill.style.setProperty("--share", share / 100);
    meter.title = `${name}: ${figure.textContent}`;
    note.textContent = cause;
  };
  return [element("li", {}, label, meter, figure, note), update];
}
