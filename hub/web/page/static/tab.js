/** Share of the processors, the memory or the disk, in percent, from which a machine is in trouble. */
const CRITICAL = 95;

/** Milliseconds for which it must last: a compiler may have all processors for a moment. */
const LASTING = 10_000;

/** The page's tab in the browser, by which one of many machines is found: its title and its icon. */
export class Tab {
  #icon = document.querySelector("link[rel=icon]");
  #suffering = null; // since when a share is critical, by the hub's clock

  /** Show the newest message of a machine, or with `isLive` false that it is not new any more. */
  show(name, message, isLive) {
    const cpu = typeof message.cpu === "number" ? `CPU ${Math.round(message.cpu)} %` : "";
    const title = [name, isLive ? cpu : "no data"].filter(Boolean).join(" · ");
    if (document.title !== title) document.title = title;
    this.#showIcon(isLive ? (this.#isCritical(message) ? "icon-critical" : "icon") : "icon-stale");
  }

  #isCritical({ timestamp, cpu, memory, disk }) {
    const time = Date.parse(timestamp);
    if (!(Math.max(cpu ?? 0, memory ?? 0, disk ?? 0) >= CRITICAL)) this.#suffering = null;
    else if (this.#suffering === null || this.#suffering > time) this.#suffering = time;
    return this.#suffering !== null && time - this.#suffering >= LASTING;
  }

  #showIcon(name) {
    const href = `static/${name}.svg`;
    if (this.#icon.getAttribute("href") !== href) this.#icon.setAttribute("href", href);
  }
}
