import { element } from "./elements.js";

/** The list from which the user chooses the device that a chart shows, instead of the total. */
export class DeviceList {
  /** The name of the device that is shown, or "" for the total. */
  chosen;
  #noun;
  #select;
  #more = element("option", {});
  #names = [];
  #known;

  /**
   * @param {HTMLElement} heading the chart's; the list is put after it
   * @param {object} options
   * @param {string} options.noun what the devices are, in the plural
   * @param {string} options.chosen the name of one, or "" for the total
   * @param {boolean} options.all whether more devices than the usual ones are listed
   * @param {(chosen: string) => void} options.choose called when the user chooses
   * @param {() => void} options.more called when the user wants more devices, or fewer again
   */
  constructor(heading, { noun, chosen, all, choose, more }) {
    this.chosen = chosen;
    this.#noun = noun;
    this.#select = element("select", { "aria-label": `Which of the ${noun}` });
    this.#select.addEventListener("change", () => this.#onChange(choose, more));
    heading.after(this.#select);
    this.reset(all);
  }

  /** Forget the devices, but for the one that is chosen: other ones will be listed. */
  reset(all) {
    this.#more.textContent = `${all ? "Fewer" : "More"} ${this.#noun}`;
    this.#known = new Set(this.chosen ? [this.chosen] : []);
    this.#rebuild();
  }

  /** Take note of devices that there are. */
  note(names) {
    for (const name of names) this.#known.add(name);
  }

  /** List the devices that are known by now. */
  show() {
    if (this.#known.size !== this.#names.length) this.#rebuild();
  }

  #rebuild() {
    this.#names = [...this.#known].sort(new Intl.Collator(undefined, { numeric: true }).compare);
    const options = this.#names.map((name) => element("option", {}, name));
    this.#select.replaceChildren(element("option", {}, "total"), ...options, this.#more);
    this.#select.selectedIndex = this.#names.indexOf(this.chosen) + 1;
  }

  #onChange(choose, more) {
    const index = this.#select.selectedIndex;
    if (index > this.#names.length) {
      this.#select.selectedIndex = this.#names.indexOf(this.chosen) + 1;
      return more();
    }
    this.chosen = index ? this.#names[index - 1] : "";
    choose(this.chosen);
  }
}
