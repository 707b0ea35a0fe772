/** What the hub offers: read from its OpenAPI document, however long that takes. */

/** Seconds after which a request without an answer has failed. */
export const TIMEOUT = 10;

/** Seconds between attempts, at most. */
const LONGEST_WAIT = 30;

/** Waits between attempts: each time for a random while, whose bound grows until `reset`. */
export class Patience {
  #attempt = 0;
  #hurry = () => {};

  /** Wait; `tell` is first called with the number of seconds that it takes. */
  async wait(tell) {
    const seconds = Math.random() * Math.min(LONGEST_WAIT, 2 ** this.#attempt);
    this.#attempt += 1;
    tell(seconds);
    await new Promise((resolve) => {
      this.#hurry = resolve;
      setTimeout(resolve, 1000 * seconds);
    });
  }

  /** End the present wait at once. */
  hurry() {
    this.#hurry();
  }

  /** What was waited for is there: the next wait is short again. */
  reset() {
    this.#attempt = 0;
  }
}

/** Read the offer again and again until there is one; see `Patience` and `Status`. */
export async function awaitOffer(patience, status) {
  for (;;) {
    try {
      return await fetchOffer();
    } catch (error) {
      const reason = error.message;
      await patience.wait((seconds) => status.show({ name: "reconnecting", reason, seconds }));
    }
  }
}

/**
 * Read which families and values the hub accepts, and which families a token gives besides. A proxy
 * may answer in its place: that throws.
 */
export async function fetchOffer() {
  const response = await request("openapi.json");
  if (!response.ok) throw new Error(`the hub answers ${response.status}`);
  try {
    return readOffer(await response.json());
  } catch {
    throw new Error("something else answers for the hub");
  }
}

/** Request a file of the hub; return the response, whatever its status is. */
export async function request(path) {
  try {
    return await fetch(path, { signal: AbortSignal.timeout(1000 * TIMEOUT) });
  } catch {
    throw new Error("the hub cannot be reached");
  }
}

function readOffer(description) {
  const { parameters } = description.paths["/api/system/metrics/stream"].get;
  const schema = Object.fromEntries(parameters.map((one) => [one.name, one.schema]));
  const { "x-restricted-families": restricted = [] } = description.paths["/api/system/ws"]?.get ?? {};
  const { properties } = description.components.schemas.Sample;
  const families = schema.metrics.items.enum;
  const units = Object.fromEntries(families.map((name) => [name, properties[name]?.["x-unit"] ?? ""]));
  return {
    families,
    restricted,
    units,
    contained: Object.keys(properties).filter((name) => isContained(properties[name])),
    interval: schema.interval.minimum,
    history: schema.history.maximum,
    version: description.info.version,
  };
}

/** Whether the figures of a schema are shares of what a container may have. */
function isContained({ anyOf = [] }) {
  return anyOf.some((schema) => schema["x-relative-to"] === "container");
}
