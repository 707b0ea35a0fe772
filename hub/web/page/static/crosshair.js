/**
 * The time at which all charts of the page are read together.
 *
 * It is a share of the charts' width rather than a time, so that it stays under the pointer while
 * values flow in. The event "change" tells the charts; Escape ends it.
 */
export class Crosshair extends EventTarget {
  /** Where it is, from 0 at the left to 1 at the right; null if nowhere. */
  at = null;

  /** @param {AbortSignal} [signal] ends its life */
  constructor(signal) {
    super();
    const onKeyDown = ({ key }) => key === "Escape" && this.move(null);
    document.addEventListener("keydown", onKeyDown, { signal });
  }

  /** Move it to a place, as far as there is one; null ends it. */
  move(place) {
    const at = place === null ? null : Math.min(1, Math.max(0, place));
    if (at === this.at) return;
    this.at = at;
    this.dispatchEvent(new Event("change"));
  }
}
