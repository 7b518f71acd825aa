import type { AppliedBatch, BatchTargets, Operation, OperationReference, ReplicationPhase } from "@tidemark/plugin-api";
import { fromPhysicalMs } from "../clock/hybrid-logical-clock.js";
import { createBatch } from "../kernel/batch.js";
import type { SyncModel } from "../registry/model.js";
import { defer } from "../storage/deferred.js";
import type { LogTransaction } from "../storage/log-transaction.js";
import type { Members } from "../storage/members.js";
import { REJECTED } from "../storage/parked.js";
import type { LocalKey } from "../storage/row-writer.js";
import { loadVector, type Vector } from "../storage/vectors.js";
import { applyForeign } from "./apply-foreign.js";
import { addCounts, type MutableCounts, totalOf } from "./batch-counts.js";
import { replicationErrors } from "./errors.js";
import { isNews, splitFuture } from "./future-page.js";
import type { ForeignRecord, IncomingRecord } from "./incoming.js";
import type { LocalLibrary } from "./local-library.js";
import { NewcomersRefused } from "./newcomers.js";
import { beyondFloor, isLiving, newsOf, type RecordState, type Stamp } from "./record-state.js";
import { PlainLookup, ResolvedLookup, type TargetLookup } from "./target-lookup.js";
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
  /** Runs in the transaction of the last slice, after the records. */
  readonly finish: (tx: LogTransaction) => void;
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
  const limit = fromPhysicalMs(deps.clock.now() + deps.settings.clock.maxDriftMs);
  const { present, future } = wasDeferred ? { present: received.page, future: [] } : splitFuture(received.page, limit);
  const { records, foreign } = future.length === 0 ? decoded : await library.decode(present);
  const plain = new PlainLookup(deps.reader);
  const { lookup, withheld, batchId } = await resolve(library, received, records, plain);

  const models = new Map<string, MutableCounts>();
  let next = 0;
  do {
    // The first slice takes what is small beside the records themselves.
    const first = next === 0;
    const slice = records.slice(next, next + deps.pacer.size);
    const last = next + slice.length >= records.length;
    await deps.checkpointer.room();
    const take = (tx: LogTransaction, shortWay: boolean) => {
      const sliceStart = deps.clock.monotonicMs();
      if (!wasDeferred) refuseRemoved(library, received.peer);
      if (lookup instanceof ResolvedLookup) lookup.recheck(tx.db, library.tableVersion());
      const told = withStates(slice, (state) => beyondFloor(state, forgottenBy(tx, deps.members)));
      const news = backfill || wasDeferred ? told : withoutKnown(told, ownEntries(tx));
      received.inspect?.(tx, news);
      const outcome = deps.applier.apply({
        tx,
        records: news,
        lookup,
        backfill,
        ties,
        forgotten: received.restores?.floor ?? 0,
        withheld,
        shortWay,
        sender: heard === undefined ? undefined : { member: deps.members.byOrigin(received.peer)!.num, heard },
      });
      if (lookup instanceof ResolvedLookup) lookup.follow(library.tableVersion());
      if (first && foreign.length > 0)
        applyForeign({
          tx,
          records: filterForeign(foreign, backfill || wasDeferred, tx, deps.members),
          members: deps.members,
          now: deps.clock.now(),
          backfill,
        });
      if (last) {
        for (const { due, page } of future) if (backfill || isUnheard(tx, page, deps.members)) defer(tx, due, page);
        received.finish(tx);
      }
      deps.pacer.record({ records: slice.length, durationMs: deps.clock.monotonicMs() - sliceStart });
      if (news.length < slice.length) countKnown(models, slice, news);
      return outcome;
    };
    const name = `apply from ${received.peer}`;
    const result = await library
      .write(name, (tx) => take(tx, true))
      .catch((error: unknown) => {
        if (error instanceof NewcomersRefused) return library.write(name, (tx) => take(tx, false));
        throw error;
      });
    for (const [name, counts] of result.models) addCounts(models, name, counts);
    for (const record of result.healed) deps.events.emit("recordHealed", record);
    library.retryQuarantined([...result.touched.keys()]);
    next += slice.length;
    if (last) break;
  } while (next < records.length);

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

/** Asks the transforms, if there are any, and takes over what they found out and what they withhold. */
async function resolve(
  library: LocalLibrary,
  received: ReceivedPage,
  records: readonly IncomingRecord[],
  plain: PlainLookup,
): Promise<{
  readonly lookup: TargetLookup;
  readonly withheld: (record: IncomingRecord) => WorkingRecord["withheld"];
  readonly batchId: number;
}> {
  const { deps } = library;
  const batchId = library.nextBatchId();
  if (!deps.hooks.transformsBatches || records.length === 0) {
    return { lookup: plain, withheld: () => null, batchId };
  }
  const version = library.tableVersion();
  const answer = await deps.hooks.transformBatch(
    createBatch({
      id: batchId,
      peer: received.peer,
      phase: received.phase,
      operations: () => records.map(toOperation),
      targets: () => targetsOf(records),
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
  if (records.some(refersToSomething)) library.resolvesReferences = resolved.size > 0;
  const named = new Map<IncomingRecord, NonNullable<WorkingRecord["withheld"]>>();
  for (const { id, reason } of answer.deferred) named.set(records[id]!, { kind: "deferred", reason });
  for (const { id, reason } of answer.rejected)
    named.set(records[id]!, { kind: "quarantined", reason: REJECTED + reason });
  return {
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
function targetsOf(records: readonly IncomingRecord[]): readonly BatchTargets[] {
  const targets = new Map<SyncModel, Map<string, number>>();
  const referring = records.filter((record) => record.model.references.length > 0 && !isDelete(record));
  for (const { model, values } of referring) {
    for (const column of model.references) {
      const identity = values[model.columns.indexOf(column)];
      if (typeof identity !== "string") continue;
      const { target } = column.reference!;
      let references = targets.get(target);
      if (references === undefined) {
        references = new Map();
        targets.set(target, references);
      }
      references.set(identity, (references.get(identity) ?? 0) + 1);
    }
  }
  const inBatch = new Map([...targets.keys()].map((model) => [model, new Set<string>()]));
  for (const { model, record } of records) if (targets.get(model)?.has(record)) inBatch.get(model)!.add(record);
  return [...targets].map(([model, references]) => ({
    targetModel: model.name,
    references,
    inBatch: inBatch.get(model)!,
  }));
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
