import type { Clock, Logger, Random } from "@tidemark/plugin-api";
import { fromPhysicalMs } from "../clock/hybrid-logical-clock.js";
import type { EventBus } from "../kernel/event-bus.js";
import type { HookRunner } from "../kernel/hook-runner.js";
import type { ResolvedSettings } from "../kernel/resolved-settings.js";
import type { SyncModel, SyncRegistry } from "../registry/model.js";
import type { Checkpointer } from "../storage/checkpointer.js";
import type { Sqlite } from "../storage/database.js";
import type { Fence } from "../storage/fence.js";
import { LogTransaction } from "../storage/log-transaction.js";
import { type Members, saveMember } from "../storage/members.js";
import { nameAllocator } from "../storage/names.js";
import { outboxIsEmpty, outboxSpan } from "../storage/outbox.js";
import { parkedOf } from "../storage/parked.js";
import type { Pool } from "../storage/pool.js";
import type { RecordReader } from "../storage/record-reader.js";
import { noteSilence } from "../storage/silences.js";
import type { SlicePacer } from "../storage/slice-pacer.js";
import { prepared } from "../storage/statements.js";
import type { WriteJob, Writer } from "../storage/writer.js";
import type { Applier, ApplyResult } from "./apply.js";
import { checkWireRecords, type DecodedRecords, decodeRecords, namesIn } from "./decode-records.js";
import type { EncodeDeps } from "./encode-records.js";
import type { Fold, FoldResult } from "./fold.js";
import { FoldSlice } from "./fold-slice.js";
import { PlainLookup, type TableVersion } from "./target-lookup.js";

/**
 * This device's copy of the library: the one door to its storage for everything that replicates. It keeps the rule on
 * which all else rests: nothing is merged, read for sending, or promised while the outbox holds something.
 */
export interface LocalLibraryDeps {
  readonly connection: Sqlite;
  readonly writer: Writer;
  readonly fence: Fence;
  readonly checkpointer: Checkpointer;
  readonly pool: Pool;
  readonly pacer: SlicePacer;
  readonly registry: SyncRegistry;
  readonly reader: RecordReader;
  readonly members: Members;
  readonly applier: Applier;
  readonly fold: Fold;
  readonly rebuildTree: (db: Sqlite, model: SyncModel, changed: ReadonlySet<string> | "all") => void;
  readonly hooks: HookRunner;
  readonly events: EventBus;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly settings: ResolvedSettings;
}

/** Nothing is taken that claims to be from further ahead than this. */
const FUTURE_LIMIT_MS = 3_600_000;

/** For a decoding of which nothing is used. */
const NOBODY = { byOrigin: () => ({ num: 1 }) };

function nobodysNumbers() {
  let last = 0;
  const next = () => {
    last += 1;
    return last;
  };
  return { model: next, column: next };
}

export class LocalLibrary {
  readonly deps: LocalLibraryDeps;
  /** Whether a transform has resolved references, the last time that there were any. */
  resolvesReferences = false;
  #batches = 0;
  readonly #foldSlice: FoldSlice;
  #folding: Promise<void> | null = null;
  readonly #retry = new Set<SyncModel>();
  /** Whether the clock has moved in this run. */
  #hasSpoken = false;

  constructor(deps: LocalLibraryDeps) {
    this.deps = deps;
    this.#foldSlice = new FoldSlice(deps.settings.replication.pageRecords);
  }

  get encodeDeps(): EncodeDeps {
    return this.deps;
  }

  nextBatchId(): number {
    this.#batches += 1;
    return this.#batches;
  }

  /** Moves with every commit of another connection, and with every row that the kernel itself writes. */
  tableVersion(): TableVersion {
    const { connection, applier } = this.deps;
    return {
      dataVersion: prepared(connection, "PRAGMA data_version").pluck().get() as number,
      writes: applier.writes,
    };
  }

  /**
   * Runs `body` in a write transaction in which the outbox is empty. What was in it is folded first, in slices of their
   * own where it is much. `sent`: what it reads is about to leave this device, and its commit survives a power loss. `took`
   * is told how long the transaction held the loop, COMMIT included, but not the fold, which says nothing about `body`.
   */
  async write<T>(
    name: string,
    body: (tx: LogTransaction) => T,
    { sent = false, took }: { readonly sent?: boolean; readonly took?: (durationMs: number) => void } = {},
  ): Promise<T> {
    const { clock } = this.deps;
    for (;;) {
      let heldMs = 0;
      let foldedMs = 0;
      const outcome = await this.#transaction(
        name,
        (tx) => {
          const startedMs = clock.monotonicMs();
          const folded = this.#fold(tx);
          foldedMs = clock.monotonicMs() - startedMs;
          return folded.emptied ? { folded, result: body(tx) } : { folded, result: undefined as T };
        },
        {
          durable: sent && this.#foldsAtOnce(),
          took: (durationMs) => {
            heldMs = durationMs;
          },
        },
      );
      this.#tellFold(outcome.folded, 0);
      if (!outcome.folded.emptied) continue;
      took?.(heldMs - foldedMs);
      return outcome.result;
    }
  }

  /**
   * Folds whatever the outbox holds; resolves when it was empty at some moment after the call. `sent`: somebody is there to
   * whom the changes go at once. Then the fold itself survives a power loss, and sending needs no commit of its own.
   * `atOnce`: the caller has a turn of its own, and the first slice may run in it.
   */
  fold({ sent = false, atOnce = false }: { readonly sent?: boolean; readonly atOnce?: boolean } = {}): Promise<void> {
    this.#folding ??= this.#foldAll(sent, atOnce).finally(() => {
      this.#folding = null;
    });
    return this.#folding;
  }

  async #foldAll(sent: boolean, atOnce: boolean): Promise<void> {
    for (let first = true; !outboxIsEmpty(this.deps.connection); first = false) {
      const startedMs = this.deps.clock.monotonicMs();
      const folded = await this.#transaction("fold", (tx) => this.#fold(tx), {
        durable: sent && this.#foldsAtOnce(),
        atOnce: atOnce && first,
      });
      this.#tellFold(folded, this.deps.clock.monotonicMs() - startedMs);
      if (folded.emptied) return;
    }
  }

  /** Whether the next slice will leave nothing in the outbox: of several only the last has to survive a power loss. */
  #foldsAtOnce(): boolean {
    return outboxSpan(this.deps.connection) < this.#foldSlice.entries;
  }

  #fold(tx: LogTransaction): FoldResult {
    const folded = this.deps.fold.run(tx, this.#foldSlice.entries);
    this.#foldSlice.record(folded.emptied ? 0 : outboxSpan(tx.db));
    return folded;
  }

  /**
   * Reads something that is to leave this device: on a reader, or inside a write transaction when there is something to
   * fold first. `read` returns null when it found the outbox holding something.
   */
  async read<T>(holder: string, read: (db: Sqlite) => T | null): Promise<T> {
    const found = await this.deps.pool.withReader(holder, (db) => {
      db.exec("BEGIN");
      try {
        return read(db);
      } finally {
        db.exec("COMMIT");
      }
    });
    if (found !== null) return found;
    return await this.write(
      holder,
      (tx) => {
        const result = read(tx.db);
        if (result === null) throw new Error("the outbox holds something after it was folded");
        return result;
      },
      { sent: true },
    );
  }

  /** The latest time that is taken from a peer: further in the future than any clock may be off. */
  get maxHlc(): number {
    return fromPhysicalMs(this.deps.clock.now() + FUTURE_LIMIT_MS);
  }

  /** Names, origins and values of a received page, checked; unknown names are stored first. */
  async decode(input: unknown): Promise<DecodedRecords> {
    const { connection, members, registry } = this.deps;
    const page = checkWireRecords(input);
    const { origins, models } = namesIn(page);
    const unknownOrigins = origins.filter(([origin]) => members.byOrigin(origin) === undefined);
    const unknownNames = models.filter(({ name, columns }) => {
      const model = registry.byName.get(name);
      return model === undefined || columns.some((column) => !model.columnByName.has(column));
    });
    const { maxHlc } = this;
    if (unknownOrigins.length > 0 || unknownNames.length > 0) {
      // Once without the names, so that a page that is refused leaves nothing of them behind.
      decodeRecords(page, { registry, members: NOBODY, numbers: nobodysNumbers(), maxHlc });
      await this.#transaction("names", ({ db }) => {
        for (const [origin, deviceId, name] of unknownOrigins) {
          saveMember(db, { origin, deviceId, name, joinHlc: null, sponsor: null });
        }
        const numbers = nameAllocator(db);
        for (const { name, columns } of unknownNames) {
          const number = numbers.model(name);
          for (const column of columns) numbers.column(number, column);
        }
        members.load(db);
      });
    }
    return decodeRecords(page, { registry, members, numbers: nameAllocator(connection), maxHlc });
  }

  /** Quarantined rows of these models may fit now; they are tried in a turn of their own. */
  retryQuarantined(models: readonly SyncModel[]): void {
    const { clock, logger } = this.deps;
    const fresh = models.filter((model) => !this.#retry.has(model));
    const worth = fresh.filter((model) => this.#worthATry("quarantined", model).length > 0);
    if (worth.length === 0) return;
    for (const model of worth) this.#retry.add(model);
    clock.setImmediate(() => {
      for (const model of worth) this.#retry.delete(model);
      this.retryParked("quarantined", worth).catch((error: unknown) => {
        logger.warn("Quarantined records could not be tried again", { error });
      });
    });
  }

  /** Tries parked records of one kind again; returns how many entered their table. */
  async retryParked(kind: "quarantined" | "deferred", models: readonly SyncModel[]): Promise<number> {
    let healed = 0;
    for (const model of models) {
      const records = this.#worthATry(kind, model);
      for (let from = 0; from < records.length; from += this.deps.pacer.size) {
        const slice = records.slice(from, from + this.deps.pacer.size);
        const outcome = await this.write(`retry ${kind} ${model.name}`, (tx) => this.#reconsider(tx, model, slice));
        for (const record of outcome.healed) this.deps.events.emit("recordHealed", record);
        healed += outcome.healed.length;
      }
    }
    return healed;
  }

  /** What a plugin rejected comes in by itself only when no plugin looks at batches any more. */
  #worthATry(kind: "quarantined" | "deferred", model: SyncModel): readonly string[] {
    const { connection, hooks } = this.deps;
    return parkedOf({ db: connection, kind, model: model.number, rejectedToo: !hooks.transformsBatches });
  }

  #reconsider(tx: LogTransaction, model: SyncModel, records: readonly string[]): ApplyResult {
    return this.deps.applier.reconsider({
      tx,
      records: records.map((record) => ({ model, record })),
      lookup: new PlainLookup(this.deps.reader),
    });
  }

  /** A write transaction with the log's shared state, saved at its end; a rollback forgets what memory had taken up. */
  async #transaction<T>(
    name: string,
    body: (tx: LogTransaction) => T,
    options: Pick<WriteJob<T>, "durable" | "atOnce" | "took"> = {},
  ): Promise<T> {
    const { writer, clock, members } = this.deps;
    try {
      const { result, moved } = await writer.run({
        name,
        ...options,
        body: (db) => {
          const tx = new LogTransaction(db, () => clock.now());
          const result = body(tx);
          if (!this.#hasSpoken) noteSilence(tx);
          tx.save();
          return { result, moved: tx.firstMove !== null };
        },
      });
      this.#hasSpoken ||= moved;
      return result;
    } catch (error) {
      if (this.deps.connection.open) members.load(this.deps.connection);
      throw error;
    }
  }

  #tellFold(folded: FoldResult, durationMs: number): void {
    const { events } = this.deps;
    if (folded.entries > 0) {
      events.emit("changesFolded", { entries: folded.entries, stamps: folded.stamps, durationMs });
    }
    for (const refused of folded.refused) {
      events.emit("changeRefused", refused);
      events.emit("journalEntryAdded", { kind: "refused-change", model: refused.model, record: refused.record });
    }
    if (folded.touched.length > 0) this.retryQuarantined(folded.touched);
  }
}
