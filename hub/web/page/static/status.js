/**
 * The lines in the head of the page that say how it is connected: what is wrong, how old the newest
 * value is, and when the next attempt is made.
 *
 * Events:
 *   "retry"  the user does not want to wait for the next attempt
 *   "tick"   another second has passed
 */
export class Status extends EventTarget {
  #state = document.getElementById("state");
  #age = document.getElementById("age");
  #retry = document.getElementById("retry");
  #countdown = document.createElement("span");
  #name = "connecting";
  #due = null; // when the next attempt is made, on the page's own clock
  #newest = null; // the time of the newest message, and when it came

  constructor() {
    super();
    // Screen readers would read every second; the text before it tells them enough.
    this.#countdown.setAttribute("aria-hidden", "true");
    this.#retry.addEventListener("click", () => this.dispatchEvent(new Event("retry")));
    setInterval(() => this.#tick(), 1000);
  }

  /** Whether messages arrive. */
  get isLive() {
    return this.#name === "live";
  }

  /**
   * What the hub's clock tells by now, in milliseconds; null before the first message. Of the page's
   * two clocks one may stand still while the machine sleeps, and the other may be set back.
   */
  get now() {
    if (!this.#newest) return null;
    const { time, date, uptime } = this.#newest;
    return time + Math.max(Date.now() - date, performance.now() - uptime, 0);
  }

  /** Take note of the newest message. */
  note({ timestamp }) {
    this.#newest = { time: Date.parse(timestamp), date: Date.now(), uptime: performance.now() };
  }

  /** Show a state of the feed; see `MetricsFeed`. */
  show({ name, reason, seconds }) {
    const texts = {
      connecting: "Connecting…",
      live: "Live",
      stale: "Stale: nothing comes from the hub",
      reconnecting: reason ? `Reconnecting: ${reason}` : "Reconnecting…",
      paused: "Paused",
      refused: `Refused: ${reason}`,
      closed: "Closed",
    };
    this.#name = name;
    this.#due = seconds === undefined ? null : performance.now() + 1000 * seconds;
    this.#state.replaceChildren(texts[name], this.#countdown);
    this.#state.dataset.state = name;
    const isBroken = name === "stale" || name === "refused" || (name === "reconnecting" && Boolean(reason));
    if (isBroken || name === "live") document.body.classList.toggle("stale", isBroken);
    this.#offerRetry(isBroken);
    this.#showTimes();
  }

  #offerRetry(isOffered) {
    const hadFocus = document.activeElement === this.#retry;
    this.#retry.hidden = !isOffered;
    if (hadFocus && !isOffered) this.#state.focus();
  }

  #tick() {
    if (document.hidden) return;
    this.#showTimes();
    this.dispatchEvent(new Event("tick"));
  }

  #showTimes() {
    const left = this.#due === null ? null : Math.ceil((this.#due - performance.now()) / 1000);
    this.#countdown.textContent = countdown(left);
    const isOld = !this.isLive && this.#newest;
    this.#age.textContent = isOld ? `Newest value ${ago(this.now - this.#newest.time)}` : "";
  }
}

function countdown(seconds) {
  if (seconds === null) return "";
  return seconds > 0 ? `, next try in ${seconds} s` : ", trying now";
}

function ago(milliseconds) {
  const seconds = Math.round(milliseconds / 1000);
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  if (hours) return `${hours} h ${minutes} min ago`;
  return minutes ? `${minutes} min ${seconds % 60} s ago` : `${seconds} s ago`;
}
