/**
 * A live feed of system metrics that behaves as a client should.
 *
 *     import { MetricsFeed } from "./static/metrics-feed.js";
 *
 *     const feed = new MetricsFeed({ metrics: ["cpu", "memory"], history: 60 });
 *     feed.addEventListener("message", ({ detail }) => console.log(detail.cpu, detail.timestamp));
 *     feed.addEventListener("state", ({ detail }) => console.log(detail.name, detail.reason));
 *     feed.open();
 *
 * It holds one WebSocket. When that is lost it comes back after a random wait, each longer than the
 * last, and asks for what came since the newest message it has seen: no message twice, and none
 * missed that the hub still has. While the page is hidden it has no connection at all. Where a
 * WebSocket cannot be had, it takes the same messages as server-sent events.
 *
 * Events:
 *   "message"  `detail` is a message of the feed, parsed, or one with an `error` in its place; they
 *     come in the order of time.
 *   "state"    `detail` is { name, reason?, seconds?, status? }, where the name is one of
 *     "connecting"    for the first time
 *     "live"          messages come in
 *     "stale"         connected, but nothing has come for three intervals
 *     "reconnecting"  not connected; the next try is in `seconds`, because of `reason`
 *     "paused"        the page is hidden
 *     "refused"       the hub says no, which waiting does not change; `reason` is its sentence
 *     "closed"        by close()
 */
export class MetricsFeed extends EventTarget {
  #query;
  #base;
  #token;
  #history;
  #spacing;
  #newest = null;
  #attempt = 0;
  #state = "closed";
  #retryTimer;
  #silenceTimer;
  #hangUp = () => {};

  /**
   * @param {object} [options]
   * @param {string|URL} [options.base] where the hub is; by default where the page is
   * @param {string[]} [options.metrics] families to follow; by default what the feed has by default
   * @param {number} [options.interval] seconds between messages; by default the hub's own
   * @param {string} [options.aggregate] how a longer interval is reduced
   * @param {number} [options.history] seconds of the past to begin with
   * @param {boolean} [options.partial] whether families that failed are null rather than an error
   * @param {boolean} [options.seq] whether messages are numbered
   * @param {string} [options.token] opens the restricted families
   */
  constructor({ base = document.baseURI, token = "", history = 0, ...wishes } = {}) {
    super();
    this.#base = new URL(base, document.baseURI);
    this.#token = token;
    this.#history = history;
    this.#spacing = wishes.interval && 1000 * wishes.interval;
    this.#query = Object.entries(wishes).filter(([, value]) => value !== undefined);
  }

  /** Begin to follow the feed; it goes on until `close`. */
  open() {
    if (this.#state !== "closed") return;
    document.addEventListener("visibilitychange", this.#look);
    window.addEventListener("online", this.#look);
    this.#look();
  }

  /** Stop, and forget nothing: opened again, it resumes. */
  close() {
    document.removeEventListener("visibilitychange", this.#look);
    window.removeEventListener("online", this.#look);
    this.#disconnect();
    this.#become("closed");
  }

  #look = () => {
    if (!document.hidden) return this.#connect();
    this.#disconnect();
    this.#become("paused");
  };

  #connect() {
    this.#disconnect();
    this.#become(this.#newest ? "reconnecting" : "connecting");
    this.#expectMessage();
    const path = this.#token ? "api/system/ws" : "api/system/metrics";
    const protocols = this.#token ? ["metrics.v1", `bearer.${this.#token}`] : [];
    this.#hangUp = openSocket(this.#url(path, "ws"), protocols, {
      message: (text) => this.#receive(text),
      refused: () => this.#explain(),
      ended: (reason, final) => this.#ended({ reason, final }),
    });
  }

  /** Where no WebSocket opens: take the stream instead, or learn from its refusal why not. */
  #explain() {
    const path = this.#token ? "api/system/ws" : "api/system/metrics/stream";
    const headers = this.#token ? { Authorization: `Bearer ${this.#token}` } : {};
    this.#hangUp = openStream(this.#url(path, "http"), headers, {
      message: (text) => this.#receive(text),
      ended: (outcome) => this.#ended(outcome),
    });
  }

  #url(path, scheme) {
    const url = new URL(path, this.#base);
    url.protocol = url.protocol.replace(/^(http|ws)/, scheme);
    for (const [name, value] of this.#query) url.searchParams.set(name, String(value));
    if (this.#newest) url.searchParams.set("since", this.#newest);
    else if (this.#history) url.searchParams.set("history", String(this.#history));
    return url;
  }

  #receive(text) {
    const message = JSON.parse(text);
    if (this.#newest) this.#spacing ??= Date.parse(message.timestamp) - Date.parse(this.#newest);
    this.#newest = message.timestamp;
    this.#attempt = 0;
    this.#become("live");
    this.#expectMessage();
    this.dispatchEvent(new CustomEvent("message", { detail: message }));
  }

  /** Be stale after three intervals of silence, and try a new connection after as long again. */
  #expectMessage() {
    clearTimeout(this.#silenceTimer);
    // The first message comes at once; how far apart the others are may not be known yet.
    const spacing = this.#spacing ?? (this.#newest ? LONGEST_INTERVAL : 0);
    const patience = Math.max(3000, 3 * spacing);
    this.#silenceTimer = setTimeout(() => {
      if (this.#state === "live") this.#become("stale");
      this.#silenceTimer = setTimeout(() => {
        this.#ended({ reason: "the hub is silent" });
      }, 2 * patience);
    }, patience);
  }

  #ended({ reason, final = false, status, seconds = 0 }) {
    this.#disconnect();
    if (final) {
      this.#become("refused", { reason, status });
      return;
    }
    const longest = Math.min(30, 2 ** this.#attempt);
    this.#attempt += 1;
    const wait = seconds + Math.random() * longest; // so that not all come back at once
    this.#retryTimer = setTimeout(() => this.#connect(), 1000 * wait);
    this.#become("reconnecting", { reason, status, seconds: wait });
  }

  #disconnect() {
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#silenceTimer);
    this.#hangUp();
    this.#hangUp = () => {};
  }

  #become(name, detail) {
    if (name === this.#state && !detail) return;
    this.#state = name;
    this.dispatchEvent(new CustomEvent("state", { detail: { name, ...detail } }));
  }
}

/** Milliseconds between a hub's own messages at the most. */
const LONGEST_INTERVAL = 60_000;

/** Statuses of requests that are as wrong the next time. */
const FINAL_STATUSES = [400, 401, 403, 404];

/** Close codes after which a client should not come back: what it said was wrong. */
const FINAL_CODES = [1007, 1008, 1009];

/** Open a WebSocket; return what hangs up without another word. */
function openSocket(url, protocols, { message, refused, ended }) {
  let socket;
  try {
    socket = new WebSocket(url, protocols);
  } catch {
    // After returning, so that what it calls comes after what it returns, as always.
    queueMicrotask(() => ended("a browser cannot send this token", true));
    return () => {};
  }
  let opened = false;
  socket.onopen = () => (opened = true);
  socket.onmessage = ({ data }) => message(data);
  socket.onclose = ({ code, reason }) => {
    if (!opened) return refused();
    ended(reason || (code === 1006 ? "connection lost" : `closed with ${code}`), FINAL_CODES.includes(code));
  };
  return () => {
    socket.onmessage = socket.onclose = null;
    socket.close();
  };
}

/** Open a stream of server-sent events; return what hangs up without another word. */
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
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return { reason: "the stream has ended" };
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line.startsWith("data:")) message(line.slice(5)); // every event of the hub has one line
    }
  }
}

async function refusal(response) {
  const { error } = await response.json().catch(() => ({}));
  return {
    reason: error ?? `the hub answers ${response.status}`,
    final: FINAL_STATUSES.includes(response.status),
    status: response.status,
    seconds: Number(response.headers.get("Retry-After")) || 0,
  };
}
