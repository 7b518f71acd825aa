import type { BackfillFigures, CatchUpFigures, DeviceFigures, HealthFigures, PoolFigures } from "../figures.js";
import type { DeviceStatus } from "../messages.js";
import { PLUGIN_NAMES, type PluginName } from "../plugin-names.js";
import type { DemoOutcome } from "../result.js";
import type { Colours } from "./colours.js";
import { formatAmount, formatBytes, formatCount, formatDuration, formatRate } from "./format.js";
import { plainTable } from "./table.js";

/** What each plugin did in this run, and how things went without those that were off. */
export function pluginTable({ plugins, figures, status }: DemoOutcome, colours: Colours): string {
  const table = plainTable(["plugin", "", "A", "B"], "llrr");
  const both: Both = [
    { figures: figures.A, status: status.A },
    { figures: figures.B, status: status.B },
  ];
  for (const name of PLUGIN_NAMES) {
    const rows = plugins[name] ? ROWS[name].on(both) : ROWS[name].off(both);
    for (const [index, [what, cell]] of rows.entries()) {
      // What belongs to one plugin that is off stands below its "off".
      const text = plugins[name] ? what : colours.dim(index === 0 ? `off: ${what}` : `     ${what}`);
      table.push([index === 0 ? name : "", text, ...both.map(cell)]);
    }
  }
  return table.toString();
}

/** What is known of one device. */
interface Facts {
  readonly figures: DeviceFigures;
  readonly status: DeviceStatus;
}

type Both = readonly [Facts, Facts];
type Row = readonly [what: string, cell: (facts: Facts) => string];
type Rows = (both: Both) => readonly Row[];

const NOTHING = "–";

/** How long the backfill took, to be compared. */
const BACKFILL: readonly Row[] = [
  ["records in them", ofBackfill(({ records }) => formatCount(records))],
  ["time that they took", ofBackfill(({ durationMs }) => formatDuration(durationMs))],
  ["records a second", ofBackfill(({ records, durationMs }) => formatRate(records, durationMs))],
];

const ROWS: Readonly<Record<PluginName, { readonly on: Rows; readonly off: Rows }>> = {
  "fk-batching": {
    on: () => [
      ["look-ups without it, at least", ({ figures }) => formatCount(lookupsWithout(figures))],
      ["queries that were made instead", ({ figures }) => formatCount(queriesWith(figures))],
      ["saved", ({ figures }) => savedInWords(figures)],
    ],
    off: () => [["look-ups, one reference at a time", ({ figures }) => formatCount(lookupsWithout(figures))]],
  },
  "ack-pruning": {
    on: () => [
      [
        "log entries, at most → now",
        ({ figures, status }) => `${formatCount(figures.log.largestEntries)} → ${formatCount(status.logEntries)}`,
      ],
      [
        "sync tables, at most → now",
        ({ figures, status }) => `${formatBytes(figures.log.largestBytes)} → ${formatBytes(status.syncTableBytes)}`,
      ],
      ["log entries forgotten", ({ figures }) => formatCount(figures.log.prunedEntries)],
      ["hidden records erased", ({ figures }) => formatCount(figures.log.erasedRecords)],
    ],
    off: () => [
      ["the log stays at", ({ status }) => formatAmount(status.logEntries, "entry", "entries")],
      ["the sync tables stay at", ({ status }) => formatBytes(status.syncTableBytes)],
    ],
  },
  backoff: {
    on: (both) => [
      ["failures to decide on", ofCatchUps(({ decidedByBackoff }) => formatCount(decidedByBackoff))],
      ...anyFailure(both, [
        ["longest delay before a retry", ofCatchUps(longestDelay)],
        ["full backfills decided on", ofCatchUps(({ fullBackfills }) => formatCount(fullBackfills))],
        ["given up", ofCatchUps(({ givenUp }) => formatCount(givenUp))],
      ]),
    ],
    off: (both) => [
      ["failures, retried after a fixed delay", ofCatchUps(({ decidedByKernel }) => formatCount(decidedByKernel))],
      ...anyFailure(both, [
        ["that delay", ofCatchUps(longestDelay)],
        ["given up", ofCatchUps(({ givenUp }) => formatCount(givenUp))],
      ]),
    ],
  },
  metrics: {
    on: () => [
      ["connections in use at once, at most", ofPool(({ peak, limit }) => `${formatCount(peak)} of ${limit}`)],
      ["longest wait for a connection", ofPool(({ longestWaitMs }) => formatDuration(longestWaitMs))],
      ["waits that timed out", ofPool(({ timeouts }) => formatCount(timeouts))],
      ["health", ({ figures: { health } }) => (health === null ? NOTHING : healthInWords(health))],
    ],
    off: () => [["nothing was measured", () => NOTHING]],
  },
  "parallel-backfill": {
    on: () => [["backfill pages, side by side", ofBackfill(({ pages }) => formatCount(pages))], ...BACKFILL],
    off: () => [["backfill pages, one after the other", ofBackfill(({ pages }) => formatCount(pages))], ...BACKFILL],
  },
};

function lookupsWithout({ references: { lookups, spared } }: DeviceFigures): number {
  return lookups + spared;
}

/** What the plugin left to the kernel, the kernel looked up with a query each. */
function queriesWith({ references: { lookups, queries } }: DeviceFigures): number {
  return lookups + queries;
}

function savedInWords(figures: DeviceFigures): string {
  const without = lookupsWithout(figures);
  if (without === 0) return NOTHING;
  const saved = without - queriesWith(figures);
  return `${formatCount(saved)} (${((saved / without) * 100).toFixed(1)} %)`;
}

function ofCatchUps(text: (catchUps: CatchUpFigures) => string): Row[1] {
  return ({ figures }) => text(figures.catchUps);
}

/** The rows, if there was any failure. */
function anyFailure(both: Both, rows: readonly Row[]): readonly Row[] {
  return both.some(({ figures }) => decisions(figures.catchUps) > 0) ? rows : [];
}

function decisions({ decidedByBackoff, decidedByKernel }: CatchUpFigures): number {
  return decidedByBackoff + decidedByKernel;
}

function longestDelay(catchUps: CatchUpFigures): string {
  return decisions(catchUps) === 0 ? NOTHING : formatDuration(catchUps.longestDelayMs);
}

function ofPool(text: (pool: PoolFigures) => string): Row[1] {
  return ({ figures: { pool } }) => (pool === null ? NOTHING : text(pool));
}

/** Who founds a library has none. */
function ofBackfill(text: (backfill: BackfillFigures) => string): Row[1] {
  return ({ figures: { backfill } }) => (backfill.pages === 0 ? NOTHING : text(backfill));
}

function healthInWords({ now, worst }: HealthFigures): string {
  return now === worst ? now : `${now}, once ${worst}`;
}
