/** The live page: subscribes to one feed and shows its messages. */
import { Bars } from "./bars.js";
import { element } from "./chart.js";
import { CHARTS, MEMBERS, customChart } from "./charts.js";
import { Crosshair } from "./crosshair.js";
import { bytes, celsius, duration, percent, share } from "./format.js";
import { Members } from "./members.js";
import { MetricsFeed } from "./metrics-feed.js";
import { Patience, TIMEOUT, awaitOffer, fetchOffer, request } from "./offer.js";
import { Panel, causesOf } from "./panel.js";
import { fetchPast } from "./past.js";
import { Series } from "./series.js";
import { Status } from "./status.js";
import { Storage } from "./storage.js";
import { Tab } from "./tab.js";
import { fitPrintedPage } from "./print.js";
import { offerThemes } from "./theme.js";

/** The time ranges that the user can choose, in seconds, by their name in the page's address. */
const RANGES = { "1m": 60, "10m": 600, "1h": 3600 };

/** More points per line would not be visible: longer ranges are folded into so many buckets. */
const POINTS = 720;

/** Families that the page does not show. */
const NOT_SHOWN = ["memory_bytes"];

/** The family that is asked for only while its panel is open, since it is sampled for that alone. */
const ON_DEMAND = "temperatures";

/** Families that the page shows otherwise than in charts. */
const NOT_CHARTED = ["cores", "disks", "disks_bytes", "processes", "uptime", ON_DEMAND];

/** Milliseconds after which a page may load itself anew for another version of the hub. */
const OLD = 60_000;

/** More processors than this are small blocks: bars of them would take a screen of their own. */
const MANY_CORES = 16;

/** Percent of a processor below which a process does nothing. */
const IDLE = 0.05;

const byId = (id) => document.getElementById(id);

/** Values over a period that goes on although no further ones come. */
class LastingSeries extends Series {
  /** The time at which the period ends; null is that of the newest value. */
  now = null;

  get end() {
    return super.end === null ? null : (this.now ?? super.end);
  }
}

class Page {
  #status;
  #catalog;
  #panels;
  #crosshair = new Crosshair();
  #members = null; // while their dialog is open
  #blankCharts = [...byId("charts").children].map((one) => one.cloneNode(true));
  #storage = new Storage(() => sessionStorage);
  #token = this.#storage.recall("token");
  #patience;
  #renewing = false; // whether it waits for another offer, and then subscribes
  #lost = false; // whether the connection was lost since the last look at what the hub offers
  #feed;
  #series;
  #interval; // seconds from one value of the charts to the next
  #asking = new AbortController(); // for the past
  #message;
  #machine = [];
  #tab = new Tab();
  #drawPending = false;
  #cores = new Bars(byId("cores"), MANY_CORES);
  #disks = new Bars(byId("disks"));
  #temperatures = new Bars(byId("temperatures"));

  /**
   * @param {object} catalog see `fetchOffer`
   * @param {Patience} patience between further looks at it
   * @param {Status} status tells the user how the page is connected
   */
  constructor(catalog, patience, status) {
    this.#patience = patience;
    this.#status = status;
    status.addEventListener("retry", () => this.#feed?.retry());
    status.addEventListener("tick", () => status.isLive || this.#draw());
    byId("token-form").addEventListener("submit", (event) => this.#onTokenSubmit(event));
    byId("forget").addEventListener("click", () => this.#setToken(""));
    byId("range").addEventListener("change", () => this.#onRangeChange());
    byId(`range-${range()}`).checked = true;
    const overTime = element("button", { type: "button", "aria-haspopup": "dialog" }, "Over time");
    overTime.addEventListener("click", () => this.#openMembers(ON_DEMAND));
    byId("temperatures").after(overTime);
    byId("temperatures-details").addEventListener("toggle", () => this.#subscribe());
    this.#show(catalog);
  }

  /** Show what the hub offers: at first, and when that has changed. */
  #show(catalog) {
    this.#catalog = catalog;
    this.#message = undefined;
    byId("charts").replaceChildren(...this.#blankCharts.map((one) => one.cloneNode(true)));
    this.#panels = [...this.#standardPanels(), ...this.#customPanels()];
    byId("temperatures-panel").hidden = !catalog.families.includes(ON_DEMAND);
    const mistake = this.#mistake();
    if (mistake) {
      byId("charts").replaceChildren(element("p", { class: "note", role: "alert" }, mistake));
      this.#status.show({ name: "closed" });
      return;
    }
    this.#subscribe();
    this.#askForMachine();
  }

  /** Look anew what the hub offers, since it refuses what it once did; then begin again. */
  async #renew({ reason }) {
    if (this.#renewing) return;
    this.#renewing = true;
    this.#feed.close();
    await this.#patience.wait((seconds) => this.#status.show({ name: "refused", reason, seconds }));
    const catalog = await awaitOffer(this.#patience, this.#status);
    this.#renewing = false;
    this.#show(catalog);
  }

  /** After an outage the hub may be another one: show what is new, and be of its version. */
  async #lookAnew() {
    const { version } = this.#catalog;
    const catalog = await fetchOffer();
    if (catalog.version !== version && this.#mayReload() && (await isServed())) location.reload();
    else if (JSON.stringify(catalog) !== JSON.stringify(this.#catalog)) this.#show(catalog);
  }

  /** Whether nothing is lost with the page; it must be old enough not to reload again and again. */
  #mayReload() {
    const isKept = !this.#token || new Storage(() => sessionStorage).recall("token");
    return isKept && performance.now() > OLD;
  }

  /** Ask what machine this is; a hub may keep that private. */
  async #askForMachine() {
    const response = await request("api/system/info").catch(() => null);
    if (response?.ok) this.showMachine(await response.json());
  }

  /** Say in the head what machine this is. */
  showMachine({ name, system, cores, memory }) {
    const processors = cores && `${cores} ${cores === 1 ? "processor" : "processors"}`;
    this.#machine = [name, system, processors, bytes(memory)].filter(Boolean);
    this.#linkPast();
    this.#showHost();
  }

  /** Subscribe, or subscribe again after the user has chosen something else. */
  async #subscribe() {
    if (this.#renewing || this.#mistake()) return;
    this.#feed?.close();
    this.#asking.abort();
    const { signal } = (this.#asking = new AbortController());
    const seconds = RANGES[range()];
    const { interval, history } = this.#catalog;
    const fold = Math.max(1, Math.ceil(seconds / POINTS / interval));
    const step = +(interval * fold).toFixed(9);
    const lines = this.#panels.flatMap((panel) => panel.lines);
    const series = new LastingSeries(lines, seconds, fold > 1 ? step : 0);
    if (fold > 1) await this.#load(series, Math.min(seconds, history), step, signal);
    if (signal.aborted || this.#renewing) return;
    [this.#series, this.#interval] = [series, step]; // until now the old values are drawn
    // The feed is of the hub's own interval whatever the range: one view for all pages.
    this.#feed = new MetricsFeed({
      metrics: this.#families(),
      devices: this.#devices(),
      interval,
      partial: true,
      token: this.#token,
      ...(series.since ? { since: series.since } : { history: Math.min(seconds, history) }),
    });
    this.#feed.addEventListener("state", ({ detail }) => this.#onState(detail));
    this.#feed.addEventListener("message", ({ detail }) => this.#onMessage(detail));
    this.#feed.open();
    byId("processes-panel").dataset.open = String(Boolean(this.#token));
    this.#linkPast();
  }

  /** Link to the past of what is shown, in the range and the steps that are shown. */
  #linkPast() {
    const address = new URL("api/system/metrics/history", document.baseURI);
    const seconds = Math.min(RANGES[range()], this.#catalog.history);
    const metrics = this.#families().filter((name) => this.#catalog.families.includes(name));
    const query = { format: "csv", seconds, interval: this.#interval, metrics, devices: this.#devices() };
    for (const [name, value] of Object.entries(query)) if (value) address.searchParams.set(name, value);
    byId("csv").href = address;
    byId("csv").download = `${this.#machine[0] ?? location.hostname}-${range()}.csv`;
  }

  /** Load the past in buckets; without it, the feed begins with all of its single values. */
  async #load(series, seconds, interval, signal) {
    this.#status.show({ name: "connecting" });
    const charted = this.#panels.flatMap(({ families }) => families);
    const metrics = this.#catalog.families.filter((name) => charted.includes(name));
    const devices = this.#pastDevices();
    const limited = AbortSignal.any([signal, AbortSignal.timeout(1000 * TIMEOUT)]);
    const query = { metrics, devices, seconds, interval, signal: limited };
    const past = await fetchPast(query).catch(() => null);
    if (!past || signal.aborted) return;
    for (const message of past.means) for (const panel of this.#panels) panel.note(message);
    series.load(past);
  }

  #families() {
    const unwanted = byId("temperatures-details").open ? NOT_SHOWN : [...NOT_SHOWN, ON_DEMAND];
    const families = this.#catalog.families.filter((name) => !unwanted.includes(name));
    return this.#token ? [...families, "processes"] : families;
  }

  /** Ask for all devices of all families at once, so that there is but one such view. */
  #devices() {
    if (!wantsAll()) return undefined;
    const choosable = Object.values(CHARTS).filter(({ devices }) => devices);
    const names = choosable.flatMap(({ families }) => families);
    return names.filter((name) => this.#catalog.families.includes(name)).map((name) => `${name}:*`);
  }

  /** Ask for the past of devices only where one is chosen: that of all may be large. */
  #pastDevices() {
    const choosable = Object.values(CHARTS).filter(({ devices }) => devices);
    return choosable.flatMap(({ families: [family] }) => {
      if (!this.#catalog.families.includes(family)) return [];
      if (!kept(family)) return [`${family}:!*`];
      return wantsAll() ? [`${family}:*`] : [];
    });
  }

  #standardPanels() {
    const { families, contained } = this.#catalog;
    return Object.entries(CHARTS).flatMap(([id, chart]) => {
      const figure = byId(id);
      const [family] = chart.families.filter((name) => families.includes(name));
      if (!family || !isWanted(id)) {
        figure.remove();
        return [];
      }
      figure.hidden &&= !kept("chart");
      const hint = contained.includes(family) ? "of the container" : "";
      const devices = chart.devices && this.#deviceOptions(chart);
      const open = families.includes(MEMBERS[id]?.family) ? () => this.#openMembers(id) : undefined;
      return [new Panel(figure, chart, { hint, devices, open, crosshair: this.#crosshair })];
    });
  }

  #openMembers(id) {
    const seconds = RANGES[range()];
    const period = {
      seconds,
      history: Math.min(seconds, this.#catalog.history),
      interval: this.#interval,
      folded: this.#series?.peaks !== null,
      devices: this.#devices() ?? [],
    };
    this.#members = new Members(MEMBERS[id], period, () => (this.#members = null));
  }

  #deviceOptions({ families: [family], devices }) {
    return {
      noun: devices,
      chosen: kept(family),
      all: wantsAll(),
      choose: (device) => this.#onDeviceChoice(family, device),
      more: () => this.#onMoreDevices(),
    };
  }

  /** Create charts for the numbers that an embedding application has added to the feed. */
  #customPanels() {
    return this.#customFamilies().filter(isWanted).map((name) => {
      const figure = element("figure", { class: "chart", hidden: "" }, element("h2", {}, name));
      byId("charts").append(figure);
      const unit = this.#catalog.units[name];
      return new Panel(figure, customChart(name, unit), { hint: unit, crosshair: this.#crosshair });
    });
  }

  #customFamilies() {
    const standard = [...Object.values(CHARTS).flatMap((chart) => chart.families), ...NOT_SHOWN, ...NOT_CHARTED];
    return this.#catalog.families.filter((name) => !standard.includes(name));
  }

  /** Return what is wrong with an address that asks for one chart; "" if nothing is. */
  #mistake() {
    if (!new URL(location).searchParams.has("chart")) return "";
    const { families } = this.#catalog;
    const standard = Object.keys(CHARTS).filter((id) => CHARTS[id].families.some((name) => families.includes(name)));
    const charts = [...standard, ...this.#customFamilies()];
    if (!charts.includes(kept("chart"))) return `There is no chart “${kept("chart")}” but ${charts.join(", ")}.`;
    if (!kept("range") || Object.hasOwn(RANGES, kept("range"))) return "";
    return `There is no range “${kept("range")}” but ${Object.keys(RANGES).join(", ")}.`;
  }

  #onMessage(message) {
    this.#patience.reset();
    this.#status.note(message);
    this.#series.now = null;
    for (const panel of this.#panels) panel.note(message);
    this.#series.add(message);
    this.#message = message;
    this.#members?.add(message);
    if (this.#drawPending) return;
    this.#drawPending = true;
    requestAnimationFrame(() => {
      this.#drawPending = false;
      this.#draw();
    });
  }

  #draw() {
    const message = this.#message;
    if (!message) return; // what was shown is not offered any more
    this.#series.now = this.#status.isLive ? null : this.#status.now;
    let column = 0;
    for (const panel of this.#panels) {
      const [first, end] = [column, (column += panel.lines.length)];
      const [columns, peaks] = [this.#series.columns, this.#series.peaks].map((one) => one?.slice(first, end));
      panel.draw(this.#series, columns, this.#interval, message, peaks);
    }
    const cores = (message.cores ?? []).map((value, index) => ({ name: String(index), value }));
    this.#cores.show(cores, causeOf(message, "cores"));
    const cause = causeOf(message, "disks") || causeOf(message, "disks_bytes");
    this.#disks.show(fileSystems(message), cause);
    if (byId("temperatures-details").open) this.#showTemperatures();
    if (this.#token) showProcesses(message);
    this.#showHost();
    byId("panels").hidden = false;
  }

  #showTemperatures() {
    const bars = sensors(this.#message);
    const cause = causeOf(this.#message, ON_DEMAND);
    const nothing = this.#message.temperatures ? "No sensor tells" : "Asking the sensors…";
    this.#temperatures.show(bars.length || cause ? bars : [{ name: nothing, text: "" }], cause);
  }

  #showHost() {
    const uptime = this.#message?.uptime;
    const [name = location.host, ...others] = this.#machine;
    const parts = [name, ...(uptime ? [`up ${duration(uptime)}`] : []), ...others];
    byId("host").textContent = parts.join(" · ");
    if (this.#message) this.#tab.show(name, this.#message, this.#status.isLive);
  }

  #onState({ name, reason, seconds, status, parameter }) {
    if (name === "refused" && status === 401 && this.#token) {
      this.#setToken("");
      byId("token-error").textContent = "The hub does not know this token.";
      return;
    }
    if (name === "refused" && parameter !== "token") {
      this.#renew({ reason });
      return;
    }
    this.#status.show({ name, reason, seconds });
    if (name === "reconnecting" && reason) this.#lost = true;
    if (name !== "live" || !this.#lost) return;
    this.#lost = false;
    this.#lookAnew().catch(() => (this.#lost = true)); // then after the next one
  }

  #onRangeChange() {
    keep("range", byId("range").elements.range.value);
    this.#subscribe();
  }

  #onDeviceChoice(family, device) {
    keep(family, device);
    this.#subscribe();
  }

  #onMoreDevices() {
    keep("devices", wantsAll() ? "" : "all");
    for (const panel of this.#panels) panel.reset(wantsAll());
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
    this.#storage.remember("token", token);
    this.#subscribe();
  }
}

/** Return a setting in the page's address; "" if there is none. */
function kept(name) {
  return new URL(location).searchParams.get(name) ?? "";
}

/** Keep a setting in the page's address; "" is none. */
function keep(name, value) {
  const address = new URL(location);
  if (value) address.searchParams.set(name, value);
  else address.searchParams.delete(name);
  history.replaceState(null, "", address);
}

/** Return the name of the time range in the page's address; by default the shortest. */
function range() {
  return Object.hasOwn(RANGES, kept("range")) ? kept("range") : "1m";
}

/** Whether a chart is shown: all are, or the one that the address asks for. */
function isWanted(chart) {
  return [null, chart].includes(new URL(location).searchParams.get("chart"));
}

/** Whether charts may show other devices than the usual ones, such as virtual interfaces. */
function wantsAll() {
  return kept("devices") === "all";
}

/** Return why all of a family has failed; "" if it has not. */
function causeOf({ errors = {} }, family) {
  return errors[family] ?? "";
}

/** List the file systems of a message, with their sizes, and those that cannot be read. */
function fileSystems(message) {
  const { disks, disks_bytes: sizes } = message;
  const causes = new Map([...causesOf(message, "disks_bytes"), ...causesOf(message, "disks")]);
  const names = new Set([...Object.keys(disks ?? {}), ...Object.keys(sizes ?? {}), ...causes.keys()]);
  names.delete("");
  return [...names].sort().map((name) => {
    const size = sizes?.[name];
    const value = disks?.[name] ?? (size && (100 * size.used) / (size.used + size.free || 1));
    const text = size && `${share(size.used, size.total)} · ${percent(value)}`;
    return { name, value, text, cause: causes.get(name) };
  });
}

/** List the sensors of a message, and those that cannot be read. */
function sensors(message) {
  const found = Object.entries(message.temperatures ?? {});
  const bars = found.map(([name, value]) => ({ name, value, text: celsius(value) }));
  const failed = [...causesOf(message, ON_DEMAND)].filter(([name]) => name);
  return [...bars, ...failed.map(([name, cause]) => ({ name, cause }))];
}

function showProcesses(message) {
  byId("processes-note").textContent = causeOf(message, "processes");
  byId("processes").replaceChildren(
    ...(message.processes ?? []).map(({ pid, name, cpu, memory }) => {
      const cells = [pid, name, percent(cpu ?? 0), percent(memory ?? 0)];
      const isIdle = (cpu ?? 0) < IDLE;
      return element("tr", isIdle ? { class: "idle" } : {}, ...cells.map((content) => element("td", {}, String(content))));
    }),
  );
}

/** Whether the page itself can be had, so that to load it anew does not lose it. */
async function isServed() {
  const response = await request(location.href);
  return response.ok && (await response.text()).includes("static/page.js");
}

offerThemes(byId("theme"));
fitPrintedPage();
const [patience, status] = [new Patience(), new Status()];
status.addEventListener("retry", () => patience.hurry());
new Page(await awaitOffer(patience, status), patience, status);
