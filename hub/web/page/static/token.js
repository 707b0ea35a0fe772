import { Storage } from "./storage.js";

/**
 * The token with which the user may see the processes, which the browser keeps where it may.
 *
 * The event "change" tells that the user has given another one, or none.
 */
export class Token extends EventTarget {
  #storage = new Storage(() => sessionStorage);
  #field = document.getElementById("token");
  #error = document.getElementById("token-error");
  /** The token; "" is none. */
  value = this.#storage.recall("token");

  constructor() {
    super();
    document.getElementById("token-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#set(this.#field.value.trim());
      this.#field.value = "";
    });
    document.getElementById("forget").addEventListener("click", () => this.#set(""));
  }

  /** Whether it outlasts the page: there is none, or the browser keeps it. */
  get isKept() {
    return !this.value || Boolean(new Storage(() => sessionStorage).recall("token"));
  }

  /** Forget it, since the hub does not know it. */
  refuse() {
    this.#set("");
    this.#error.textContent = "The hub does not know this token.";
  }

  #set(token) {
    this.value = token;
    this.#error.textContent = "";
    this.#storage.remember("token", token);
    this.dispatchEvent(new Event("change"));
  }
}
