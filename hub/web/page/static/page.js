/** The live page: subscribes to one feed and shows its messages. */
import { Bars } from "./bars.js";
import { Chart, element } from "./chart.js";
import { MetricsFeed } from "./metrics-feed.js";
import { Series } from "./series.js";

/** The time ranges that the user can choose, in seconds, by their name in the page's address. */
const RANGES = { "1m": 60, "10m": 600, "1h": 3600 };

/** More points per line would not be visible: longer ranges ask for longer intervals. */
const POINTS = 720;

const percent = (value) => `${value.toFixed(value && value < 10 ? 1 : 0)} %`;
const number = (value) => String(+value.toPrecision(3));
const bytes = (value) => {
  const power = Math.min(4, Math.floor(Math.log10(Math.max(value, 1)) / 3));
  return `${number(value / 1000 ** power)} ${["B", "kB", "MB", "GB", "TB"][power]}/s`;
};

/** The charts: the families that each one needs, and the name and value of each line. */
const CHARTS = {
  cpu: { families: ["cpu"], format: percent, max: 100, lines: { "all processors": (m) => m.cpu } },
  memory: {
    families: ["memory", "swap"],
    format: percent,
    max: 100,
    lines: { memory: (m) => m.memory, swap: (m) => m.swap },
  },
  disk: { families: ["disk"], format: percent, max: 100, lines: { used: (m) => m.disk } },
  load: {
    families: ["load"],
    format: number,
    lines: {
      "1 min": (m) => m.load?.[0],
      "5 min": (m) => m.load?.[1],
      "15 min": (m) => m.load?.[2],
    },
  },
  network: {
    families: ["network"],
    format: bytes,
    lines: {
      received: (m) => m.network?.received_bytes_per_second,
      sent: (m) => m.network?.sent_bytes_per_second,
    },
  },
  disk_io: {
    families: ["disk_io"],
    format: bytes,
    lines: {
      read: (m) => m.disk_io?.read_bytes_per_second,
      written: (m) => m.disk_io?.write_bytes_per_second,
    },
  },
};

/** Families that the page does not show. */
const NOT_SHOWN = ["memory_bytes", "temperatures"];

/** Families that the page shows as bars or as a table. */
const NOT_CHARTED = ["cores", "disks", "processes"];

const byId = (id) => document.getElementById(id);

class Page {
  #catalog;
  #panels;
  #token = sessionStorage.getItem("token") ?? "";
  #feed;
  #series;
  #interval;
  #message;
  #drawPending = false;
  #cores = new Bars(byId("cores"));
  #disks = new Bars(byId("disks"));

  constructor(catalog) {
    this.#catalog = catalog;
    this.#panels = [...standardPanels(catalog), ...customPanels(catalog)];
    byId("token-form").addEventListener("submit", (event) => this.#onTokenSubmit(event));
    byId("forget").addEventListener("click", () => this.#setToken(""));
    byId("range").addEventListener("change", () => this.#onRangeChange());
    byId(`range-${range()}`).checked = true;
    this.#subscribe();
  }

  /** Subscribe, or subscribe again with another range or token. */
  #subscribe() {
    this.#feed?.close();
    const seconds = RANGES[range()];
    const { interval, history, families } = this.#catalog;
    this.#interval = +(interval * Math.max(1, Math.ceil(seconds / POINTS / interval))).toFixed(9);
    this.#series = new Series(this.#panels.flatMap((panel) => panel.lines), seconds);
    const visible = families.filter((name) => !NOT_SHOWN.includes(name));
    this.#feed = new MetricsFeed({
      metrics: this.#token ? [...visible, "processes"] : visible,
      interval: this.#interval,
      history: Math.min(seconds, history),
      partial: true,
      token: this.#token,
    });
    this.#feed.addEventListener("state", ({ detail }) => this.#onState(detail));
    this.#feed.addEventListener("message", ({ detail }) => this.#onMessage(detail));
    this.#feed.open();
    byId("processes-panel").dataset.open = String(Boolean(this.#token));
  }

  #onMessage(message) {
    this.#series.add(message);
    this.#message = message;
    if (this.#drawPending) return;
    this.#drawPending = true;
    requestAnimationFrame(() => {
      this.#drawPending = false;
      this.#draw();
    });
  }

  #draw() {
    const { cores, disks, processes, errors = {} } = this.#message;
    let column = 0;
    for (const { chart, lines, families } of this.#panels) {
      const columns = this.#series.columns.slice(column, (column += lines.length));
      chart.draw(this.#series, columns, this.#interval);
      chart.note(families.filter((name) => name in errors).map((name) => errors[name]).join("; "));
    }
    this.#cores.show((cores ?? []).map((value, index) => [String(index), value]));
    this.#disks.show(Object.entries(disks ?? {}));
    if (this.#token) showProcesses(processes ?? []);
    byId("panels").hidden = false;
  }

  #onState({ name, reason, seconds, status }) {
    if (name === "refused" && status === 401 && this.#token) {
      this.#setToken("");
      byId("token-error").textContent = "The hub does not know this token.";
      return;
    }
    showState({ name, reason, seconds });
  }

  #onRangeChange() {
    const address = new URL(location);
    address.searchParams.set("range", byId("range").elements.range.value);
    history.replaceState(null, "", address);
    this.#subscribe();
  }

  #onTokenSubmit(event) {
    event.preventDefault();
    const field = byId("token");
    this.#setToken(field.value.trim());
    field.value = "";
  }

  #setToken(token) {
    this.#token = token;
    byId("token-error").textContent = "";
    if (token) sessionStorage.setItem("token", token);
    else sessionStorage.removeItem("token");
    this.#subscribe();
  }
}

/** Return the name of the time range in the page's address; by default the shortest. */
function range() {
  const name = new URL(location).searchParams.get("range");
  return Object.hasOwn(RANGES, name) ? name : "1m";
}

function standardPanels({ families }) {
  return Object.entries(CHARTS).flatMap(([id, chart]) => {
    const figure = byId(id);
    if (chart.families.some((name) => families.includes(name))) return [panel(figure, chart)];
    figure.remove();
    return [];
  });
}

/** Create charts for the numbers that an embedding application has added to the feed. */
function customPanels({ families }) {
  const standard = [...Object.values(CHARTS).flatMap((chart) => chart.families), ...NOT_SHOWN, ...NOT_CHARTED];
  return families.filter((name) => !standard.includes(name)).map((name) => {
    const figure = element("figure", { class: "chart" }, element("h2", {}, name));
    byId("charts").append(figure);
    const value = (message) => (typeof message[name] === "number" ? message[name] : null);
    return panel(figure, { families: [name], format: number, lines: { now: value } });
  });
}

function panel(figure, { families, format, max, lines }) {
  const chart = new Chart(figure, { labels: Object.keys(lines), format, max });
  return { chart, families, lines: Object.values(lines) };
}

function showProcesses(processes) {
  byId("processes").replaceChildren(
    ...processes.map(({ pid, name, cpu, memory }) => {
      const cells = [pid, name, percent(cpu ?? 0), percent(memory ?? 0)];
      return element("tr", {}, ...cells.map((content) => element("td", {}, String(content))));
    }),
  );
}

function showState({ name, reason, seconds }) {
  const retry = seconds === undefined ? "" : `, next try in ${Math.ceil(seconds)} s`;
  const texts = {
    connecting: "Connecting…",
    live: "Live",
    stale: "Stale: nothing comes from the hub",
    reconnecting: reason ? `Reconnecting: ${reason}${retry}` : "Reconnecting…",
    paused: "Paused",
    refused: `Refused: ${reason}`,
    closed: "Closed",
  };
  byId("state").textContent = texts[name];
  byId("state").dataset.state = name;
}

/** Read from the hub's OpenAPI document which families and values it accepts. */
async function fetchCatalog() {
  const response = await fetch("openapi.json");
  if (!response.ok) throw new Error(`the hub answers ${response.status}`);
  const description = await response.json();
  const { parameters } = description.paths["/api/system/metrics/stream"].get;
  const schema = Object.fromEntries(parameters.map((one) => [one.name, one.schema]));
  return {
    families: schema.metrics.items.enum,
    interval: schema.interval.minimum,
    history: schema.history.maximum,
  };
}

byId("host").textContent = location.host;
try {
  new Page(await fetchCatalog());
} catch (error) {
  showState({ name: "refused", reason: `${error.message}; reload the page to try again` });
}
