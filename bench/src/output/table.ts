import Table from "cli-table3";
import type { Machine } from "../machine.js";
import type { BenchResults } from "../results.js";
import type { Colours } from "./colours.js";

/** The results as a table for a terminal: a row per figure. */
export function renderTable({ cases, scale }: BenchResults, colours: Colours): string {
  const table = new Table({
    head: ["name", "value", "baseline", "ratio", "target", scale === "full" ? "met" : "met at this size"],
    style: { head: [], border: [], compact: true },
    colAligns: ["left", "right", "right", "right", "left", "left"],
  });
  for (const [name, { parts }] of Object.entries(cases)) {
    for (const [part, { value, baseline, ratio, unit, target, met }] of Object.entries(parts)) {
      table.push([
        Object.keys(parts).length === 1 ? name : `${name}: ${part}`,
        `${formatNumber(value)} ${unit}`,
        `${formatNumber(baseline)} ${unit}`,
        formatNumber(ratio),
        target,
        met ? colours.green("yes") : colours.red("no"),
      ]);
    }
  }
  return table.toString();
}

export function renderMachine({ cpu, cores, memoryGiB, platform, node, sqlite }: Machine): string {
  return `${cpu}, ${cores} cores, ${memoryGiB} GiB, ${platform}, Node ${node}, SQLite ${sqlite}`;
}

/** Three digits that matter. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  const digits = size === 0 || size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.1 ? 2 : 4;
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}
