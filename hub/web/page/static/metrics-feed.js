/**
 * A client of the live feed of system metrics.
 *
 *     import { MetricsFeed } from "./static/metrics-feed.js";
 *
 *     const feed = new MetricsFeed({ metrics: ["cpu", "memory"], history: 60 });
 *     feed.addEventListener("message", ({ detail }) => console.log(detail.cpu, detail.timestamp));
 *     feed.addEventListener("state", ({ detail }) => console.log(detail.name, detail.reason));
 *     feed.open();
 *
 * It keeps one WebSocket open. When the connection is lost, it reconnects after a random delay whose
 * bound grows with each attempt, and asks for the messages since the newest one it has received: none
 * twice, and none missing that the hub still has. Whatever else may answer in the hub's place, such as a
 * proxy, it goes on trying. While the page is hidden it has no connection.
 * Where no WebSocket can be opened, it receives the same messages as server-sent events.
 *
 * Events:
 *   "message"  `detail` is a parsed message of the feed, or an error message with `error`; oldest
 *     first.
 *   "state"    `detail` is { name, reason?, seconds?, status?, parameter? }, where the name is one of
 *     "connecting"    to the hub, for the first time
 *     "live"          connected, and messages arrive
 *     "stale"         connected, but no message has arrived for three intervals
 *     "reconnecting"  not connected, for `reason`; the next attempt is in `seconds`
 *     "paused"        the page is hidden
 *     "refused"       by the hub, and a further attempt would be, too; `reason` is the hub's text, and
 *                     `parameter` what it is about, such as "interval" where the hub has another now
 *     "closed"        by the caller of close()
 */
export class MetricsFeed extends EventTarget {
  #query;
  #base;
  #token;
  #history;
  #since;
  #interval;
  #isIntervalGiven;
  #lastTimestamp = null;
  #attempt = 0;
  #state = "closed";
  #retryTimer;
  #silenceTimer;
  #wakeTimer;
  #closeConnection = () => {};

  /**
   * @param {object} [options]
   * @param {string|URL} [options.base] the hub's address; by default the page's
   * @param {string[]} [options.metrics] families to subscribe to; by default the feed's own
   * @param {number} [options.interval] seconds between messages; by default the hub's base interval
   * @param {string} [options.aggregate] how a longer interval is reduced
   * @param {number} [options.history] seconds of history to replay first
   * @param {string} [options.since] instead, the timestamp of a message after which to begin
   * @param {boolean} [options.partial] whether families that failed are null rather than an error
   * @param {boolean} [options.seq] whether messages are numbered
   * @param {string[]} [options.devices] which members of families to show, such as "network:eth*"
   * @param {string} [options.token] gives access to the restricted families
   */
  constructor({ base = document.baseURI, token = "", history = 0, since = "", ...options } = {}) {
    super();
    this.#base = new URL(base, document.baseURI);
    this.#token = token;
    this.#history = history;
    this.#since = since;
    this.#isIntervalGiven = Boolean(options.interval);
    this.#interval = this.#isIntervalGiven ? 1000 * options.interval : undefined;
    this.#query = Object.entries(options).filter(([, value]) => value !== undefined);
  }

  /** Subscribe to the feed, until `close` is called. */
  open() {
    if (this.#state !== "closed") return;
    document.addEventListener("visibilitychange", this.#onVisibility);
    window.addEventListener("online", this.#onVisibility);
    this.#watchForSleep();
    this.#onVisibility();
  }

  /** Connect now rather than at the end of the present delay. */
  retry() {
    if (["reconnecting", "stale", "refused"].includes(this.#state)) this.#connect();
  }

  /** Disconnect. A later `open` resumes after the newest message. */
  close() {
    document.removeEventListener("visibilitychange", this.#onVisibility);
    window.removeEventListener("online", this.#onVisibility);
    clearInterval(this.#wakeTimer);
    this.#disconnect();
    this.#setState("closed");
  }

  #onVisibility = () => {
    if (!document.hidden) return this.#connect();
    this.#disconnect();
    this.#setState("paused");
  };

  /** Connect anew when the machine has slept: it may take minutes to learn that a connection is dead. */
  #watchForSleep() {
    let awake = Date.now();
    this.#wakeTimer = setInterval(() => {
      const slept = Date.now() - awake > SLEEP;
      awake = Date.now();
      if (slept && !document.hidden && this.#state !== "refused") this.#connect();
    }, 1000);
  }

  #connect() {
    this.#disconnect();
    this.#setState(this.#lastTimestamp ? "reconnecting" : "connecting");
    this.#startSilenceTimer();
    const path = this.#token ? "api/system/ws" : "api/system/metrics";
    const protocols = this.#token ? ["metrics.v1", `bearer.${this.#token}`] : [];
    this.#closeConnection = openSocket(this.#url(path, "ws"), protocols, {
      message: (text) => this.#onMessage(text),
      refused: () => this.#openFallback(),
      ended: (outcome) => this.#onEnd(outcome),
    });
  }

  /** Use server-sent events where no WebSocket opens; a refusal of them says why. */
  #openFallback() {
    this.#startSilenceTimer();
    const path = this.#token ? "api/system/ws" : "api/system/metrics/stream";
    const headers = this.#token ? { Authorization: `Bearer ${this.#token}` } : {};
    this.#closeConnection = openStream(this.#url(path, "http"), headers, {
      message: (text) => this.#onMessage(text),
      ended: (outcome) => this.#onEnd(outcome),
    });
  }

  #url(path, scheme) {
    const url = new URL(path, this.#base);
    url.protocol = url.protocol.replace(/^(http|ws)/, scheme);
    for (const [name, value] of this.#query) url.searchParams.set(name, String(value));
    const since = this.#lastTimestamp ?? this.#since;
    if (since) url.searchParams.set("since", since);
    else if (this.#history) url.searchParams.set("history", String(this.#history));
    return url;
  }

  #onMessage(text) {
    const message = JSON.parse(text);
    if (!this.#isIntervalGiven) this.#learnInterval(message.timestamp);
    this.#lastTimestamp = message.timestamp;
    this.#attempt = 0;
    this.#setState("live");
    this.#startSilenceTimer();
    this.dispatchEvent(new CustomEvent("message", { detail: message }));
  }

  /** Learn the interval from any two messages, as a hub may come back with another one. */
  #learnInterval(timestamp) {
    const found = Date.parse(timestamp) - Date.parse(this.#lastTimestamp);
    if (found > 0) this.#interval = found; // unless the hub's clock was set back
  }

  /** Wait for the next message: stale after three intervals without one, reconnect after six more. */
  #startSilenceTimer() {
    clearTimeout(this.#silenceTimer);
    // The hub sends the first message at once; until the second one the interval may be unknown.
    const interval = this.#interval ?? (this.#lastTimestamp ? LONGEST_INTERVAL : 0);
    const timeout = Math.max(3000, 3 * interval);
    this.#silenceTimer = setTimeout(() => {
      if (this.#state === "live") this.#setState("stale");
      this.#silenceTimer = setTimeout(() => {
        this.#onEnd({ reason: "the hub is silent" });
      }, 2 * timeout);
    }, timeout);
  }

  #onEnd({ reason, final = false, status, parameter, seconds = 0 }) {
    this.#disconnect();
    if (parameter === "since") {
      this.#lastTimestamp = null; // then the history, as at first
      this.#since = "";
    }
    if (final && parameter !== "since") {
      this.#setState("refused", { reason, status, parameter });
      return;
    }
    const bound = Math.min(30, 2 ** this.#attempt);
    this.#attempt += 1;
    const delay = seconds + Math.random() * bound; // so that not all clients reconnect at once
    this.#retryTimer = setTimeout(() => this.#connect(), 1000 * delay);
    this.#setState("reconnecting", { reason, status, seconds: delay });
  }

  #disconnect() {
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#silenceTimer);
    this.#closeConnection();
    this.#closeConnection = () => {};
  }

  #setState(name, detail) {
    if (name === this.#state && !detail) return;
    this.#state = name;
    this.dispatchEvent(new CustomEvent("state", { detail: { name, ...detail } }));
  }
}

/** The longest base interval that a hub may have, in milliseconds. */
const LONGEST_INTERVAL = 60_000;

/** Milliseconds between two looks at the clock after which the machine must have slept. */
const SLEEP = 15_000;

/** Seconds that anybody can make a client wait, at most. */
const LONGEST_WAIT = 300;

/** HTTP statuses after which the same request would be refused again, if the hub itself says so. */
const FINAL_STATUSES = [400, 401, 403, 404];

/** Close codes after which a client must not reconnect: its messages were at fault. */
const FINAL_CODES = [1007, 1008, 1009];

/** What a token is written with, for a browser to send it (RFC 9110, section 5.6.2). */
const SENDABLE = /^[-!#$%&'*+.^_`|~0-9A-Za-z]*$/;

/** Open a WebSocket; return a function that closes it without further callbacks. */
function openSocket(url, protocols, { message, refused, ended }) {
  // In microtasks, so that callbacks run only after this function has returned, as always.
  if (!protocols.every((one) => SENDABLE.test(one))) {
    const reason = "a browser cannot send this token";
    queueMicrotask(() => ended({ reason, final: true, parameter: "token" }));
    return () => {};
  }
  let socket;
  try {
    socket = new WebSocket(url, protocols);
  } catch {
    let closed = false; // a policy of the browser forbids it: that is as if none could be opened
    queueMicrotask(() => closed || refused());
    return () => (closed = true);
  }
  let opened = false;
  socket.onopen = () => (opened = true);
  socket.onmessage = ({ data }) => message(data);
  socket.onclose = ({ code, reason }) => {
    if (!opened) return refused();
    const text = reason || (code === 1006 ? "connection lost" : `closed with ${code}`);
    ended({ reason: text, final: FINAL_CODES.includes(code) });
  };
  return () => {
    socket.onmessage = socket.onclose = null;
    socket.close();
  };
}

/** Open a stream of server-sent events; return a function that closes it without callbacks. */
function openStream(url, headers, { message, ended }) {
  const abort = new AbortController();
  const options = { headers, signal: abort.signal, cache: "no-store" };
  readStream(url, options, message)
    .catch(() => ({ reason: "the hub cannot be reached" }))
    .then((outcome) => abort.signal.aborted || ended(outcome));
  return () => abort.abort();
}

async function readStream(url, options, message) {
  const response = await fetch(url, options);
  if (!response.ok) return refusal(response);
  if (!response.headers.get("Content-Type")?.startsWith("text/event-stream")) {
    return { reason: "something else answers for the hub" };
  }
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return { reason: "the stream has ended" };
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line.startsWith("data:")) message(line.slice(5)); // the hub writes each event's data in one line
    }
  }
}

/** Tell why a request has failed: finally only if the hub itself says no, not a proxy before it. */
async function refusal(response) {
  const { error, reason, parameter } = (await response.json().catch(() => null)) ?? {};
  const isHubs = typeof error === "string" && typeof (reason ?? parameter) === "string";
  return {
    reason: typeof error === "string" ? error : `the hub answers ${response.status}`,
    final: isHubs && FINAL_STATUSES.includes(response.status),
    status: response.status,
    parameter: isHubs ? parameter : undefined,
    seconds: Math.min(LONGEST_WAIT, Number(response.headers.get("Retry-After")) || 0),
  };
}
