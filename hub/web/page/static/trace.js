/** The geometry of lines over time: values in, paths of SVG out. */

/**
 * Turn values over ascending times into the paths of a line and of the area from it to `bottom`,
 * beginning with the value at index `first`. The line is broken where a value is null, and where the next one
 * comes after more than `gap` milliseconds.
 */
export function trace(times, values, { first = 0, x, y, gap, bottom }) {
  const path = new PathBuilder(bottom);
  for (let index = first; index < times.length; index += 1) {
    const value = values[index];
    if (value === null || times[index] - times[index - 1] > gap) path.endSegment();
    if (value !== null) path.lineTo(x(times[index]), y(value));
  }
  path.endSegment();
  return path;
}

/**
 * Turn means and highest values over ascending times into the path of the bands between them, with
 * gaps as those of `trace`. Of the values in a column of pixels, the highest counts.
 */
export function bandTrace(times, means, peaks, { first = 0, x, y, gap }) {
  let [path, run] = ["", []];
  const end = () => {
    const over = run.map(({ place, high }) => `${place},${high}`);
    const under = run.map(({ place, low }) => `${place},${low}`).reverse();
    if (run.length) path += `M${[...over, ...under].join("L")}Z`;
    run = [];
  };
  for (let index = first; index < times.length; index += 1) {
    const peak = peaks[index];
    if (peak === null || times[index] - times[index - 1] > gap) end();
    if (peak === null) continue;
    const [place, high, low] = [x(times[index]), y(peak), y(means[index] ?? peak)].map(tenths);
    const last = run.at(-1);
    if (last && Math.floor(last.place / 10) === Math.floor(place / 10)) {
      if (Math.abs(high - low) > Math.abs(last.high - last.low)) Object.assign(last, { high, low });
    } else run.push({ place, high, low });
  }
  end();
  return path;
}

/**
 * Builds the paths of a line and of the area under it, from one point to the next. It keeps no more
 * points than are visible, and counts in whole tenths of a pixel: browsers turn whole numbers into
 * text much faster than others.
 */
class PathBuilder {
  line = "";
  area = "";
  #bottom;
  #segment = "";
  #start = 0;
  #x = 0;
  #pixel = NaN;
  #count = 0;
  #low = 0;
  #high = 0;
  #last = 0;

  constructor(bottom) {
    this.#bottom = tenths(bottom);
  }

  lineTo(x, y) {
    const pixel = Math.floor(x);
    if (pixel === this.#pixel) {
      this.#count += 1;
      if (y < this.#low) this.#low = y;
      if (y > this.#high) this.#high = y;
      this.#last = y;
      return;
    }
    this.#endColumn();
    if (!this.#segment) this.#start = tenths(x);
    this.#segment += `${this.#segment ? "L" : "M"}${tenths(x)},${tenths(y)}`;
    this.#x = tenths(x);
    this.#pixel = pixel;
    this.#count = 1;
    this.#low = this.#high = this.#last = y;
  }

  endSegment() {
    this.#endColumn();
    this.#pixel = NaN;
    if (!this.#segment) return;
    this.line += this.#segment;
    this.area += `${this.#segment}L${this.#x},${this.#bottom}L${this.#start},${this.#bottom}Z`;
    this.#segment = "";
  }

  /** End a column of pixels: add its lowest, highest and last value. */
  #endColumn() {
    if (this.#count < 2) return;
    this.#segment += `V${tenths(this.#low)}V${tenths(this.#high)}V${tenths(this.#last)}`;
    this.#count = 0;
  }
}

function tenths(pixels) {
  return Math.round(pixels * 10);
}

/** Add up columns, each on those before it. What is missing among others counts as nothing. */
export function stack(columns) {
  const sums = columns.map(() => []);
  for (let index = 0; index < columns[0].length; index += 1) {
    const missing = columns.every((column) => column[index] === null);
    let sum = 0;
    columns.forEach((column, line) => sums[line].push(missing ? null : (sum += column[index])));
  }
  return sums;
}
