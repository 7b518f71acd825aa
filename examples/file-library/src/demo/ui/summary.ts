import Table from "cli-table3";
import { type DemoOutcome, faultsOf } from "../result.js";
import type { Colours } from "./colours.js";
import { formatBytes, formatCount, formatDuration, formatRate } from "./format.js";

/** The tables at the end of a demo, and the verdict in words. */
export function summary(outcome: DemoOutcome, colours: Colours): string {
  const faults = faultsOf(outcome);
  const verdict =
    faults.length === 0
      ? colours.green("In step: both devices hold exactly the same records.")
      : colours.red(`Not in step: ${faults.join("; ")}.`);
  return [
    colours.bold("Records"),
    modelTable(outcome, colours),
    colours.bold("Phases"),
    phaseTable(outcome),
    colours.bold("Sync"),
    syncTable(outcome),
    ...explanations(outcome),
    verdict,
    "",
  ].join("\n");
}

/** Enough of a digest to compare by eye. */
const DIGEST_CHARACTERS = 12;

function modelTable({ comparison }: DemoOutcome, colours: Colours): string {
  const table = plainTable(["model", "rows A", "rows B", "digest A", "digest B", ""], "lrrlll");
  for (const name of Object.keys(comparison.A.models)) {
    const a = comparison.A.models[name]!;
    const b = comparison.B.models[name];
    const equal = a.digest === b?.digest && a.independentDigest === b.independentDigest && a.rows === b.rows;
    table.push([
      name,
      formatCount(a.rows),
      formatCount(b?.rows ?? 0),
      a.digest.slice(0, DIGEST_CHARACTERS),
      (b?.digest ?? "").slice(0, DIGEST_CHARACTERS),
      equal ? colours.green("equal") : colours.red("differs"),
    ]);
  }
  return table.toString();
}

function phaseTable({ phases }: DemoOutcome): string {
  const table = plainTable(["phase", "time", "work", "count", "rate"], "lrlrr");
  for (const [name, { durationMs, work }] of Object.entries(phases)) {
    table.push([name, formatDuration(durationMs), "", "", ""]);
    for (const { what, unit, count } of work) {
      table.push(["", "", what, `${formatCount(count)} ${unit}`, formatRate(count, durationMs)]);
    }
  }
  return table.toString();
}

function syncTable({ comparison, status, problems }: DemoOutcome): string {
  const table = plainTable(["", "A", "B"], "lrr");
  const { A, B } = status;
  table.push(
    [
      "references that lead nowhere",
      formatCount(comparison.A.foreignKeyViolations),
      formatCount(comparison.B.foreignKeyViolations),
    ],
    ["parked: in quarantine", formatCount(A.parked.quarantined), formatCount(B.parked.quarantined)],
    ["parked: for a later try", formatCount(A.parked.deferred), formatCount(B.parked.deferred)],
    ["parked: hidden", formatCount(A.parked.hidden), formatCount(B.parked.hidden)],
    ["parked: deleted, with later edits", formatCount(A.parked.dead), formatCount(B.parked.dead)],
    ["size of the sync tables", formatBytes(A.syncTableBytes), formatBytes(B.syncTableBytes)],
    ["entries in the log", formatCount(A.logEntries), formatCount(B.logEntries)],
    ["items passed over while indexing", formatCount(problems.A), formatCount(problems.B)],
  );
  return table.toString();
}

function explanations({ status, kills, kept }: DemoOutcome): string[] {
  const lines: string[] = [];
  if (status.A.parked.hidden > 0 && status.A.parked.hidden === status.B.parked.hidden) {
    lines.push(
      "Hidden: records that refer to something which the other device has deleted meanwhile, such as a tagging without",
      "its tag. Both devices know of the same; a plugin such as ack-pruning lets them go once everybody has acknowledged.",
    );
  }
  if (kills.length > 0) {
    lines.push(`Killed and started again: ${kills.map(({ device, phase }) => `${device} in “${phase}”`).join(", ")}.`);
  }
  if (kept !== null) lines.push(`The databases are in ${kept}`);
  return lines;
}

/** Without colours of its own, and without frames that break when copied. */
function plainTable(head: string[], alignment: string): Table.Table {
  return new Table({
    head,
    colAligns: [...alignment].map((letter) => (letter === "r" ? "right" : "left")),
    style: { head: [], border: [], compact: true },
  });
}
