/** Which charts the page has, and what each of them shows. */
import { bytes, bytesPerSecond, celsius, milliseconds, number, percent } from "./format.js";

/** What processors spend their time with. What is left is idle. */
const MODES = ["user", "system", "nice", "iowait", "irq", "steal"];

/** The least top of a scale of bytes: from there on, all steps are whole bytes. */
const WHOLE_BYTES = 5;

/** The percentages from which on something is high, and critical. */
const levels = () => [80, 95];

/**
 * The charts, by the id of their figure:
 *   families  that it needs
 *   format, max, least, stacked, downward  see `Chart`
 *   lines     reads the value of each line from a message, by the line's name
 *   each      instead, where each member of the family has a line: reads its value from the member
 *   devices   where the family's devices stand in it, of which one may be chosen
 *   marks     returns the values of note for a message, see `Chart.mark`
 *   hint      makes a text for the heading from a message
 */
export const CHARTS = {
  cpu: {
    families: ["cpu"],
    format: percent,
    max: 100,
    marks: levels,
    lines: { "all processors": (m) => m.cpu },
  },
  memory: {
    families: ["memory", "swap"],
    format: percent,
    max: 100,
    marks: levels,
    lines: { memory: (m) => m.memory, swap: (m) => m.swap },
  },
  disk: { families: ["disk"], format: percent, max: 100, marks: levels, lines: { used: (m) => m.disk } },
  cpu_times: {
    families: ["cpu_times"],
    format: percent,
    max: 100,
    stacked: true,
    lines: Object.fromEntries(MODES.map((mode) => [mode, (m) => m.cpu_times?.[mode]])),
  },
  load: {
    families: ["load"],
    format: number,
    marks: (m) => (m.cores?.length ? [m.cores.length] : []),
    lines: {
      "1 min": (m) => m.load?.[0],
      "5 min": (m) => m.load?.[1],
      "15 min": (m) => m.load?.[2],
    },
  },
  network: {
    families: ["network"],
    format: bytesPerSecond,
    least: WHOLE_BYTES,
    downward: [1],
    devices: "interfaces",
    lines: {
      received: (m) => m.network?.received_bytes_per_second,
      sent: (m) => m.network?.sent_bytes_per_second,
    },
  },
  disk_io: {
    families: ["disk_io"],
    format: bytesPerSecond,
    least: WHOLE_BYTES,
    devices: "devices",
    lines: {
      read: (m) => m.disk_io?.read_bytes_per_second,
      written: (m) => m.disk_io?.write_bytes_per_second,
    },
  },
  pressure: {
    families: ["pressure"],
    format: percent,
    lines: {
      CPU: (m) => m.pressure?.cpu?.some,
      memory: (m) => m.pressure?.memory?.some,
      "I/O": (m) => m.pressure?.io?.some,
    },
  },
  container: {
    families: ["container"],
    format: percent,
    max: 100,
    marks: levels,
    hint: (m) => limits(m.container ?? {}),
    lines: { throttled: (m) => m.container?.throttled, memory: (m) => usedMemory(m.container ?? {}) },
  },
  gpu: { families: ["gpu"], format: percent, max: 100, marks: levels, each: (device) => device.utilization },
  process_memory: {
    families: ["process"],
    format: bytes,
    least: WHOLE_BYTES,
    lines: { resident: (m) => m.process?.rss_bytes },
  },
  process_lag: {
    families: ["process"],
    format: milliseconds,
    lines: { "late by": (m) => m.process && 1000 * m.process.loop_lag_seconds },
  },
};

/**
 * The families whose members can be seen over time, by the id of what has the button for it:
 *   family  where its members are
 *   title   what they are, in the plural
 *   of      returns the members by name from a message
 *   ways    reads the values of a member, by the way: "" upward, and another downward
 *   heat    whether they are rows of a heat map rather than lines
 *   format, max, least, marks  as of charts
 */
export const MEMBERS = {
  cpu: {
    family: "cores",
    title: "Processors",
    of: (m) => m.cores,
    ways: { "": (value) => value },
    heat: true,
  },
  disk: {
    family: "disks",
    title: "File systems",
    of: (m) => m.disks,
    ways: { "": (value) => value },
    format: percent,
    max: 100,
    marks: levels,
  },
  network: {
    family: "network",
    title: "Interfaces",
    of: (m) => m.network?.interfaces,
    ways: { "": (one) => one?.received_bytes_per_second, sent: (one) => one?.sent_bytes_per_second },
    format: bytesPerSecond,
    least: WHOLE_BYTES,
  },
  disk_io: {
    family: "disk_io",
    title: "Devices",
    of: (m) => m.disk_io?.devices,
    ways: { "": (one) => one?.read_bytes_per_second, written: (one) => one?.write_bytes_per_second },
    format: bytesPerSecond,
    least: WHOLE_BYTES,
  },
  temperatures: {
    family: "temperatures",
    title: "Sensors",
    of: (m) => m.temperatures,
    ways: { "": (value) => value },
    format: celsius,
  },
};

/** Describe the chart of a family that an embedding application has added to the feed. */
export function customChart(name, unit) {
  const format = { bytes, percent }[unit] ?? number;
  const least = format === bytes ? WHOLE_BYTES : undefined;
  return { families: [name], format, least, each: (member) => (typeof member === "number" ? member : null) };
}

/** Return how much of the memory that a container may have it uses, in percent. */
function usedMemory({ memory_used_bytes: used, memory_limit_bytes: limit }) {
  return used === undefined || !limit ? null : (100 * used) / limit;
}

function limits({ cpu_limit_cores: cores, memory_limit_bytes: memory, oom_kills: kills }) {
  const parts = [];
  if (cores !== undefined) parts.push(`${number(cores)} ${cores === 1 ? "core" : "cores"}`);
  if (memory !== undefined) parts.push(bytes(memory));
  if (kills) parts.push(`${kills} × out of memory`);
  return parts.join(", ");
}
