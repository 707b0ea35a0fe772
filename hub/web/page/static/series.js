/**
 * The values of several lines over the same period, oldest first.
 *
 * Parallel arrays of numbers, which a chart reads as they are: `times` in milliseconds since the
 * Unix epoch, and `columns`, one for each line, where null is a missing value.
 */
export class Series {
  times = [];
  columns;
  #lines;
  #milliseconds;

  /**
   * @param {((message: object) => number|null|undefined)[]} lines each reads its value from a message
   * @param {number} seconds the length of the period
   */
  constructor(lines, seconds) {
    this.#lines = lines;
    this.#milliseconds = 1000 * seconds;
    this.columns = lines.map(() => []);
  }

  /** The newest time, or null if there is none. */
  get end() {
    return this.times.at(-1) ?? null;
  }

  /** The time at which a chart of it begins. */
  get start() {
    return this.end - this.#milliseconds;
  }

  /** Add the newest message. If the hub's clock was set back, values later than it are dropped. */
  add(message) {
    const time = Date.parse(message.timestamp);
    if (time <= this.end) this.#drop(indexAfter(this.times, time - 1), Infinity);
    this.times.push(time);
    this.#lines.forEach((read, line) => this.columns[line].push(read(message) ?? null));
    this.#trim();
  }

  /** Drop values that are too old; many at a time, because each splice moves all that remain. */
  #trim() {
    const count = indexAfter(this.times, this.start);
    if (count >= 64 && count >= this.times.length / 8) this.#drop(0, count);
  }

  #drop(first, count) {
    for (const array of [this.times, ...this.columns]) array.splice(first, count);
  }
}

/** Return the index of the first of ascending `times` that is later than `time`. */
export function indexAfter(times, time) {
  let [low, high] = [0, times.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] > time) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Return the index of the value of ascending `times` nearest to `time`; -1 if there is none. */
export function indexNearest(times, time) {
  const next = indexAfter(times, time);
  if (next === 0) return times.length ? 0 : -1;
  if (next === times.length) return next - 1;
  return times[next] - time < time - times[next - 1] ? next : next - 1;
}
