import { keep, kept } from "./address.js";
import { element } from "./elements.js";

/** The ranges of time that a hub of a long history has, by their names in the page's address. */
const STEPS = ["1m", "10m", "1h", "6h", "24h", "7d"];

/** The seconds of a range's unit, and how the unit is written; the greatest first. */
const UNITS = { d: [86_400, "d"], h: [3600, "h"], m: [60, "min"], s: [1, "s"] };

/**
 * Return the ranges of a hub that keeps so many seconds: their seconds by name, ascending. The last
 * one is all that it keeps.
 */
export function rangesOf(history) {
  const steps = STEPS.filter((name, index) => !index || secondsOf(name) <= history);
  const names = history > secondsOf(steps.at(-1)) ? [...steps, nameOf(history)] : steps;
  return new Map(names.map((name) => [name, secondsOf(name)]));
}

/** The choice of the range of time, which the page's address keeps; by default the shortest. */
export class Ranges {
  #form;
  #offered = rangesOf(0);
  #alert = element("p", { class: "note", id: "range-alert", role: "alert" });

  /**
   * @param {HTMLFormElement} form has a fieldset for the choice
   * @param {() => void} chosen called when the user has chosen another one
   */
  constructor(form, chosen) {
    this.#form = form;
    form.addEventListener("change", () => {
      keep("range", form.elements.range.value);
      this.#tell();
      chosen();
    });
  }

  /** Offer the ranges of a hub that keeps so many seconds. */
  offer(history) {
    this.#offered = rangesOf(history);
    const hadFocus = this.#form.contains(document.activeElement);
    const fieldset = this.#form.querySelector("fieldset");
    fieldset.replaceChildren(fieldset.firstElementChild, ...[...this.#offered.keys()].flatMap(choiceOf));
    const chosen = document.getElementById(`range-${this.name}`);
    chosen.checked = true;
    if (hadFocus) chosen.focus();
    this.#tell();
  }

  /** The name of the chosen range. */
  get name() {
    const [shortest] = this.#offered.keys();
    return this.#offered.has(kept("range")) ? kept("range") : shortest;
  }

  /** Its length, in seconds. */
  get seconds() {
    return this.#offered.get(this.name);
  }

  /** What is wrong with the range that the address asks for; "" if nothing is. */
  get mistake() {
    if (!kept("range") || this.#offered.has(kept("range"))) return "";
    return `There is no range “${kept("range")}” but ${[...this.#offered.keys()].join(", ")}.`;
  }

  #tell() {
    this.#alert.textContent = this.mistake;
    if (this.mistake) document.querySelector("header").after(this.#alert);
    else this.#alert.remove();
  }
}

/** Return the radio button of a range, and its label. */
function choiceOf(name) {
  const id = `range-${name}`;
  const label = `${parseInt(name)} ${UNITS[name.at(-1)][1]}`;
  return [element("input", { type: "radio", name: "range", id, value: name }), element("label", { for: id }, label)];
}

function secondsOf(name) {
  return parseInt(name) * UNITS[name.at(-1)][0];
}

/** Name a number of seconds in the greatest unit of which it is a multiple. */
function nameOf(seconds) {
  const [unit, [each]] = Object.entries(UNITS).find(([, [each]]) => seconds % each === 0);
  return `${seconds / each}${unit}`;
}
