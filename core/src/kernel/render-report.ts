// Writes a report for people: plain text, aligned, one line a plugin. No colours, so that it fits into any log.

import type { HookReport } from "./hook-runner.js";
import type { PluginReport } from "./plugin-host.js";
import type { TidemarkReport } from "./report.js";
import type { SettingSource } from "./resolved-settings.js";

const WHY: Readonly<Record<SettingSource, string>> = {
  default: "default",
  config: "config",
  overlay: "overlay file",
  env: "environment",
};

/** The report as lines of text, without a line break at the end. */
export function renderReport(report: TidemarkReport): string {
  const { version, apiVersion, state, reason, library, device, plugins, transports } = report;
  const head = [
    `Tidemark ${version} (plugin API ${apiVersion}) is ${state}${reason === null ? "" : `: ${reason}`}`,
    `library ${library}, device ${device}, transports: ${transports.length === 0 ? "none" : transports.join(", ")}`,
  ];
  if (plugins.length === 0) return [...head, "no plugins"].join("\n");
  const table = [["plugin", "version", "state", "said by", "activation", "hooks", "services"], ...plugins.map(rowOf)];
  const errors = plugins.flatMap(({ id, error }) => (error === null ? [] : [`${id}: ${error}`]));
  return [...head, "", ...align(table), ...(errors.length === 0 ? [] : ["", ...errors])].join("\n");
}

function rowOf({ id, version, state, enabledBy, activationMs, hooks, services }: PluginReport): readonly string[] {
  return [
    id,
    version,
    state,
    enabledBy === null ? "-" : WHY[enabledBy],
    activationMs === null ? "-" : `${activationMs.toFixed(1)} ms`,
    hooks.length === 0 ? "-" : hooks.map(describeHook).join(", "),
    services.length === 0 ? "-" : services.join(", "),
  ];
}

/** `afterBatch 12 (1 failed, quarantined)` */
function describeHook({ hook, calls, failures, quarantined }: HookReport): string {
  const remarks = [...(failures > 0 ? [`${failures} failed`] : []), ...(quarantined ? ["quarantined"] : [])];
  return `${hook} ${calls}${remarks.length === 0 ? "" : ` (${remarks.join(", ")})`}`;
}

/** Pads every cell but the last to the width of its column. */
function align(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row.map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column]!))).join("  "),
  );
}
