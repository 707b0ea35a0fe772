import { element } from "./chart.js";

/** A list of bars that show percentages, such as of processors or file systems. */
export class Bars {
  #list;
  #rows = new Map();

  /** @param {HTMLElement} list an empty <ul> */
  constructor(list) {
    this.#list = list;
  }

  /**
   * Show exactly these bars, in the sequence given.
   *
   * @param {[string, number|null][]} entries names, each different, and percentages
   */
  show(entries) {
    const names = entries.map(([name]) => name);
    if (names.join("\n") !== [...this.#rows.keys()].join("\n")) this.#rebuild(names);
    for (const [name, value] of entries) this.#rows.get(name)(value);
  }

  #rebuild(names) {
    this.#rows = new Map();
    this.#list.replaceChildren(
      ...names.map((name) => {
        const [row, update] = bar(name);
        this.#rows.set(name, update);
        return row;
      }),
    );
  }
}

/** Create a bar; return its element and the function that sets its value. */
function bar(name) {
  const fill = element("div", { class: "fill" });
  const range = { role: "meter", "aria-label": name, "aria-valuemin": 0, "aria-valuemax": 100 };
  const meter = element("div", { class: "meter", ...range }, fill);
  const figure = element("span", { class: "figure", "aria-hidden": "true" });
  const label = element("span", { class: "name", title: name, "aria-hidden": "true" }, name);
  const update = (value) => {
    figure.textContent = value === null ? "–" : `${Math.round(value)} %`;
    meter.setAttribute("aria-valuenow", Math.round(value ?? 0));
    meter.setAttribute("aria-valuetext", figure.textContent);
    fill.style.transform = `scaleX(${(value ?? 0) / 100})`;
  };
  return [element("li", {}, label, meter, figure), update];
}
