/** The live page: follows one feed and shows what comes. */
import { Bars } from "./bars.js";
import { Chart, element } from "./chart.js";
import { MetricsFeed } from "./metrics-feed.js";
import { Past } from "./past.js";

/** Seconds that may be shown, by what they are called in the page's address. */
const RANGES = { "1m": 60, "10m": 600, "1h": 3600 };

/** More points than this make no better picture: longer ranges take longer intervals. */
const POINTS = 720;

const percent = (value) => `${value.toFixed(value && value < 10 ? 1 : 0)} %`;
const number = (value) => String(+value.toPrecision(3));
const bytes = (value) => {
  const power = Math.min(4, Math.floor(Math.log10(Math.max(value, 1)) / 3));
  return `${number(value / 1000 ** power)} ${["B", "kB", "MB", "GB", "TB"][power]}/s`;
};

/** What the charts show: the families that they need, and each line's name and value. */
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

/** Families that the page has no place for. */
const UNSEEN = ["memory_bytes", "temperatures"];

/** Families that are shown otherwise than in charts. */
const TABLES = ["cores", "disks", "processes"];

const find = (id) => document.getElementById(id);

class Page {
  #offer;
  #panels;
  #token = sessionStorage.getItem("token") ?? "";
  #feed;
  #past;
  #interval;
  #message;
  #drawing = false;
  #cores = new Bars(find("cores"));
  #disks = new Bars(find("disks"));

  constructor(offer) {
    this.#offer = offer;
    this.#panels = [...standardPanels(offer), ...ownPanels(offer)];
    find("token-form").addEventListener("submit", (event) => this.#takeToken(event));
    find("forget").addEventListener("click", () => this.#useToken(""));
    find("range").addEventListener("change", () => this.#choose());
    find(`range-${range()}`).checked = true;
    this.#follow();
  }

  /** Begin anew: with another range, or another token. */
  #follow() {
    this.#feed?.close();
    const seconds = RANGES[range()];
    const { interval, history, families } = this.#offer;
    this.#interval = +(interval * Math.max(1, Math.ceil(seconds / POINTS / interval))).toFixed(9);
    this.#past = new Past(this.#panels.flatMap((panel) => panel.lines), seconds);
    const shown = families.filter((name) => !UNSEEN.includes(name));
    this.#feed = new MetricsFeed({
      metrics: this.#token ? [...shown, "processes"] : shown,
      interval: this.#interval,
      history: Math.min(seconds, history),
      partial: true,
      token: this.#token,
    });
    this.#feed.addEventListener("state", ({ detail }) => this.#takeState(detail));
    this.#feed.addEventListener("message", ({ detail }) => this.#take(detail));
    this.#feed.open();
    find("processes-panel").dataset.open = String(Boolean(this.#token));
  }

  #take(message) {
    this.#past.add(message);
    this.#message = message;
    if (this.#drawing) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      this.#draw();
    });
  }

  #draw() {
    const { cores, disks, processes, errors = {} } = this.#message;
    let column = 0;
    for (const { chart, lines, families } of this.#panels) {
      const columns = this.#past.columns.slice(column, (column += lines.length));
      chart.draw(this.#past, columns, this.#interval);
      chart.note(families.filter((name) => name in errors).map((name) => errors[name]).join("; "));
    }
    this.#cores.show((cores ?? []).map((value, index) => [String(index), value]));
    this.#disks.show(Object.entries(disks ?? {}));
    if (this.#token) showProcesses(processes ?? []);
    find("panels").hidden = false;
  }

  #takeState({ name, reason, seconds, status }) {
    if (name === "refused" && status === 401 && this.#token) {
      this.#useToken("");
      find("token-error").textContent = "The hub does not know this token.";
      return;
    }
    showState({ name, reason, seconds });
  }

  #choose() {
    const address = new URL(location);
    address.searchParams.set("range", find("range").elements.range.value);
    history.replaceState(null, "", address);
    this.#follow();
  }

  #takeToken(event) {
    event.preventDefault();
    const field = find("token");
    this.#useToken(field.value.trim());
    field.value = "";
  }

  #useToken(token) {
    this.#token = token;
    find("token-error").textContent = "";
    if (token) sessionStorage.setItem("token", token);
    else sessionStorage.removeItem("token");
    this.#follow();
  }
}

/** The range that the page's address asks for. */
function range() {
  const wanted = new URL(location).searchParams.get("range");
  return Object.hasOwn(RANGES, wanted) ? wanted : "1m";
}

function standardPanels({ families }) {
  return Object.entries(CHARTS).flatMap(([id, chart]) => {
    const figure = find(id);
    if (chart.families.some((name) => families.includes(name))) return [panel(figure, chart)];
    figure.remove();
    return [];
  });
}

/** Show the numbers that an application has added to the feed. */
function ownPanels({ families }) {
  const known = [...Object.values(CHARTS).flatMap((chart) => chart.families), ...UNSEEN, ...TABLES];
  return families.filter((name) => !known.includes(name)).map((name) => {
    const figure = element("figure", { class: "chart" }, element("h2", {}, name));
    find("charts").append(figure);
    const value = (message) => (typeof message[name] === "number" ? message[name] : null);
    return panel(figure, { families: [name], format: number, lines: { now: value } });
  });
}

function panel(figure, { families, format, max, lines }) {
  const chart = new Chart(figure, { labels: Object.keys(lines), format, max });
  return { chart, families, lines: Object.values(lines) };
}

function showProcesses(processes) {
  find("processes").replaceChildren(
    ...processes.map(({ pid, name, cpu, memory }) => {
      const cells = [pid, name, percent(cpu ?? 0), percent(memory ?? 0)];
      return element("tr", {}, ...cells.map((content) => element("td", {}, String(content))));
    }),
  );
}

function showState({ name, reason, seconds }) {
  const soon = seconds === undefined ? "" : `, next try in ${Math.ceil(seconds)} s`;
  const words = {
    connecting: "Connecting…",
    live: "Live",
    stale: "Stale: nothing comes from the hub",
    reconnecting: reason ? `Reconnecting: ${reason}${soon}` : "Reconnecting…",
    paused: "Paused",
    refused: `Refused: ${reason}`,
    closed: "Closed",
  };
  find("state").textContent = words[name];
  find("state").dataset.state = name;
}

/** Learn from the hub's description of itself what may be asked for. */
async function offer() {
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

find("host").textContent = location.host;
try {
  new Page(await offer());
} catch (error) {
  showState({ name: "refused", reason: `${error.message}; reload the page to try again` });
}
