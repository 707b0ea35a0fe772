/**
 * The values of several lines over the same stretch of time, oldest first.
 *
 * Parallel arrays of numbers, which a chart reads as they are: `times` in milliseconds since the
 * Unix epoch, and `columns`, one for each line, in which null is a value that is not known.
 */
export class Past {
  times = [];
  columns;
  #lines;
  #milliseconds;

  /**
   * @param {((message: object) => number|null|undefined)[]} lines read their value from a message
   * @param {number} seconds how far back it reaches
   */
  constructor(lines, seconds) {
    this.#lines = lines;
    this.#milliseconds = 1000 * seconds;
    this.columns = lines.map(() => []);
  }

  /** The newest time there is, or null. */
  get end() {
    return this.times.at(-1) ?? null;
  }

  /** The time from which on a chart shows it. */
  get start() {
    return this.end - this.#milliseconds;
  }

  /** Take the newest message. Where the hub's clock was set back, what is now to come is dropped. */
  add(message) {
    const time = Date.parse(message.timestamp);
    if (time <= this.end) this.#drop(after(this.times, time - 1), Infinity);
    this.times.push(time);
    this.#lines.forEach((read, line) => this.columns[line].push(read(message) ?? null));
    this.#forget();
  }

  /** Drop what is too old; many at a time, because each time moves all that stay. */
  #forget() {
    const count = after(this.times, this.start);
    if (count >= 64 && count >= this.times.length / 8) this.#drop(0, count);
  }

  #drop(first, count) {
    for (const array of [this.times, ...this.columns]) array.splice(first, count);
  }
}

/** Return the index of the first of ascending `times` that is later than `time`. */
export function after(times, time) {
  let [low, high] = [0, times.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] > time) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Return the index of the one of ascending `times` that is nearest to `time`; -1 if there is none. */
export function nearest(times, time) {
  const next = after(times, time);
  if (next === 0) return times.length ? 0 : -1;
  if (next === times.length) return next - 1;
  return times[next] - time < time - times[next - 1] ? next : next - 1;
}
