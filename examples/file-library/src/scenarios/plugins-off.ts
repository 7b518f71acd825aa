import { type AnyPlugin, API_VERSION, type CatchUpDecision, definePlugin, logMaintenance } from "@tidemark/plugin-api";
import { metricsReader } from "@tidemark/plugin-metrics";
import { formatCount } from "../demo/ui/format.js";
import { Tag } from "../models/tag.js";
import { remedies, remedyIds } from "./all-plugins.js";
import { countRows, type InProcessDevice, LibraryInProcess } from "./library-in-process.js";
import { countReferenceStatements, type ReferenceStatementCounts } from "./reference-statements.js";
import { type Check, type Figure, isEqual, isTrue, type Scenario, type ScenarioContext } from "./scenario.js";
import { indexSynthetically } from "./synthetic-index.js";

/**
 * The same life with all remedies, with each of them off alone, and with all of them off. It ends with equal records every
 * time; what a remedy is for shows in what it cost, in the figures and in the report.
 */
const ENTRIES: Readonly<Record<ScenarioContext["size"], number>> = { full: 6_000, small: 240 };
/** The kernel's own delay, unlike any of backoff's. */
const PLAIN_DELAY_MS = 7_000;
const BACKOFF_DELAY_MS = 10_000;
const CALM_MS = 120_000;
/** From one device to the other, so that a page takes 50 ms to ask for and to get. */
const LATENCY_MS = 25;
const PAGES_OF_ENTRIES = 6;
/** A backfill that fetches pages side by side takes at most so much of the time that one page after the other takes. */
const PARALLEL_SHARE = 0.67;

/** What one run ended with, on the device that took the library in. */
export interface VariantFacts {
  /** Ids of the remedies that were off. */
  readonly off: readonly string[];
  readonly entries: number;
  readonly converged: boolean;
  /** State of each remedy, by `tidemark.report()`. */
  readonly reported: Readonly<Record<string, string>>;
  readonly statements: ReferenceStatementCounts;
  /** How long b took to take the library in, by the clock that the frames travel by. */
  readonly backfillMs: number;
  /** As the kernel says. */
  readonly referenceLookups: number;
  /** The failure that was made: what was decided about it, and by whom. */
  readonly decision: CatchUpDecision | undefined;
  readonly decidedBy: string | undefined;
  /** When everybody has everything. */
  readonly logEntries: number;
  /** What the metrics say of the same; null when there are none. */
  readonly figures: {
    readonly referenceLookups: number;
    readonly decidedBy: readonly string[];
    readonly logEntries: number;
    readonly prunes: number;
  } | null;
}

/** All on, each off alone, all off. */
export const variants: readonly (readonly string[])[] = [[], ...remedyIds.map((id) => [id]), remedyIds];

export const pluginsOff: Scenario = {
  number: 4,
  title: "Remedies turned off, one by one and all at once",
  async run({ size, seed, workDirectory, clock: realClock, display }) {
    const runs: VariantFacts[] = [];
    for (const [index, off] of variants.entries()) {
      const library = new LibraryInProcess({ workDirectory, seed, realClock });
      try {
        runs.push(await live({ library, run: index, off, entries: ENTRIES[size] }));
      } finally {
        await library.dispose();
      }
      display.update({ name: "variants", unit: "runs", done: index + 1, total: variants.length });
    }
    return { checks: [...runs.flatMap(variantChecks), speedCheck(runs)], figures: runs.map(variantFigure) };
  },
};

async function live({
  library,
  run,
  off,
  entries,
}: {
  readonly library: LibraryInProcess;
  readonly run: number;
  readonly off: readonly string[];
  readonly entries: number;
}): Promise<VariantFacts> {
  const failing = new FailingOnce();
  const settings = {
    replication: { retryDelayMs: PLAIN_DELAY_MS, pageRecords: Math.ceil(entries / PAGES_OF_ENTRIES) },
    plugins: {
      backoff: { settings: { jitter: 0 } },
      // Often enough to see the log before and after.
      metrics: { settings: { sampleMs: 10_000 } },
      ...Object.fromEntries(off.map((id) => [id, false])),
    },
  };
  const a = await library.start(`a${run}`, { settings });
  await index(library, a, "first", entries);
  const statements = countReferenceStatements();
  for (const [from, to] of [
    [`a${run}`, `b${run}`],
    [`b${run}`, `a${run}`],
  ] as const) {
    library.network.setLatency({ from, to }, LATENCY_MS);
  }
  const b = await library.start(`b${run}`, {
    dial: [a.name],
    plugins: [...remedies, failing.plugin],
    settings,
    prepareDatabase: statements.prepareDatabase,
  });
  await library.until("b has taken the library in", () => b.recordedOf("backfillCompleted").length > 0);
  await library.comeInStep(a, b);

  // Live, with one failure, and then changes on both sides.
  failing.next = true;
  await a.dataSource.getRepository(Tag).insert({ uuid: "tag-a", name: "of a", colour: "#1f77b4" });
  await library.until("the failure is decided upon", () => b.recordedOf("catchUpDecided").length > 0);
  await library.comeInStep(a, b);
  await index(library, a, "second", Math.ceil(entries / 10));
  await b.dataSource.getRepository(Tag).insert({ uuid: "tag-b", name: "of b", colour: "#ff7f0e" });
  const converged = (await library.comeInStep(a, b)) && (await countRows(b.dataSource, "tag")) === 2;
  await library.pass(CALM_MS);

  const decided = b.recordedOf("catchUpDecided")[0];
  const { plugins } = b.tidemark.report();
  return {
    off,
    entries,
    converged,
    reported: Object.fromEntries(
      plugins.filter(({ id }) => remedyIds.includes(id)).map(({ id, state }) => [id, state]),
    ),
    statements: statements.counts(),
    backfillMs: b.recordedOf("backfillCompleted")[0]!.durationMs,
    referenceLookups: b.recordedOf("batchApplied").reduce((sum, { referenceLookups }) => sum + referenceLookups, 0),
    decision: decided?.decision,
    decidedBy: decided?.decidedBy,
    logEntries: (await b.tidemark.services.get(logMaintenance).size()).logEntries,
    figures: figuresOf(b),
  };
}

export function variantChecks(facts: VariantFacts): readonly Check[] {
  const { off, entries, statements, referenceLookups, decision, decidedBy, logEntries, figures } = facts;
  const name = off.length === 0 ? "all on" : off.length === remedyIds.length ? "all off" : `without ${off[0]}`;
  const isOn = (id: string) => !off.includes(id);
  const expected = Object.fromEntries(remedyIds.map((id) => [id, isOn(id) ? "active" : "disabled"]));
  const checks = [
    isTrue("both hold the same in the end", facts.converged, facts.converged),
    isEqual("the report says which are on", facts.reported, expected),
    isOn("fk-batching")
      ? isTrue(
          "references are asked for many at a time",
          statements.batched > 0 && statements.single === 0 && referenceLookups === 0,
          `${statements.batched} queries, ${statements.single} look-ups`,
        )
      : isTrue(
          "references are looked up one by one",
          statements.single >= entries && statements.single === referenceLookups,
          `${statements.single} look-ups, ${referenceLookups} as the kernel says`,
        ),
    isEqual(
      isOn("backoff") ? "backoff decides about a failure" : "the kernel waits its fixed delay after a failure",
      { decision, decidedBy },
      isOn("backoff")
        ? { decision: { action: "retry", delayMs: BACKOFF_DELAY_MS }, decidedBy: "backoff" }
        : { decision: { action: "retry", delayMs: PLAIN_DELAY_MS }, decidedBy: "kernel" },
    ),
    isOn("ack-pruning")
      ? isEqual("the log is empty when everybody has everything", logEntries, 0)
      : isTrue("the log keeps what everybody has", logEntries > entries / 10, `${logEntries} entries`),
    isOn("metrics")
      ? isEqual("the figures say the same", figures, {
          referenceLookups,
          decidedBy: [decidedBy],
          logEntries,
          prunes: isOn("ack-pruning") ? (figures?.prunes ?? 0) : 0,
        })
      : isEqual("there are no figures", figures, null),
  ];
  if (isOn("metrics") && isOn("ack-pruning")) {
    checks.push(isTrue("and that the log was pruned", (figures?.prunes ?? 0) > 0, `${figures?.prunes} times`));
  }
  return checks.map((check) => ({ ...check, what: `${name}: ${check.what}` }));
}

/** Over all variants: fetching side by side shows in the time. */
export function speedCheck(runs: readonly Pick<VariantFacts, "off" | "backfillMs">[]): Check {
  const timesOf = (isOn: boolean) =>
    runs.filter(({ off }) => off.includes("parallel-backfill") !== isOn).map(({ backfillMs }) => backfillMs);
  const [sideBySide, oneByOne] = [timesOf(true), timesOf(false)];
  return isTrue(
    "pages come sooner with parallel-backfill, and one after the other without",
    Math.max(...sideBySide) <= Math.min(...oneByOne) * PARALLEL_SHARE,
    `at most ${Math.max(...sideBySide)} ms with it, at least ${Math.min(...oneByOne)} ms without`,
  );
}

function variantFigure({ off, statements, backfillMs, logEntries, decision, decidedBy }: VariantFacts): Figure {
  const delay = decision === undefined || decision.action === "give-up" ? "no" : `${decision.delayMs / 1_000} s`;
  return {
    name: off.length === 0 ? "all on" : `off: ${off.join(", ")}`,
    value: [
      `${formatCount(statements.single)} look-ups of single references`,
      `${formatCount(logEntries)} log entries left`,
      `${delay} delay by ${decidedBy}`,
      `backfill in ${backfillMs} ms`,
    ].join("; "),
  };
}

async function index(
  library: LibraryInProcess,
  { name, dataSource }: InProcessDevice,
  location: string,
  entries: number,
): Promise<void> {
  await indexSynthetically({
    dataSource,
    deviceId: name,
    location,
    entries,
    perTransaction: 500,
    clock: library.clock,
    random: library.random,
    onProgress: () => {},
  });
}

/** What the metrics of a device say. */
function figuresOf({ tidemark }: InProcessDevice): VariantFacts["figures"] {
  const reader = tidemark.services.find(metricsReader);
  if (reader === undefined) return null;
  const { metrics } = reader.snapshot();
  const seriesOf = (wanted: string) => metrics.find(({ name }) => name === wanted)?.series ?? [];
  const total = (wanted: string) =>
    seriesOf(wanted).reduce((sum, series) => sum + ("value" in series ? series.value : series.count), 0);
  return {
    referenceLookups: total("tidemark.batch.reference_lookups"),
    decidedBy: seriesOf("tidemark.catch_up.decisions").map(({ attributes }) => String(attributes["tidemark.plugin"])),
    logEntries: total("tidemark.log.entries"),
    prunes: total("tidemark.log.prunes"),
  };
}

/** Lets one batch fail when it is told to. */
class FailingOnce {
  next = false;

  readonly plugin: AnyPlugin = definePlugin({
    manifest: { id: "failing-once", version: "1.0.0", apiVersion: API_VERSION },
    activate: ({ hooks }) => {
      hooks.beforeApplyBatch.tap(() => {
        if (!this.next) return;
        this.next = false;
        throw new Error("this batch is not to be taken");
      });
    },
  });
}
