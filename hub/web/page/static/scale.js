/** The scale of a chart: which lines of its grid have labels, and where it ends. */

/** Steps from one line of the grid to the next; each has the same decimals in all its multiples. */
const STEPS = [1, 2, 5];

/** The grid has at most so many steps. */
const MOST_STEPS = 5;

/**
 * Return a scale that ends at whole steps: `low` and `high`, the `step`, and the `ticks`.
 *
 * @param {number} low the least value; 0 or less
 * @param {number} high the greatest value; more than 0
 */
export function scaleOf(low, high) {
  const step = stepFor(low, high);
  const [first, last] = [-upTo(-low, step), upTo(high, step)];
  const ticks = Array.from({ length: last - first + 1 }, (_, index) => (first + index) * step);
  return { low: first * step, high: last * step, step, ticks };
}

function stepFor(low, high) {
  const fits = (step) => upTo(high, step) + upTo(-low, step) <= MOST_STEPS;
  for (let power = Math.floor(Math.log10(high - low)) - 1; ; power += 1) {
    // Dividing gives the nearest number to a tenth or a hundredth; multiplying by 0.1 does not.
    const steps = STEPS.map((factor) => (power < 0 ? factor / 10 ** -power : factor * 10 ** power));
    const found = steps.find(fits);
    if (found) return found;
  }
}

/** Return how many steps it takes up to a value. */
function upTo(value, step) {
  return Math.ceil(value / step - 1e-9) || 0;
}

/** Return the greatest of some columns' values from an index on; 0 if there is none. */
export function highest(columns, first) {
  let found = 0;
  for (const column of columns) {
    for (let index = first; index < column.length; index += 1) if (column[index] > found) found = column[index];
  }
  return found;
}
