/**
 * The values of several lines over the same period, oldest first.
 *
 * Parallel arrays of numbers, which a chart reads as they are: `times` in milliseconds since the
 * Unix epoch, and `columns`, one for each line, where null is a missing value. A series of buckets
 * has the mean of each bucket in `columns` and its highest value in `peaks`; the last bucket, which
 * is not over yet, has those so far, and the time of the newest value.
 */
export class Series {
  times = [];
  /** The timestamp of the newest bucket that was loaded: the feed goes on after it. */
  since;
  columns;
  peaks = null;
  #lines;
  #milliseconds;
  #bucket; // milliseconds; 0 keeps each value by itself
  #number = 0; // of the last bucket, counted from the epoch
  #open = false; // whether the last bucket takes further values
  #sums = []; // of the last bucket, by line
  #counts = [];

  /**
   * @param {((message: object) => number|null|undefined)[]} lines each reads its value from a message
   * @param {number} seconds the length of the period
   * @param {number} [bucket] how many seconds to fold into one value; by default none
   */
  constructor(lines, seconds, bucket = 0) {
    this.#lines = lines;
    this.#milliseconds = 1000 * seconds;
    this.#bucket = 1000 * bucket;
    this.columns = lines.map(() => []);
    if (bucket) this.peaks = lines.map(() => []);
  }

  /** The newest time, or null if there is none. */
  get end() {
    return this.times.at(-1) ?? null;
  }

  /** The time at which a chart of it begins. */
  get start() {
    return this.end - this.#milliseconds;
  }

  /** Begin with whole buckets of the past: messages of means and of the highest values. */
  load({ means, peaks }) {
    means.forEach((mean, index) => {
      this.times.push(Date.parse(mean.timestamp));
      this.#push(this.#read(mean), this.#read(peaks[index]));
      this.since = mean.timestamp;
    });
  }

  /** Add the newest message. If the hub's clock was set back, values later than it are dropped. */
  add(message) {
    const time = Date.parse(message.timestamp);
    if (time <= this.end) this.#setBack(time);
    const values = this.#read(message);
    if (this.#bucket) this.#fold(time, values);
    else {
      this.times.push(time);
      this.#push(values);
    }
    this.#trim();
  }

  #read(message) {
    return this.#lines.map((read) => read(message) ?? null);
  }

  #push(values, peaks = values) {
    values.forEach((value, line) => this.columns[line].push(value));
    if (this.peaks) peaks.forEach((peak, line) => this.peaks[line].push(peak));
  }

  /** Fold values into the last bucket, or into a new one if that is over. */
  #fold(time, values) {
    const number = Math.floor(time / this.#bucket);
    if (!this.#open || number > this.#number) {
      this.#number = number;
      this.#open = true;
      this.#sums = values.map((value) => value ?? 0);
      this.#counts = values.map((value) => (value === null ? 0 : 1));
      this.times.push(time);
      this.#push(values);
      return;
    }
    const last = this.times.length - 1;
    this.times[last] = time;
    values.forEach((value, line) => {
      if (value === null) return;
      this.#sums[line] += value;
      this.#counts[line] += 1;
      this.columns[line][last] = this.#sums[line] / this.#counts[line];
      this.peaks[line][last] = Math.max(value, this.peaks[line][last] ?? value);
    });
  }

  #setBack(time) {
    this.#drop(indexAfter(this.times, time - 1), Infinity);
    this.#open = false;
  }

  /** Drop values that are too old; many at a time, because each splice moves all that remain. */
  #trim() {
    const count = indexAfter(this.times, this.start);
    if (count >= 64 && count >= this.times.length / 8) this.#drop(0, count);
  }

  #drop(first, count) {
    for (const array of [this.times, ...this.columns, ...(this.peaks ?? [])]) array.splice(first, count);
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
