import { type AckPruningControl, ackPruningControl } from "@tidemark/plugin-ack-pruning";
import { type LogMaintenance, logMaintenance } from "@tidemark/plugin-api";
import type { DataSource } from "typeorm";
import { formatBytes, formatCount } from "../demo/ui/format.js";
import { contentOf } from "../indexer/content.js";
import { ContentIdentity } from "../models/content-identity.js";
import { countRows, type InProcessDevice, LibraryInProcess } from "./library-in-process.js";
import { type Check, type Figure, isEqual, isTrue, type Scenario, type ScenarioContext } from "./scenario.js";

/**
 * A library that forgets what everybody has, and nothing else: two members that acknowledge, then a third one that goes
 * away and must find everything when it comes back, that lapses when it stays away for too long and returns all the same,
 * and that is removed when it goes away for good.
 */
const CONTENTS: Readonly<Record<ScenarioContext["size"], number>> = { full: 12_000, small: 400 };
const MIB = 1_048_576;
/** Longer than the plugin's interval, so that it has looked by itself. */
const AWAY_MS = 61 * 60_000;
/** Long enough that the third member does not lapse while it is away for the first time. */
const MAX_OFFLINE_MS = 90 * 60_000;
const SETTINGS = {
  membership: { maxOfflineMs: MAX_OFFLINE_MS },
  replication: { heartbeatMs: 5 * 60_000 },
} as const;

/** What one device holds for the sake of sync, at one moment. */
export interface SyncSize {
  readonly logEntries: number;
  /** As the kernel says. */
  readonly bytes: number;
  /** The pages of all tables and indexes of the kernel, counted by SQL. */
  readonly countedBytes: number;
}

export interface PruningFacts {
  readonly contents: number;
  /** The largest log of each device on the way, and its size. */
  readonly peak: SyncSize;
  readonly afterPruning: readonly SyncSize[];
  /** Acknowledgements that have arrived, by device. */
  readonly acknowledgements: readonly number[];
  readonly twoInStep: boolean;
  /** Records that were changed while the third was away. */
  readonly changedMeanwhile: number;
  /** On those that stayed, hours later and after pruning by hand. */
  readonly whileAway: readonly {
    readonly pruned: number;
    readonly logEntries: number;
    readonly heldBackBy: readonly string[];
  }[];
  /** Backfills that the third one has begun, over all its life. */
  readonly backfillsOfThird: number;
  readonly recordsCaughtUp: number;
  readonly threeInStep: boolean;
  readonly afterReturn: readonly SyncSize[];
  /** On those that stayed, after the third has been silent for too long: who has lapsed, and how large the logs are. */
  readonly lapsed: readonly { readonly devices: readonly string[]; readonly logEntries: number }[];
  readonly newOrigin: boolean;
  readonly backfillsOfReturned: number;
  readonly returnedInStep: boolean;
  /** Whether a change that the third one had not got out when it lapsed is on all of them. */
  readonly unsentIsThere: boolean;
  readonly afterLapse: readonly SyncSize[];
  /** Of those that stayed, when the third one was gone again: before it was removed, and after. */
  readonly beforeRemoval: readonly SyncSize[];
  readonly afterRemoval: readonly SyncSize[];
}

export const pruning: Scenario = {
  number: 2,
  title: "Pruning after backfill",
  async run({ size, seed, workDirectory, clock: realClock, display }) {
    const library = new LibraryInProcess({ workDirectory, seed, realClock });
    try {
      const facts = await live(library, CONTENTS[size], (step) => display.note(step));
      return { checks: pruningChecks(facts), figures: pruningFigures(facts) };
    } finally {
      await library.dispose();
    }
  },
};

async function live(library: LibraryInProcess, contents: number, tell: (step: string) => void): Promise<PruningFacts> {
  const a = await library.start("a", { settings: SETTINGS });
  await insertContents(a.dataSource, 0, contents);
  tell(`a holds ${formatCount(contents)} contents; b joins`);
  const b = await library.start("b", { dial: ["a"], settings: SETTINGS });
  await b.next("backfillCompleted", undefined, { past: true });
  await library.comeInStep(a, b);

  tell("both change many of them");
  await editEvery(a.dataSource, 2, "text");
  await editEvery(b.dataSource, 3, "image");
  await insertContents(b.dataSource, contents, contents + Math.ceil(contents / 4));
  let peak = await sizeOf(a);
  await library.until("a and b have told each other everything", async () => {
    const now = await sizeOf(a);
    if (now.logEntries > peak.logEntries) peak = now;
    const counts = await Promise.all([a, b].map(({ dataSource }) => countRows(dataSource, "content_identity")));
    return counts.every((count) => count === contents + Math.ceil(contents / 4));
  });
  const twoInStep = await library.comeInStep(a, b);
  await library.comesToPass(async () => {
    const sizes = await Promise.all([a, b].map(sizeOf));
    return sizes.every(({ logEntries }) => logEntries === 0);
  });
  const afterPruning = await Promise.all([a, b].map(sizeOf));
  const acknowledgements = [a, b].map((device) => device.recordedOf("vectorAcknowledged").length);

  tell("a third one joins, and goes away");
  const c = await library.start("c", { dial: ["a"], settings: SETTINGS });
  await c.next("backfillCompleted", undefined, { past: true });
  await library.comeInStep(a, b, c);
  await library.pass(60_000);
  library.network.cut("a", "c");
  const [changed, added, deleted] = [Math.floor(contents / 10), Math.floor(contents / 20), Math.floor(contents / 40)];
  await editFirst(a.dataSource, changed, "archive");
  await insertContents(a.dataSource, contents * 2, contents * 2 + added);
  await b.dataSource.query(
    "DELETE FROM content_identity WHERE id IN (SELECT id FROM content_identity ORDER BY id DESC LIMIT ?)",
    [deleted],
  );
  await library.comeInStep(a, b);
  const prunedBefore = [a, b].map(prunedBy);
  await library.pass(AWAY_MS);
  const whileAway = [];
  for (const [index, device] of [a, b].entries()) {
    const control = controlOf(device);
    await control.pruneNow();
    const { heldBackBy } = await control.dryRun();
    whileAway.push({
      pruned: prunedBy(device) - prunedBefore[index]!,
      logEntries: (await sizeOf(device)).logEntries,
      heldBackBy: heldBackBy.map(({ deviceId }) => deviceId),
    });
  }

  tell("it comes back");
  const receivedBefore = receivedBy(c);
  library.network.heal("a", "c");
  const threeInStep = await library.comeInStep(a, b, c);
  const recordsCaughtUp = receivedBy(c) - receivedBefore;
  await library.pass(60_000);
  const afterReturn = await Promise.all([a, b, c].map(sizeOf));

  tell("it goes away again, with a change that nobody has heard of, until it lapses");
  const former = (await c.tidemark.status()).origin;
  const backfillsOfThird = c.recordedOf("backfillStarted").length;
  library.network.cut("a", "c");
  await insertContents(c.dataSource, UNSENT, UNSENT + 1);
  await c.tidemark.digest("ContentIdentity");
  await library.stop(c);
  await editFirst(a.dataSource, changed, "program");
  await library.comeInStep(a, b);
  await library.pass(1.5 * MAX_OFFLINE_MS);
  const lapsed = [];
  for (const device of [a, b]) {
    const { removals } = await device.tidemark.status();
    const devices = removals.filter(({ kind }) => kind === "lapsed").map(({ deviceId }) => deviceId);
    lapsed.push({ devices, logEntries: (await sizeOf(device)).logEntries });
  }

  tell("it returns");
  library.network.heal("a", "c");
  const returned = await library.start("c", { dial: ["a"], settings: SETTINGS });
  await library.until("c is a member again", async () => (await returned.tidemark.status()).membership === "member");
  const returnedInStep = await library.comeInStep(a, b, returned);
  await library.pass(2 * SETTINGS.replication.heartbeatMs);
  const unsent = contentOfNumber(UNSENT).uuid;
  const holding = await Promise.all([a, b, returned].map(({ dataSource }) => holds(dataSource, unsent)));
  const afterLapse = await Promise.all([a, b, returned].map(sizeOf));

  tell("it goes away for good, and is removed");
  library.network.cut("a", "c");
  await editFirst(a.dataSource, changed, "document");
  await library.comeInStep(a, b);
  await library.pass(AWAY_MS);
  const beforeRemoval = await Promise.all([a, b].map(sizeOf));
  await a.tidemark.removeMember("c");
  await library.comesToPass(async () => {
    const sizes = await Promise.all([a, b].map(sizeOf));
    return sizes.every(({ logEntries }) => logEntries === 0);
  });
  return {
    lapsed,
    newOrigin: (await returned.tidemark.status()).origin !== former,
    backfillsOfReturned: returned.recordedOf("backfillCompleted").length,
    returnedInStep,
    unsentIsThere: holding.every(Boolean),
    afterLapse,
    beforeRemoval,
    afterRemoval: await Promise.all([a, b].map(sizeOf)),
    contents,
    peak,
    afterPruning,
    acknowledgements,
    twoInStep,
    changedMeanwhile: changed + added + deleted,
    whileAway,
    backfillsOfThird,
    recordsCaughtUp,
    threeInStep,
    afterReturn,
  };
}

export function pruningChecks(facts: PruningFacts): readonly Check[] {
  const { contents, peak, afterPruning, acknowledgements, whileAway, changedMeanwhile } = facts;
  const bytes = (sizes: readonly SyncSize[]) => sizes.map(({ bytes, countedBytes }) => Math.max(bytes, countedBytes));
  const entries = (sizes: readonly SyncSize[]) => sizes.map(({ logEntries }) => logEntries);
  return [
    isTrue("there was something to prune", peak.logEntries >= contents / 2, `${peak.logEntries} entries`),
    isTrue(
      "both have acknowledged",
      acknowledgements.every((count) => count > 0),
      acknowledgements,
    ),
    isTrue("two members hold the same", facts.twoInStep, facts.twoInStep),
    isEqual("the logs of both are empty", entries(afterPruning), [0, 0]),
    isTrue(
      "their sync tables are under 1 MiB",
      bytes(afterPruning).every((size) => size < MIB),
      bytes(afterPruning),
    ),
    isTrue(
      "nothing is pruned that the third one lacks",
      whileAway.every(({ pruned, logEntries }) => pruned === 0 && logEntries >= changedMeanwhile),
      whileAway
        .map(({ pruned, logEntries }) => `${pruned} pruned, ${logEntries} kept for ${changedMeanwhile} changes`)
        .join("; "),
    ),
    isEqual(
      "it is named as the one that holds back",
      whileAway.map(({ heldBackBy }) => heldBackBy),
      [["c"], ["c"]],
    ),
    isTrue("it comes back and gets everything", facts.threeInStep, facts.threeInStep),
    isTrue(
      "by catching up, without another backfill",
      facts.backfillsOfThird === 1 && facts.recordsCaughtUp >= changedMeanwhile,
      `${facts.backfillsOfThird} backfill, ${facts.recordsCaughtUp} records caught up`,
    ),
    isEqual("then all logs are empty again", entries(facts.afterReturn), [0, 0, 0]),
    isTrue(
      "and the sync tables under 1 MiB",
      bytes(facts.afterReturn).every((size) => size < MIB),
      bytes(facts.afterReturn),
    ),
    isEqual(
      "a member that is silent for too long lapses",
      facts.lapsed.map(({ devices }) => devices),
      [["c"], ["c"]],
    ),
    isEqual(
      "and holds nobody back any more",
      facts.lapsed.map(({ logEntries }) => logEntries),
      [0, 0],
    ),
    isTrue("it returns, and all hold the same", facts.returnedInStep, facts.returnedInStep),
    isTrue(
      "under a new origin, with a backfill",
      facts.newOrigin && facts.backfillsOfReturned === 1,
      `${facts.newOrigin ? "a new" : "the same"} origin, ${facts.backfillsOfReturned} backfill`,
    ),
    isTrue("with the change that nobody had heard of", facts.unsentIsThere, facts.unsentIsThere),
    isEqual("after which all logs are empty once more", entries(facts.afterLapse), [0, 0, 0]),
    isTrue(
      "when it goes away for good, the others keep what it lacks",
      entries(facts.beforeRemoval).every((count) => count > 0),
      entries(facts.beforeRemoval),
    ),
    isEqual("until it is removed: then nobody waits for it", entries(facts.afterRemoval), [0, 0]),
  ];
}

function pruningFigures({ peak, afterPruning, whileAway }: PruningFacts): readonly Figure[] {
  return [
    {
      name: "log of a before pruning",
      value: `${formatCount(peak.logEntries)} entries, ${formatBytes(peak.countedBytes)}`,
    },
    {
      name: "sync tables after pruning, a and b",
      value: afterPruning.map((size) => formatBytes(size.countedBytes)).join(", "),
    },
    {
      name: "log entries kept for the third",
      value: whileAway.map(({ logEntries }) => formatCount(logEntries)).join(", "),
    },
  ];
}

async function sizeOf({ tidemark, dataSource }: InProcessDevice): Promise<SyncSize> {
  const maintenance: LogMaintenance = tidemark.services.get(logMaintenance);
  const { logEntries, bytes } = await maintenance.size();
  const [counted] = await dataSource.query<{ bytes: number }[]>(
    `SELECT sum(d.pgsize) AS bytes FROM dbstat d JOIN sqlite_schema s ON s.name = d.name
     WHERE s.tbl_name LIKE 'tidemark\\_%' ESCAPE '\\' AND d.aggregate = true`,
  );
  return { logEntries, bytes, countedBytes: counted!.bytes };
}

function controlOf({ tidemark }: InProcessDevice): AckPruningControl {
  return tidemark.services.get(ackPruningControl);
}

function prunedBy(device: InProcessDevice): number {
  return device.recordedOf("logPruned").reduce((sum, { stamps }) => sum + stamps, 0);
}

function receivedBy(device: InProcessDevice): number {
  return device.recordedOf("batchApplied").reduce((sum, { counts }) => sum + counts.applied, 0);
}

const PER_TRANSACTION = 1_000;
/** Numbers a content that no other step makes. */
const UNSENT = 1_000_000;

async function insertContents(dataSource: DataSource, from: number, to: number): Promise<void> {
  for (let first = from; first < to; first += PER_TRANSACTION) {
    const rows = Array.from({ length: Math.min(PER_TRANSACTION, to - first) }, (_, index) =>
      contentOfNumber(first + index),
    );
    await dataSource.transaction((manager) => manager.insert(ContentIdentity, rows));
  }
}

function contentOfNumber(number: number) {
  return contentOf({ hash: number.toString(16).padStart(64, "0"), size: number, kind: "binary" });
}

async function holds(dataSource: DataSource, uuid: string): Promise<boolean> {
  return (await dataSource.getRepository(ContentIdentity).countBy({ uuid })) === 1;
}

async function editEvery(dataSource: DataSource, nth: number, kind: string): Promise<void> {
  await dataSource.query("UPDATE content_identity SET kind = ? WHERE id % ? = 0", [kind, nth]);
}

async function editFirst(dataSource: DataSource, count: number, kind: string): Promise<void> {
  await dataSource.query("UPDATE content_identity SET kind = ? WHERE id <= ?", [kind, count]);
}
