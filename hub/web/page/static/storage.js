/** What a browser keeps for the page, where it may; elsewhere the page keeps it while it is open. */
export class Storage {
  #open;
  #values = new Map();

  /** @param {() => globalThis.Storage} open returns the browser's; it throws where that is blocked */
  constructor(open) {
    this.#open = open;
  }

  /** Return what is kept under a name; "" if nothing is. */
  recall(name) {
    try {
      return this.#open().getItem(name) ?? "";
    } catch {
      return this.#values.get(name) ?? "";
    }
  }

  /** Keep a text under a name; "" is none. */
  remember(name, value) {
    this.#values.set(name, value);
    try {
      if (value) this.#open().setItem(name, value);
      else this.#open().removeItem(name);
    } catch {
      // It is blocked, or full: then the page alone knows it.
    }
  }
}
