/**
 * The past of a hub in buckets: the means of an interval, and the highest value in each.
 *
 * Both come from requests that hold no view of the hub. What follows the last whole bucket is the
 * live feed's, which goes on after its time: nothing is missing between them, and nothing twice.
 */

/**
 * Fetch the past as messages, as the feed would have sent them, oldest first.
 *
 * @param {object} query
 * @param {string[]} query.metrics the families
 * @param {string[]} [query.devices] which members of families, see `MetricsFeed`
 * @param {number} query.seconds how far to look back
 * @param {number} query.interval seconds of a bucket
 * @param {AbortSignal} [query.signal] ends it
 * @returns {Promise<{means: object[], peaks: object[]}>} of the same buckets
 */
export async function fetchPast({ signal, ...query }) {
  const asked = ["mean", "max"].map((aggregate) => fetchMessages({ ...query, aggregate }, signal));
  const [means, peaks] = await Promise.all(asked);
  // One of the answers may have a bucket more, as they are not of the same moment.
  const both = Object.fromEntries(peaks.map((message) => [message.timestamp, message]));
  const shared = means.filter(({ timestamp }) => timestamp in both);
  return { means: shared, peaks: shared.map(({ timestamp }) => both[timestamp]) };
}

/** Fetch the past of a query with its `aggregate`; without an `interval`, each single value. */
export async function fetchMessages(query, signal) {
  const url = new URL("api/system/metrics/history", document.baseURI);
  for (const [name, value] of Object.entries(query)) {
    if (String(value ?? "")) url.searchParams.set(name, String(value)); // an empty list asks for nothing
  }
  const response = await fetch(url, { signal });
  if (!response.ok) throw new Error(`the hub answers ${response.status}`);
  const columns = Object.entries(await response.json());
  const { timestamp } = Object.fromEntries(columns);
  return timestamp.map((_, row) => Object.fromEntries(columns.map(([name, values]) => [name, values[row]])));
}
