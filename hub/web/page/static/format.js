/**
 * How the page writes figures. Each function turns a number into text with its unit. Those of charts
 * are given the scale for its labels, see `scaleOf`: all of these have the same unit and decimals.
 */

export const number = (value, scale) => (scale ? even(value, scale.step) : String(+value.toPrecision(3)));
export const percent = (value, scale) => `${scale ? even(value, scale.step) : value.toFixed(value && value < 9.95 ? 1 : 0)} %`;
export const celsius = (value, scale) => `${scale ? even(value, scale.step) : Math.round(value)} °C`;
export const milliseconds = (value, scale) => `${number(value, scale)} ms`;
export const bytes = (value, scale) => amount(value, scale).join(" ");
export const bytesPerSecond = (value, scale) => `${bytes(value, scale)}/s`;

/** Write a part of a whole, both in bytes, as in "12 of 100 GB". */
export function share(part, whole) {
  const [few, unit] = amount(part);
  const [many, wholeUnit] = amount(whole);
  return `${few}${unit === wholeUnit ? "" : ` ${unit}`} of ${many} ${wholeUnit}`;
}

/** Write how long something lasts, in the two greatest units. */
export function duration(seconds) {
  const minutes = Math.floor(seconds / 60);
  const [days, hours] = [Math.floor(minutes / 1440), Math.floor(minutes / 60) % 24];
  if (days) return `${days} d ${hours} h`;
  return hours ? `${hours} h ${minutes % 60} min` : `${minutes} min`;
}

function amount(value, scale) {
  const greatest = scale ? Math.max(scale.high, -scale.low) : value;
  const power = Math.min(4, Math.floor(Math.log10(Math.max(greatest, 1)) / 3));
  const unit = ["B", "kB", "MB", "GB", "TB"][power];
  return [number(value / 1000 ** power, scale && { step: scale.step / 1000 ** power }), unit];
}

/** Write a multiple of a step with as many decimals as the step has. */
function even(value, step) {
  return value.toFixed(Math.max(0, -Math.floor(Math.log10(step) + 1e-9)));
}
