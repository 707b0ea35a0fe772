import { Bars } from "./bars.js";
import { element } from "./elements.js";
import { celsius, percent, share } from "./format.js";
import { causesOf } from "./panel.js";

/** The family that is asked for only while its list is open, since it is sampled for that alone. */
export const ON_DEMAND = "temperatures";

/** More processors than this are small blocks: bars of them would take a screen of their own. */
const MANY_CORES = 16;

/** Percent of a processor below which a process does nothing. */
const IDLE = 0.05;

const byId = (id) => document.getElementById(id);

/** The lists beside the charts: of processors, file systems, sensors and processes. */
export class Lists {
  #cores = new Bars(byId("cores"), MANY_CORES);
  #disks = new Bars(byId("disks"));
  #temperatures = new Bars(byId("temperatures"));
  #sensors = byId("temperatures-details");

  /**
   * @param {object} options
   * @param {() => void} options.toggled called when the list of sensors has been opened or closed
   * @param {() => void} options.open shows the sensors over time
   */
  constructor({ toggled, open }) {
    const overTime = element("button", { type: "button", "aria-haspopup": "dialog" }, "Over time");
    overTime.addEventListener("click", open);
    byId("temperatures").after(overTime);
    this.#sensors.addEventListener("toggle", toggled);
  }

  /** Whether the list of sensors is open. */
  get hasSensors() {
    return this.#sensors.open;
  }

  /** Offer those lists that the hub can fill; no token is asked for where none gives processes. */
  offer({ families, restricted }) {
    byId("temperatures-panel").hidden = !families.includes(ON_DEMAND);
    byId("processes-panel").hidden = !restricted.includes("processes");
  }

  /** Have the table of processes open, or the form for a token instead. */
  openProcesses(isOpen) {
    byId("processes-panel").dataset.open = String(isOpen);
  }

  /** Show the newest message. */
  show(message) {
    const cores = (message.cores ?? []).map((value, index) => ({ name: String(index), value }));
    this.#cores.show(cores, causeOf(message, "cores"));
    const cause = causeOf(message, "disks") || causeOf(message, "disks_bytes");
    this.#disks.show(fileSystems(message), cause);
    if (this.hasSensors) this.#showTemperatures(message);
    if (byId("processes-panel").dataset.open === "true") showProcesses(message);
  }

  #showTemperatures(message) {
    const bars = sensors(message);
    const cause = causeOf(message, ON_DEMAND);
    const nothing = message.temperatures ? "No sensor tells" : "Asking the sensors…";
    this.#temperatures.show(bars.length || cause ? bars : [{ name: nothing, text: "" }], cause);
  }
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
