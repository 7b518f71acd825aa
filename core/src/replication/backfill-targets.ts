import type { SyncModel } from "../registry/model.js";
import { waitingOf } from "../storage/waiting.js";
import { applyPage } from "./apply-batch.js";
import { covers } from "./backfill-plan.js";
import { type BackfillRecord, loadBackfill, saveBackfill } from "./backfill-store.js";
import { checkWireRecords } from "./decode-records.js";
import { replicationErrors } from "./errors.js";
import type { LocalLibrary } from "./local-library.js";
import type { FetchRecords } from "./restore.js";

/**
 * Fetches what the records of a backfill's page refer to and what has come to the server since its own range was taken in:
 * a folder that was made meanwhile, in whose place all that lies in it would be kept aside until the next catch-up, and
 * then come into its table in one long transaction. It only saves that: without it everything comes in the end.
 */
const RECORDS_PER_REQUEST = 500;
/** In one backfill. More than that is not what somebody has just made. */
const MOST_RECORDS = 2_000;

export interface FetchTargetsOptions {
  readonly library: LocalLibrary;
  /** Origin id. */
  readonly peer: string;
  readonly fetch: FetchRecords;
  /** Runs between two pages; rejects when the backfill is over. */
  readonly inTurn: (work: () => Promise<void>) => Promise<void>;
  /** What this backfill has asked for already. */
  readonly asked: Set<string>;
}

export async function fetchTargets(
  options: FetchTargetsOptions,
  {
    model,
    records,
  }: {
    /** Of the page that was applied. */
    readonly model: SyncModel;
    readonly records: readonly string[];
  },
): Promise<void> {
  const { library, asked } = options;
  let missing = missingTargets(library, new Map([[model, records]]));
  while (missing.size > 0) {
    const fetched = new Map<SyncModel, readonly string[]>();
    for (const [target, identities] of missing) {
      const fresh = identities.filter((identity) => !asked.has(`${target.number} ${identity}`));
      for (const identity of fresh) asked.add(`${target.number} ${identity}`);
      if (asked.size > MOST_RECORDS) return;
      for (let from = 0; from < fresh.length; from += RECORDS_PER_REQUEST) {
        const portion = fresh.slice(from, from + RECORDS_PER_REQUEST);
        await takeState(options, target, portion);
      }
      fetched.set(target, fresh);
    }
    // A folder may lie in one that is new as well.
    missing = missingTargets(library, fetched);
  }
}

/** What required references of these records lead to and is not here. */
function missingTargets(
  { deps: { connection, registry } }: LocalLibrary,
  records: ReadonlyMap<SyncModel, readonly string[]>,
): ReadonlyMap<SyncModel, readonly string[]> {
  const missing = new Map<SyncModel, Set<string>>();
  for (const [model, identities] of records) {
    for (const { targetModel, target, column } of waitingOf(connection, model.number, identities)) {
      const found = registry.byNumber.get(targetModel);
      if (found === undefined || model.columnByNumber.get(column)?.reference?.required !== true) continue;
      const targets = missing.get(found) ?? new Set();
      missing.set(found, targets.add(target));
    }
  }
  return new Map([...missing].map(([model, targets]) => [model, [...targets]]));
}

async function takeState(
  { library, peer, fetch, inTurn }: FetchTargetsOptions,
  model: SyncModel,
  wanted: readonly string[],
): Promise<void> {
  const answer = await fetch(model.name, wanted);
  const page = checkWireRecords(answer.records);
  const asked = new Set(wanted);
  if (!page.groups.every(({ m, r }) => m === model.name && r.every(([identity]) => asked.has(identity)))) {
    throw replicationErrors.malformed({ reason: "fetched records that nobody asked for" });
  }
  await inTurn(async () => {
    await applyPage(library, {
      peer,
      phase: "backfill",
      page,
      vectorMoves: false,
      settledTo: answer.floor,
      finish: (tx) => {
        const before = loadBackfill(tx.db);
        if (before === null) throw new Error("no backfill is under way");
        const record: BackfillRecord = { ...before, floor: Math.max(before.floor, answer.floor) };
        if (!covers(library, record, tx.self!)) throw replicationErrors.backfillOutdated();
        saveBackfill(tx.db, record);
      },
    });
  });
}
