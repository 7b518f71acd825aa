import type { AppliedBatch, BatchTargets, Operation, OperationReference, ReplicationPhase } from "@tidemark/plugin-api";
import { fromPhysicalMs } from "../clock/hybrid-logical-clock.js";
import { createBatch } from "../kernel/batch.js";
import type { SyncModel } from "../registry/model.js";
import { defer, deferredDue, nextDue } from "../storage/deferred.js";
import { type LogTransaction, readState } from "../storage/log-transaction.js";
import type { Members } from "../storage/members.js";
import { REJECTED } from "../storage/parked.js";
import type { LocalKey } from "../storage/row-writer.js";
import { loadVector, type Vector } from "../storage/vectors.js";
import type { ApplyResult } from "./apply.js";
import { applyForeign } from "./apply-foreign.js";
import { Slices } from "./apply-slices.js";
import { addCounts, type MutableCounts, totalOf } from "./batch-counts.js";
import type { DecodedRecords } from "./decode-records.js";
import { replicationErrors } from "./errors.js";
import { isNews, recordOf, splitFuture } from "./future-page.js";
import type { ForeignRecord, IncomingRecord } from "./incoming.js";
import type { LocalLibrary } from "./local-library.js";
import { NewcomersRefused } from "./newcomers-refused.js";
import { beyondFloor, isLiving, newsOf, type RecordState, type Stamp, withoutOldDeath } from "./record-state.js";
import { recordsOf, type SettledBlock } from "./settled-block.js";
import { PlainLookup, ResolvedLookup, type TargetLookup } from "./target-lookup.js";
import type { WireDictionary } from "./wire-block.js";
import type { WireRecords } from "./wire-records.js";
import type { WorkingRecord } from "./working-set.js";

/**
 * The way of a received page into the tables: names, decoding, `beforeApplyBatch`, then slices of one transaction each, of
 * which the last also runs `finish`: whatever has to commit together with the page (a cursor, a vector). After the last
 * commit `afterBatch` and the event tell what became of it.
 */
export interface ReceivedPage {
  /** Origin id of the sender. */
  readonly peer: string;
  readonly phase: ReplicationPhase;
  readonly page: WireRecords;
  /** Runs in the transaction of the last slice, after the records, of which `inserted` were new here and went the short way. */
  readonly finish: (tx: LogTransaction, inserted: number) => void;
  /** What came has made this device stamp something itself, which the sender lacks, too. */
  readonly stamped?: () => void;
  readonly vectorMoves: boolean;
  /** Up to where the sender has heard of this device, where it tells with the page. */
  readonly heard?: number;
  /** Sees the records of each slice in its transaction, before they are merged. */
  readonly inspect?: (tx: LogTransaction, records: readonly IncomingRecord[]) => void;
  /**
   * The rows here have been damaged: the values of the page stand wherever its stamps are as new as those here, or the
   * sender, whose floor is told, has forgotten them.
   */
  readonly restores?: { readonly floor: number };
  /** Of a backfill: up to where the sender has forgotten what everybody has. */
  readonly settledTo?: number;
  /** The page was counted as had before, and its time has come now. */
  readonly wasDeferred?: boolean;
}

export async function applyPage(library: LocalLibrary, received: ReceivedPage): Promise<AppliedBatch> {
  const { deps } = library;
  const startedMs = deps.clock.monotonicMs();
  const backfill = received.phase === "backfill";
  const ties = received.restores ? "all" : backfill ? "unstamped" : "none";
  const { wasDeferred = false, heard } = received;
  const decoded = await library.decode(received.page);
  // What is put back was merged before: the own clock has passed it, though the wall clock may have been set back since.
  const passed = received.restores === undefined ? 0 : readState(deps.connection).hlc;
  const limit = Math.max(fromPhysicalMs(deps.clock.now() + deps.settings.clock.maxDriftMs), passed);
  const { present, future } = wasDeferred ? { present: received.page, future: [] } : splitFuture(received.page, limit);
  const taken = future.length === 0 ? decoded : await library.decode(present);
  // Whoever wants to see the records, or merges them otherwise, gets them one by one.
  const asBlocks = backfill && !wasDeferred && received.inspect === undefined && received.restores === undefined;
  // In a backfill the past of such a record takes the place of what is here from before the join: it is no edit, and
  // would win against nothing later.
  const pasts = backfill && !wasDeferred ? future.flatMap(({ present: past }) => (past === null ? [] : [past])) : [];
  const past = (
    await Promise.all(
      pasts.map(async ({ page, late }) =>
        allRecords(await library.decode(page)).map((record) => ({ ...record, late })),
      ),
    )
  ).flat();
  const plain = new PlainLookup(deps.reader);
  const { records, blocks, lookup, withheld, batchId } = await resolve(
    library,
    received,
    asBlocks ? taken : { records: allRecords(taken), blocks: [] },
    plain,
  );

  const models = new Map<string, MutableCounts>();
  const slices = new Slices(records, blocks);
  let inserted = 0;
  do {
    // The first slice takes what is small beside the records themselves.
    const first = slices.atBeginning;
    const slice = slices.next(deps.pacer.size);
    const last = slices.atEnd;
    await deps.checkpointer.room();
    let followers: readonly IncomingRecord[] = [];
    let stamped = false;
    const take = (tx: LogTransaction, shortWay: boolean) => {
      const sliceStart = deps.clock.monotonicMs();
      if (!wasDeferred) refuseRemoved(library, received.peer);
      if (lookup instanceof ResolvedLookup) lookup.recheck(tx.db, library.tableVersion());
      const { settledTo = 0, restores } = received;
      const common = { tx, lookup, backfill, ties, settledTo, forgotten: restores?.floor ?? 0, shortWay } as const;
      let outcome: ApplyResult;
      if (slice.block !== null) {
        outcome = deps.applier.applyBlock({ ...common, ...slice });
      } else {
        const isForgotten = forgottenBy(tx, deps.members);
        const told = withStates(slice.records, (state) =>
          wasDeferred ? withoutOldDeath(beyondFloor(state, isForgotten), isForgotten) : beyondFloor(state, isForgotten),
        );
        const news = backfill || wasDeferred ? told : withoutKnown(told, ownEntries(tx));
        followers = backfill || wasDeferred ? [] : behindDeferred(tx, news);
        const records = followers.length === 0 ? news : news.filter((record) => !followers.includes(record));
        received.inspect?.(tx, records);
        outcome = deps.applier.apply({
          ...common,
          records,
          withheld,
          sender: heard === undefined ? undefined : { member: deps.members.byOrigin(received.peer)!.num, heard },
        });
        if (news.length < slice.records.length) countKnown(models, slice.records, news);
      }
      if (lookup instanceof ResolvedLookup) lookup.follow(library.tableVersion());
      if (first && taken.foreign.length > 0)
        applyForeign({
          tx,
          records: filterForeign(taken.foreign, backfill || wasDeferred, tx, deps.members),
          members: deps.members,
          now: deps.clock.now(),
          backfill,
        });
      for (const { model, record } of followers) {
        const { due, page } = recordOf(present, model.name, record);
        defer(tx, Math.max(due, deferredDue(tx.db, model.name, record)!), page);
      }
      if (last) {
        const overwriting = past.filter(
          ({ model, record }) => model.localKey !== null && deps.reader.localKeyOf(tx.db, model, record) !== null,
        );
        if (overwriting.length > 0) {
          received.inspect?.(tx, overwriting);
          deps.applier.apply({ ...common, shortWay: false, records: overwriting });
        }
        for (const { due, page } of future) if (backfill || isUnheard(tx, page, deps.members)) defer(tx, due, page);
        received.finish(tx, inserted + outcome.inserted);
      }
      stamped = tx.ticked;
      deps.pacer.record({ records: slice.size, durationMs: deps.clock.monotonicMs() - sliceStart });
      return outcome;
    };
    const name = `apply from ${received.peer}`;
    const result = await library
      .write(name, (tx) => take(tx, true))
      .catch((error: unknown) => {
        if (error instanceof NewcomersRefused) return library.write(name, (tx) => take(tx, false));
        throw error;
      });
    if (stamped) received.stamped?.();
    for (const [name, counts] of result.models) addCounts(models, name, counts);
    for (const { model } of followers) addCounts(models, model.name, { deferred: 1 });
    for (const record of result.healed) deps.events.emit("recordHealed", record);
    if (result.anyQuarantined) library.retryQuarantined([...result.touched.keys()]);
    inserted += result.inserted;
  } while (!slices.atEnd);

  for (const { page } of future) {
    addCounts(models, page.groups[0]!.m, { deferred: 1 });
  }
  const applied: AppliedBatch = {
    id: batchId,
    peer: received.peer,
    phase: received.phase,
    counts: totalOf(models),
    models: Object.fromEntries(models),
    durationMs: deps.clock.monotonicMs() - startedMs,
    referenceLookups: plain.lookups,
    vectorMoved: received.vectorMoves,
  };
  deps.events.emit("batchApplied", applied);
  await deps.hooks.observeBatch(applied);
  return applied;
}

/** What comes from a member after its removal was known would reach some of the others and not all. */
function refuseRemoved({ deps: { members } }: LocalLibrary, peer: string): void {
  const sender = members.byOrigin(peer);
  if (sender?.removal) throw replicationErrors.memberRemoved({ device: sender.deviceId, self: false });
}

/** All of them one by one; their places are the ids of their operations. */
function allRecords({ records, blocks }: Pick<DecodedRecords, "records" | "blocks">): readonly IncomingRecord[] {
  return blocks.length === 0 ? records : [...records, ...blocks.flatMap((block) => recordsOf(block))];
}

/** Asks the transforms, if there are any, and takes over what they found out and what they withhold. */
async function resolve(
  library: LocalLibrary,
  received: ReceivedPage,
  { records, blocks }: Pick<DecodedRecords, "records" | "blocks">,
  plain: PlainLookup,
): Promise<{
  readonly records: readonly IncomingRecord[];
  readonly blocks: readonly SettledBlock[];
  readonly lookup: TargetLookup;
  readonly withheld: (record: IncomingRecord) => WorkingRecord["withheld"];
  readonly batchId: number;
}> {
  const { deps } = library;
  const batchId = library.nextBatchId();
  const none = records.length === 0 && blocks.length === 0;
  if (!deps.hooks.transformsBatches || none) return { records, blocks, lookup: plain, withheld: () => null, batchId };
  const version = library.tableVersion();
  const answer = await deps.hooks.transformBatch(
    createBatch({
      id: batchId,
      peer: received.peer,
      phase: received.phase,
      operations: () => allRecords({ records, blocks }).map(toOperation),
      targets: () => targetsOf(records, blocks),
    }),
  );
  const resolved = new Map<SyncModel, Map<string, LocalKey | null>>();
  for (const [targetModel, outcomes] of answer.resolutions) {
    // A transform may name models of its own invention; nobody asks for those.
    const model = deps.registry.byName.get(targetModel);
    if (model === undefined) continue;
    const keys = new Map<string, LocalKey | null>();
    for (const [identity, resolution] of outcomes) {
      keys.set(identity, resolution.kind === "found" ? resolution.localKey : null);
    }
    resolved.set(model, keys);
  }
  // A batch without references says nothing about whether somebody resolves them. Operations are not made to find out.
  if (records.some(refersToSomething) || blocks.some(blockRefersToSomething))
    library.resolvesReferences = resolved.size > 0;
  // Where some are to be withheld, they are told apart one by one.
  const apart = answer.deferred.length > 0 || answer.rejected.length > 0;
  const all = apart ? allRecords({ records, blocks }) : records;
  const named = new Map<IncomingRecord, NonNullable<WorkingRecord["withheld"]>>();
  for (const { id, reason } of answer.deferred) named.set(all[id]!, { kind: "deferred", reason });
  for (const { id, reason } of answer.rejected) named.set(all[id]!, { kind: "quarantined", reason: REJECTED + reason });
  return {
    records: all,
    blocks: apart ? [] : blocks,
    lookup: library.resolvesReferences ? new ResolvedLookup({ reader: deps.reader, plain, resolved, version }) : plain,
    withheld: (record) => named.get(record) ?? null,
    batchId,
  };
}

function toOperation(record: IncomingRecord, id: number): Operation {
  const values: Record<string, Operation["values"][string]> = {};
  const references: OperationReference[] = [];
  record.model.columns.forEach((column, index) => {
    const value = record.values[index];
    if (value === undefined) return;
    values[column.name] = value;
    if (column.reference === null || typeof value !== "string") return;
    references.push({
      column: column.name,
      targetModel: column.reference.target.name,
      identity: value,
      required: column.reference.required,
    });
  });
  return {
    id,
    model: record.model.name,
    record: record.record,
    kind: isDelete(record) ? "delete" : "upsert",
    values: Object.freeze(values),
    references,
  };
}

function refersToSomething(record: IncomingRecord): boolean {
  const { columns, references } = record.model;
  return !isDelete(record) && references.some((column) => typeof record.values[columns.indexOf(column)] === "string");
}

function isDelete({ state }: IncomingRecord): boolean {
  return !isLiving(state) && state.death.hlc > 0;
}

/** Where the references of the records go, without making operations of them. */
function targetsOf(records: readonly IncomingRecord[], blocks: readonly SettledBlock[]): readonly BatchTargets[] {
  const targets = new Map<SyncModel, Map<string, number>>();
  const referencesTo = (target: SyncModel): Map<string, number> => {
    let references = targets.get(target);
    if (references === undefined) {
      references = new Map();
      targets.set(target, references);
    }
    return references;
  };
  const referring = records.filter((record) => record.model.references.length > 0 && !isDelete(record));
  for (const { model, values } of referring) {
    for (const column of model.references) {
      const identity = values[model.columns.indexOf(column)];
      if (typeof identity !== "string") continue;
      const references = referencesTo(column.reference!.target);
      references.set(identity, (references.get(identity) ?? 0) + 1);
    }
  }
  for (const { model, columns } of blocks) {
    model.columns.forEach((column, index) => {
      if (column.reference === null) return;
      const { values, at } = columns[index] as WireDictionary;
      const counts = new Uint32Array(values.length + 1);
      for (const place of at) counts[place]! += 1;
      const references = referencesTo(column.reference.target);
      values.forEach((identity, place) => {
        const known = references.get(identity as string) ?? 0;
        references.set(identity as string, known + counts[place + 1]!);
      });
    });
  }
  const inBatch = new Map([...targets.keys()].map((model) => [model, new Set<string>()]));
  const arrives = (model: SyncModel, record: string) => {
    if (targets.get(model)?.has(record)) inBatch.get(model)!.add(record);
  };
  for (const { model, record } of records) arrives(model, record);
  for (const { model, identities } of blocks) {
    if (targets.has(model)) for (const identity of identities) arrives(model, identity);
  }
  return [...targets]
    .filter(([, references]) => references.size > 0)
    .map(([model, references]) => ({ targetModel: model.name, references, inBatch: inBatch.get(model)! }));
}

function blockRefersToSomething({ columns, model }: SettledBlock): boolean {
  return model.columns.some(
    (column, index) => column.reference !== null && (columns[index] as WireDictionary).values.length > 0,
  );
}

/** Records that the vector covers wholly count as superseded. */
function countKnown(
  models: Map<string, MutableCounts>,
  slice: readonly IncomingRecord[],
  news: readonly IncomingRecord[],
): void {
  const left = new Set(news.map((record) => `${record.model.number} ${record.record}`));
  for (const { model, record } of slice) {
    if (left.has(`${model.number} ${record}`)) continue;
    addCounts(models, model.name, { superseded: 1 });
  }
}

/** Everything that is here. Of itself a device has all up to its clock, of which the stored vector says nothing. */
function ownEntries(tx: LogTransaction): Vector {
  return loadVector(tx.db, tx.self!).set(tx.self!, tx.highWater);
}

/**
 * Changes of records of which something is kept for later. They have to wait behind it: without a creation that is still
 * to come, an edit would seem to be one of a dead record.
 */
function behindDeferred(tx: LogTransaction, records: readonly IncomingRecord[]): readonly IncomingRecord[] {
  if (nextDue(tx.db) === null) return [];
  return records.filter(({ model, record }) => deferredDue(tx.db, model.name, record) !== null);
}

/** Whether a page holds anything that the own vector does not cover. */
function isUnheard(tx: LogTransaction, page: WireRecords, members: Members): boolean {
  const own = ownEntries(tx);
  return isNews(page, (origin) => own.get(members.byOrigin(origin)?.num ?? 0) ?? 0);
}

/** Drops what the own vector covers: it has been merged before, and what superseded it may have been pruned since. */
function withoutKnown(records: readonly IncomingRecord[], vector: Vector): readonly IncomingRecord[] {
  return withStates(records, (state) => newsOf(state, beyond(vector)));
}

/** What lies at or below the floor is forgotten here; but what a removed member has left behind is still to be stamped anew. */
function forgottenBy({ floor }: LogTransaction, members: Members): (stamp: Stamp) => boolean {
  return (stamp) => stamp.hlc > 0 && stamp.hlc <= floor && !members.isLate(stamp);
}

function beyond(vector: Vector): (stamp: Stamp) => boolean {
  return (stamp) => stamp.hlc > (vector.get(stamp.origin) ?? 0);
}

/** The records with other states, without those that are left with none. */
function withStates(
  records: readonly IncomingRecord[],
  change: (state: RecordState) => RecordState | null,
): readonly IncomingRecord[] {
  const changed: IncomingRecord[] = [];
  for (const record of records) {
    const state = change(record.state);
    if (state !== null) changed.push(state === record.state ? record : { ...record, state });
  }
  return changed;
}

function filterForeign(
  foreign: readonly ForeignRecord[],
  backfill: boolean,
  tx: LogTransaction,
  members: Members,
): readonly ForeignRecord[] {
  if (backfill) return foreign;
  const vector = ownEntries(tx);
  return foreign.flatMap((record) => {
    const state = newsOf(beyondFloor(record.state, forgottenBy(tx, members)), beyond(vector));
    return state === null ? [] : [{ ...record, state }];
  });
}
