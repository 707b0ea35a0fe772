/** How the page writes figures. Each function turns a number into text with its unit. */

export const number = (value) => String(+value.toPrecision(3));
export const percent = (value) => `${value.toFixed(value && value < 10 ? 1 : 0)} %`;
export const celsius = (value) => `${Math.round(value)} °C`;
export const milliseconds = (value) => `${number(value)} ms`;
export const bytes = (value) => amount(value).join(" ");
export const bytesPerSecond = (value) => `${bytes(value)}/s`;

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

function amount(value) {
  const power = Math.min(4, Math.floor(Math.log10(Math.max(value, 1)) / 3));
  return [number(value / 1000 ** power), ["B", "kB", "MB", "GB", "TB"][power]];
}
