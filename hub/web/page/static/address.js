/** The settings in the page's address, which a link to it keeps. */

/** Return a setting; "" if there is none. */
export function kept(name) {
  return new URL(location).searchParams.get(name) ?? "";
}

/** Keep a setting; "" is none. */
export function keep(name, value) {
  const address = new URL(location);
  if (value) address.searchParams.set(name, value);
  else address.searchParams.delete(name);
  history.replaceState(null, "", address);
}

/** Whether one chart is asked for alone. */
export function isForOneChart() {
  return new URL(location).searchParams.has("chart");
}

/** Whether a chart is shown: all are, or the one that is asked for. */
export function isWanted(chart) {
  return !isForOneChart() || kept("chart") === chart;
}

/** Whether charts may show other devices than the usual ones, such as virtual interfaces. */
export function wantsAll() {
  return kept("devices") === "all";
}
