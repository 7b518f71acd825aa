import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { differencesBetween } from "../../demo/differences.js";
import { untilInStep } from "../../demo/in-step.js";
import type { Comparison, DeviceStatus } from "../../demo/messages.js";
import { formatCount, formatDuration } from "../../demo/ui/format.js";
import { type Check, type Figure, isEqual, isTrue, type Scenario, type ScenarioContext } from "../scenario.js";
import type { ConcurrentDevice, ConcurrentFigures, ConcurrentProgress } from "./device.js";

/**
 * The failure that everything here began with: one device indexes a large library while another one takes it in and indexes
 * its own. Nobody may wait for a connection in vain, nothing may get lost, and references may not cost a query each.
 */
export interface ConcurrentSizes {
  /** The locations of A, with the number of entries of each. */
  readonly locations: Readonly<Record<string, number>>;
  /** Entries that B indexes by itself. */
  readonly ownEntries: number;
  readonly perTransaction: number;
  /** B joins when A has indexed so many. */
  readonly joinAfter: number;
  /** Queries for references on B. */
  readonly mostReferenceQueries: number;
}

const SIZES: Readonly<Record<ScenarioContext["size"], ConcurrentSizes>> = {
  full: {
    locations: { pictures: 82_530, music: 60_000, documents: 40_000 },
    ownEntries: 20_000,
    perTransaction: 1_000,
    joinAfter: 60_000,
    mostReferenceQueries: 599,
  },
  small: {
    locations: { pictures: 900, music: 600, documents: 300 },
    ownEntries: 250,
    perTransaction: 50,
    joinAfter: 500,
    mostReferenceQueries: 599,
  },
};

/** What the two devices ended with. */
export interface ConcurrentFacts {
  readonly sizes: ConcurrentSizes;
  readonly comparison: Readonly<Record<"A" | "B", Comparison>>;
  readonly status: Readonly<Record<"A" | "B", DeviceStatus>>;
  readonly figures: Readonly<Record<"A" | "B", ConcurrentFigures>>;
  /** What A had still to index when B had begun its backfill. */
  readonly leftWhenJoined: number;
  readonly durationMs: number;
}

export type MakeDevice = (name: "A" | "B", onProgress: (progress: ConcurrentProgress) => void) => ConcurrentDevice;

/** Nothing has moved for so long: the devices will not come into step any more. */
const STALL_MS = 180_000;
const LOOK_INTERVAL_MS = 250;
/** The kernel's, by default. A write has no time-out: after this time it is reported, and goes on waiting. */
const ACQUIRE_TIMEOUT_MS = 30_000;

export function concurrentIndexing(make: MakeDevice): Scenario {
  return {
    number: 1,
    title: "Concurrent indexing and sync",
    async run(context) {
      const facts = await live(context, make);
      return { checks: concurrentChecks(facts), figures: concurrentFigures(facts) };
    },
  };
}

async function live(
  { size, clock, display, workDirectory }: ScenarioContext,
  make: MakeDevice,
): Promise<ConcurrentFacts> {
  const sizes = SIZES[size];
  const total = totalOf(sizes);
  const startedMs = clock.monotonicMs();
  let indexed = 0;
  let before = 0;
  let onIndexed = () => {};
  let onBackfill = () => {};
  const a = make("A", (progress) => {
    if (progress.kind !== "indexed") return;
    indexed = before + progress.entries;
    display.update({ name: "A indexes", unit: "entries", done: indexed, total });
    onIndexed();
  });
  const b = make("B", (progress) => {
    if (progress.kind === "indexed") {
      display.update({ name: "B indexes", unit: "entries", done: progress.entries, total: sizes.ownEntries });
    } else if (progress.kind === "received") {
      display.update({ name: "B receives", unit: "records", done: progress.records, total: recordsOf(sizes) });
    } else onBackfill();
  });
  try {
    const library = { libraryId: "concurrent indexing", secret: randomUUID() };
    const setup = (name: string, peer: string | null) => ({
      ...library,
      deviceId: randomUUID(),
      name: `Device ${name}`,
      databaseFile: join(workDirectory, `${name.toLowerCase()}.sqlite`),
      peer,
    });
    const url = await a.open(setup("A", null));
    const enough = new Promise<void>((resolve) => {
      onIndexed = () => {
        if (indexed >= sizes.joinAfter) resolve();
      };
    });
    const leftWhenBackfilling = new Promise<number>((resolve, reject) => {
      const timer = clock.setTimeout(() => reject(new Error("B has not begun its backfill")), STALL_MS);
      onBackfill = () => {
        timer.dispose();
        resolve(total - indexed);
      };
    });
    const { perTransaction } = sizes;
    const indexOnA = async () => {
      const locations = Object.entries(sizes.locations);
      for (const [place, [location, entries]] of locations.entries()) {
        // However fast A is, and however slowly a process starts: the last location is indexed while B takes in the rest.
        if (place === locations.length - 1) await leftWhenBackfilling;
        await a.index({ location, entries, perTransaction });
        before += entries;
      }
    };
    const joinAndIndex = async () => {
      await enough;
      await b.open(setup("B", url));
      await b.index({ location: "notes of B", entries: sizes.ownEntries, perTransaction });
    };
    const [leftWhenJoined] = await Promise.all([leftWhenBackfilling, indexOnA(), joinAndIndex()]);
    await untilInStep({
      devices: [a, b],
      clock,
      nextLook: () => new Promise((resolve) => void clock.setTimeout(resolve, LOOK_INTERVAL_MS)),
      stallMs: STALL_MS,
    });
    const [comparisonA, comparisonB] = await Promise.all([a.compare(), b.compare()]);
    const [statusA, statusB] = await Promise.all([a.status(), b.status()]);
    const [figuresA, figuresB] = await Promise.all([a.figures(), b.figures()]);
    return {
      sizes,
      comparison: { A: comparisonA, B: comparisonB },
      status: { A: statusA, B: statusB },
      figures: { A: figuresA, B: figuresB },
      leftWhenJoined,
      durationMs: clock.monotonicMs() - startedMs,
    };
  } finally {
    await Promise.all([a.close(), b.close()]);
  }
}

/** What must be true in the end, at any size. */
export function concurrentChecks({
  sizes,
  comparison,
  status,
  figures,
  leftWhenJoined,
}: ConcurrentFacts): readonly Check[] {
  const { A, B } = comparison;
  const names = ["A", "B"] as const;
  const each = <Value>(value: (name: "A" | "B") => Value) =>
    Object.fromEntries(names.map((name) => [name, value(name)]));
  const { statements, referenceLookups } = figures.B;
  return [
    isTrue("A was still indexing when B began to take in the library", leftWhenJoined > 0, `${leftWhenJoined} left`),
    isEqual(
      "no wait for a connection timed out",
      each((name) => figures[name].pool.timeOuts),
      { A: 0, B: 0 },
    ),
    isTrue(
      "no write has waited for its turn for as long as that",
      names.every((name) => figures[name].pool.longestWriterWaitMs < ACQUIRE_TIMEOUT_MS),
      names.map((name) => formatDuration(figures[name].pool.longestWriterWaitMs)).join(", "),
    ),
    isEqual(
      "no round and no backfill failed",
      each((name) => figures[name].failures),
      { A: [], B: [] },
    ),
    isEqual("B took in the library once", figures.B.backfills, 1),
    isEqual("both hold the same, by Tidemark's digests and by plain SQL over identities", differencesBetween(A, B), []),
    isEqual("all entries are there", A.models.Entry?.rows, totalOf(sizes) + sizes.ownEntries),
    isEqual("all locations are there", A.models.Location?.rows, Object.keys(sizes.locations).length + 1),
    isEqual(
      "every reference holds",
      each((name) => comparison[name].foreignKeyViolations),
      { A: 0, B: 0 },
    ),
    isEqual(
      "nothing is parked",
      each((name) => parkedOf(status[name])),
      { A: 0, B: 0 },
    ),
    isTrue(
      `B asked SQLite for references at most ${sizes.mostReferenceQueries} times, many at a time`,
      statements.batched > 0 && statements.batched <= sizes.mostReferenceQueries,
      `${statements.batched} queries`,
    ),
    isEqual(
      "B's kernel looked up no reference by itself",
      { asItSays: referenceLookups, asCounted: statements.single },
      { asItSays: 0, asCounted: 0 },
    ),
  ];
}

function concurrentFigures({ sizes, figures, status, durationMs }: ConcurrentFacts): readonly Figure[] {
  const { statements, batches } = figures.B;
  const pools = (["A", "B"] as const).flatMap((name): Figure[] => {
    const { pool } = figures[name];
    return [
      { name: `${name}: connections lent at once, at most`, value: `${pool.mostLent} of ${pool.limit}` },
      { name: `${name}: requests waiting at once, at most`, value: pool.mostWaiting },
      { name: `${name}: longest wait for a connection to read`, value: formatDuration(pool.longestReaderWaitMs) },
      { name: `${name}: write slices of the kernel`, value: formatCount(pool.writeSlices) },
      { name: `${name}: longest wait for the turn to write`, value: formatDuration(pool.longestWriterWaitMs) },
      {
        name: `${name}: longest write slice`,
        value: `${formatDuration(pool.longestWriteSliceMs)} (${pool.longestWriteSlice})`,
      },
      { name: `${name}: entries in the log`, value: formatCount(status[name].logEntries) },
    ];
  });
  return [
    { name: "entries", value: formatCount(totalOf(sizes) + sizes.ownEntries) },
    { name: "from start to equality", value: formatDuration(durationMs) },
    {
      name: "B: batches",
      value: Object.entries(batches)
        .map(([phase, count]) => `${count} ${phase}`)
        .join(", "),
    },
    { name: "B: queries for many keys, on connections that only read", value: formatCount(statements.batched) },
    { name: "B: of these by fk-batching, as it says", value: formatCount(figures.B.resolverQueries) },
    {
      name: "B: queries for many keys by the kernel itself, while it writes",
      value: formatCount(statements.ofTheKernel),
    },
    ...pools,
  ];
}

function totalOf({ locations }: ConcurrentSizes): number {
  return Object.values(locations).reduce((sum, entries) => sum + entries, 0);
}

/** Roughly what B receives: an entry and, for every second one, a content. */
function recordsOf(sizes: ConcurrentSizes): number {
  return Math.round(totalOf(sizes) * 1.5);
}

function parkedOf({ parked }: DeviceStatus): number {
  return Object.values(parked).reduce((sum, count) => sum + count, 0);
}
