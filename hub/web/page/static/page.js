/** The live page: subscribes to one feed and shows its messages. */
import { isForOneChart, isWanted, keep, kept, wantsAll } from "./address.js";
import { CHARTS, MEMBERS, customChart } from "./charts.js";
import { Crosshair } from "./crosshair.js";
import { element } from "./elements.js";
import { bytes, duration } from "./format.js";
import { Lists, ON_DEMAND } from "./lists.js";
import { Members } from "./members.js";
import { MetricsFeed } from "./metrics-feed.js";
import { Patience, TIMEOUT, awaitOffer, fetchOffer, request } from "./offer.js";
import { Panel } from "./panel.js";
import { fetchPast } from "./past.js";
import { fitPrintedPage } from "./print.js";
import { Ranges } from "./ranges.js";
import { Series } from "./series.js";
import { Status } from "./status.js";
import { Tab } from "./tab.js";
import { offerThemes } from "./theme.js";
import { Token } from "./token.js";

/** More points per line would not be visible: longer ranges are folded into so many buckets. */
const POINTS = 720;

/** Seconds of single values, at most, with which the feed begins where there are no buckets. */
const MOST_SINGLE = 3600;

/** Families that the page does not show. */
const NOT_SHOWN = ["memory_bytes"];

/** Families that the page shows otherwise than in charts. */
const NOT_CHARTED = ["cores", "disks", "disks_bytes", "processes", "uptime", ON_DEMAND];

/** Milliseconds after which a page may load itself anew for another version of the hub. */
const OLD = 60_000;

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
  #showing = new AbortController(); // ends what listens for the panels
  #crosshair; // theirs
  #members = null; // while their dialog is open
  #blankCharts = [...byId("charts").children].map((one) => one.cloneNode(true));
  #ranges = new Ranges(byId("range"), () => this.#subscribe());
  #token = new Token();
  #lists = new Lists({ toggled: () => this.#subscribe(), open: () => this.#openMembers(ON_DEMAND) });
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
    this.#token.addEventListener("change", () => this.#subscribe());
    this.#show(catalog);
  }

  /** Show what the hub offers: at first, and when that has changed. */
  #show(catalog) {
    this.#catalog = catalog;
    this.#message = undefined;
    this.#members?.close();
    this.#showing.abort();
    this.#showing = new AbortController();
    this.#crosshair = new Crosshair(this.#showing.signal);
    this.#ranges.offer(catalog.history);
    byId("charts").replaceChildren(...this.#blankCharts.map((one) => one.cloneNode(true)));
    this.#panels = [...this.#standardPanels(), ...this.#customPanels()];
    this.#lists.offer(catalog);
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
    return this.#token.isKept && performance.now() > OLD;
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
    const { seconds } = this.#ranges;
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
      token: this.#usableToken,
      ...(series.since ? { since: series.since } : { history: Math.min(seconds, history, MOST_SINGLE) }),
    });
    this.#feed.addEventListener("state", ({ detail }) => this.#onState(detail));
    this.#feed.addEventListener("message", ({ detail }) => this.#onMessage(detail));
    this.#feed.open();
    this.#lists.openProcesses(Boolean(this.#usableToken));
    this.#linkPast();
  }

  /** Link to the past of what is shown, in the range and the steps that are shown. */
  #linkPast() {
    const address = new URL("api/system/metrics/history", document.baseURI);
    const seconds = Math.min(this.#ranges.seconds, this.#catalog.history);
    const metrics = this.#families().filter((name) => this.#catalog.families.includes(name));
    const query = { format: "csv", seconds, interval: this.#interval, metrics, devices: this.#devices() };
    for (const [name, value] of Object.entries(query)) if (value) address.searchParams.set(name, value);
    byId("csv").href = address;
    byId("csv").download = `${this.#machine[0] ?? location.hostname}-${this.#ranges.name}.csv`;
  }

  /** Name the picture of a chart. */
  #pictureOf(chart) {
    const machine = this.#machine[0] ?? location.hostname;
    return { machine, file: `${machine}-${chart}-${this.#ranges.name}.png` };
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

  /** The token, where the hub has something that takes one; else "". */
  get #usableToken() {
    return this.#catalog.restricted.includes("processes") ? this.#token.value : "";
  }

  #families() {
    const unwanted = this.#lists.hasSensors ? NOT_SHOWN : [...NOT_SHOWN, ON_DEMAND];
    const families = this.#catalog.families.filter((name) => !unwanted.includes(name));
    return this.#usableToken ? [...families, "processes"] : families;
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
      const png = () => this.#pictureOf(id);
      return [new Panel(figure, chart, { hint, devices, open, png, crosshair: this.#crosshair })];
    });
  }

  #openMembers(id) {
    const { seconds } = this.#ranges;
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
      const png = () => this.#pictureOf(name);
      return new Panel(figure, customChart(name, unit), { hint: unit, png, crosshair: this.#crosshair });
    });
  }

  #customFamilies() {
    const standard = [...Object.values(CHARTS).flatMap((chart) => chart.families), ...NOT_SHOWN, ...NOT_CHARTED];
    return this.#catalog.families.filter((name) => !standard.includes(name));
  }

  /** Return what is wrong with an address that asks for one chart; "" if nothing is. */
  #mistake() {
    if (!isForOneChart()) return "";
    const { families } = this.#catalog;
    const standard = Object.keys(CHARTS).filter((id) => CHARTS[id].families.some((name) => families.includes(name)));
    const charts = [...standard, ...this.#customFamilies()];
    if (!charts.includes(kept("chart"))) return `There is no chart “${kept("chart")}” but ${charts.join(", ")}.`;
    return this.#ranges.mistake;
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
    this.#lists.show(message);
    this.#showHost();
    byId("panels").hidden = false;
  }

  #showHost() {
    const uptime = this.#message?.uptime;
    const [name = location.host, ...others] = this.#machine;
    const parts = [name, ...(uptime ? [`up ${duration(uptime)}`] : []), ...others];
    byId("host").textContent = parts.join(" · ");
    if (this.#message) this.#tab.show(name, this.#message, this.#status.isLive);
  }

  #onState({ name, reason, seconds, status, parameter }) {
    if (name === "refused" && status === 401 && this.#usableToken) {
      this.#token.refuse();
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

  #onDeviceChoice(family, device) {
    keep(family, device);
    this.#subscribe();
  }

  #onMoreDevices() {
    keep("devices", wantsAll() ? "" : "all");
    for (const panel of this.#panels) panel.reset(wantsAll());
    this.#subscribe();
  }
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
