import {
  backfillScheduler,
  isTidemarkError,
  type ParkedKind,
  type PoolPressure,
  type Transport,
} from "@tidemark/plugin-api";
import type { BetterSqlite3DataSourceOptions } from "typeorm/driver/better-sqlite3/BetterSqlite3DataSourceOptions.js";
import { physicalMs } from "../clock/hybrid-logical-clock.js";
import { examine } from "../doctor/doctor.js";
import type { Diagnosis } from "../kernel/diagnosis.js";
import type {
  Engine,
  EngineDeps,
  JournalEntry,
  JournalQuery,
  KernelServices,
  ModelDigest,
  PeerStatus,
  RemovalStatus,
  SyncStatus,
} from "../kernel/engine.js";
import type { ResetOptions } from "../kernel/reset-options.js";
import type { Verification, VerifyOptions } from "../kernel/verification.js";
import { EntityDeclarations } from "../registry/declarations.js";
import type { SyncRegistry } from "../registry/model.js";
import { resolveRegistry } from "../registry/resolve.js";
import { installCapture, verifyCapture } from "../storage/capture.js";
import { captureGuard } from "../storage/capture-guard.js";
import { planCapture } from "../storage/capture-plan.js";
import { Checkpointer } from "../storage/checkpointer.js";
import { CommitHints } from "../storage/commit-hints.js";
import { applicationConnection, openReaderConnection, openWriterConnection, type Sqlite } from "../storage/database.js";
import { rebuildTrees } from "../storage/derived-tree.js";
import { digestModel } from "../storage/digest.js";
import { Fence } from "../storage/fence.js";
import { Gate } from "../storage/gate.js";
import { readJournal } from "../storage/journal.js";
import { readState } from "../storage/log-transaction.js";
import { type Member, Members } from "../storage/members.js";
import { nameAllocator } from "../storage/names.js";
import { outboxSize } from "../storage/outbox.js";
import { Pool } from "../storage/pool.js";
import { RecordReader } from "../storage/record-reader.js";
import { removeSyncTables } from "../storage/reset.js";
import { migrateSyncTables } from "../storage/schema.js";
import { SlicePacer } from "../storage/slice-pacer.js";
import { syncTableBytes } from "../storage/sync-bytes.js";
import { noteUnseen } from "../storage/unseen.js";
import { Writer } from "../storage/writer.js";
import { adoptSchema } from "./adopt-schema.js";
import { Applier } from "./apply.js";
import { loadBackfill } from "./backfill-store.js";
import { replicationErrors } from "./errors.js";
import { Fold } from "./fold.js";
import { peersOf, recordKeysOf, syncFiguresOf } from "./kernel-services.js";
import { LateReferences } from "./late-references.js";
import { LocalLibrary } from "./local-library.js";
import { logMaintenanceOf } from "./log-maintenance.js";
import { newId } from "./membership.js";
import { GIVEN_UP } from "./peer-store.js";
import { removeMembers } from "./removals.js";
import { Replicator } from "./replicator.js";
import { leaveForReset } from "./returning.js";
import { waitedFor } from "./settling.js";
import { UnseenWrites } from "./unseen-writes.js";
import { verifyWith } from "./verify.js";

/** An application that has used its database within this time is at work, and shares the event loop. */
const ACTIVE_MS = 250;

/** Errors of a request after which the session is of no use. */
const BROKEN: ReadonlySet<string> = new Set([
  "TIDEMARK_WIRE_MALFORMED",
  "TIDEMARK_WIRE_BAD_VALUE",
  "TIDEMARK_PEER_TIMED_OUT",
]);

/**
 * Storage and replication, put together: opens the database, installs capture, and keeps the transports fed. One engine
 * serves one kernel, from one start to one stop.
 */
export class SyncEngine implements Engine {
  readonly #deps: EngineDeps;
  readonly #closers: (() => void | Promise<void>)[] = [];
  #open: OpenEngine | null = null;
  #paused = false;
  #schemaVersion = 0;
  /** How often pressure on the pool has ended. */
  #reliefs = 0;

  constructor(deps: EngineDeps) {
    this.#deps = deps;
  }

  get services(): KernelServices {
    return this.#opened().services;
  }

  async start(): Promise<void> {
    const { dataSource, clock, logger, settings, events, hooks, random } = this.#deps;
    const connection = await openWriterConnection({ dataSource, clock });
    this.#closers.push(() => {
      connection.close();
    });
    if (!dataSource.isInitialized) {
      await dataSource.initialize();
      this.#closers.push(() => dataSource.destroy());
    }
    const gate = new Gate({ guard: captureGuard, logger });
    const application = applicationConnection(dataSource);
    application.pragma("recursive_triggers = ON");
    const watch = gate.watch(application);
    this.#closers.push(() => watch.dispose());

    let activeMs = Number.NEGATIVE_INFINITY;
    const activity = gate.onActivity(() => {
      activeMs = clock.monotonicMs();
    });
    this.#closers.push(() => activity.dispose());
    const pacer = new SlicePacer({
      targetMs: settings.storage.sliceMs,
      shares: () => clock.monotonicMs() - activeMs < ACTIVE_MS,
    });
    const pool = new Pool({
      clock,
      size: settings.pool.size,
      acquireTimeoutMs: settings.pool.acquireTimeoutMs,
      openReader: () => openReaderConnection({ dataSource, clock }),
      observer: {
        onAcquired: (event) => events.emit("leaseAcquired", event),
        onReleased: (event) => events.emit("leaseReleased", event),
        onTimedOut: (event) => events.emit("leaseTimedOut", event),
        onChanged: (event) => events.emit("poolChanged", event),
        onPressure: (pressure) => this.#onPressure(pressure, pacer, writer),
        onRelieved: () => {
          this.#reliefs++;
          pacer.advise({});
          writer.setPacing({});
        },
      },
    });
    this.#closers.push(() => pool.close());
    const writer = new Writer({
      connection,
      gate,
      clock,
      logger,
      account: pool.writerAccount,
      acquireTimeoutMs: settings.pool.acquireTimeoutMs,
    });
    this.#closers.push(() => writer.close());
    const fence = new Fence({ writer });
    const { database, key, driver } = dataSource.options as BetterSqlite3DataSourceOptions;
    const checkpointer = new Checkpointer({
      path: database,
      key,
      ownDriver: driver !== undefined,
      connections: [connection, application],
      clock,
      logger,
    });
    const commits = writer.onCommitted(() => checkpointer.committed());
    this.#closers.push(() => {
      commits.dispose();
      return checkpointer.close();
    });
    const registry = await this.#prepare(writer);
    const members = new Members();
    members.load(connection);
    const reader = new RecordReader({ registry });
    const rebuildTree = (db: Sqlite, model: SyncRegistry["models"][number], changed: ReadonlySet<string> | "all") =>
      rebuildTrees({ db, model, changed: changed === "all" ? "all" : [...changed] });
    const late = new LateReferences({ registry, reader, members });
    const applier = new Applier({ registry, reader, members, late, now: () => clock.now(), rebuildTree });
    const fold = new Fold({ registry, reader, members, applier, late, now: () => clock.now() });
    const library = new LocalLibrary({
      connection,
      writer,
      fence,
      checkpointer,
      pool,
      pacer,
      registry,
      reader,
      members,
      applier,
      fold,
      rebuildTree,
      hooks,
      events,
      clock,
      random,
      logger,
      settings,
    });
    await library.write("adopt the schema", (tx) => adoptSchema({ tx, registry, reader, applier, now: clock.now() }));
    for (const kind of ["deferred", "quarantined"] as const) await library.retryParked(kind, registry.models);

    const replicator = new Replicator({
      library,
      authenticator: this.#deps.authenticator,
      scheduler: () => this.#deps.services.find(backfillScheduler),
    });
    const unseen = new UnseenWrites({
      library,
      sessions: () => replicator.sessions,
      wake: () => replicator.wake(),
    });
    const rounds = events.on("roundCompleted", ({ peer }) => unseen.look(peer));
    this.#closers.push(() => rounds.dispose());
    const services: KernelServices = {
      recordKeys: recordKeysOf(library),
      logMaintenance: logMaintenanceOf(library, replicator),
      syncFigures: syncFiguresOf(library, replicator),
    };
    this.#open = { connection, writer, pool, registry, reader, members, library, replicator, application, services };
    this.#schemaVersion = application.pragma("schema_version", { simple: true }) as number;
    const hints = new CommitHints({ connection, gate, clock, logger, pollMs: settings.storage.pollMs });
    this.#closers.push(() => hints.dispose());
    hints.onHint(() => this.#onCommit());
    await replicator.prepare();
    replicator.start();
    this.#closers.push(async () => {
      replicator.stop("this device is stopping");
      await replicator.settled();
    });
    await this.#startTransports();
    this.#onCommit();
  }

  async pause(): Promise<void> {
    await this.#part();
    this.#paused = true;
  }

  async resume(): Promise<void> {
    await this.#opened().replicator.prepare();
    await this.#meet();
    this.#paused = false;
  }

  async stop(): Promise<void> {
    const failures: unknown[] = [];
    for (const close of this.#closers.reverse()) {
      try {
        await close();
      } catch (error) {
        failures.push(error);
      }
    }
    this.#closers.length = 0;
    this.#open = null;
    if (failures.length > 0) throw new AggregateError(failures, "not everything could be closed");
  }

  async digest(name: string): Promise<ModelDigest> {
    const { registry, pool, reader, library } = this.#opened();
    const model = registry.byName.get(name);
    if (model === undefined) throw replicationErrors.unknownModel({ model: name, known: [...registry.byName.keys()] });
    await library.fold();
    return await pool.withReader(`digest of ${name}`, (db) =>
      digestModel({ db, model, reader, clock: this.#deps.clock }),
    );
  }

  async verify(peer: string, options: VerifyOptions = {}): Promise<Verification> {
    const { connection, members, library, replicator } = this.#opened();
    const state = readState(connection);
    const others = members.present().filter((member) => member.num !== state.self);
    const named = others.filter(({ origin, deviceId }) => origin === peer || deviceId === peer);
    if (named.length === 0) {
      throw replicationErrors.unknownPeer({ peer, known: others.map(({ deviceId }) => deviceId) });
    }
    if (state.self === null || state.ready === 0) throw replicationErrors.deviceNotReady();
    // A device that has come back is known by several origins.
    const session = replicator.sessions.find(
      (open) => !open.closed && named.some(({ origin }) => origin === open.peer),
    );
    if (session === undefined) throw replicationErrors.notConnected({ peer });
    if (!session.peerReady) throw replicationErrors.notReady();
    try {
      const result = await verifyWith(library, session.comparedPeer(), members.byOrigin(session.peer!)!, options);
      if (result.repair !== null && result.repair.given > 0) replicator.wake();
      return result;
    } catch (error) {
      // What answers wrongly, or not at all, is no peer to go on with.
      if (isTidemarkError(error) && BROKEN.has(error.code)) session.fail(error);
      throw error;
    }
  }

  async doctor(): Promise<Diagnosis> {
    const { library, application } = this.#opened();
    const { database } = this.#deps.dataSource.options as BetterSqlite3DataSourceOptions;
    return await examine({ library, application, file: database });
  }

  async status(): Promise<Omit<SyncStatus, "state">> {
    const { connection, members, library, replicator, pool } = this.#opened();
    const state = readState(connection);
    const now = this.#deps.clock.now();
    const peers = peersOf(library, replicator).map(
      ({ about, stored }): PeerStatus => ({
        ...about,
        nextAttemptAt: stored.notBefore > now && stored.notBefore < GIVEN_UP ? stored.notBefore : null,
      }),
    );
    const parked: Record<ParkedKind, number> = { hidden: 0, quarantined: 0, deferred: 0, dead: 0, foreign: 0 };
    const kinds = connection.prepare("SELECT kind, count(*) AS n FROM tidemark_parked GROUP BY kind").all() as {
      kind: ParkedKind;
      n: number;
    }[];
    for (const { kind, n } of kinds) parked[kind] = n;
    const backfill = loadBackfill(connection);
    const cursors = Object.values(backfill?.cursors ?? {});
    const count = (table: string) => connection.prepare(`SELECT count(*) FROM ${table}`).pluck().get() as number;
    const removals = members.removed().map((member): RemovalStatus => {
      const { origin, deviceId, name, removal, settledHlc } = member;
      const waiting = settledHlc === null ? waitedFor(connection, members, member) : [];
      return {
        origin,
        deviceId,
        name,
        kind: removal!.kind,
        atMs: physicalMs(removal!.hlc),
        by: removal!.by,
        waitsFor: waiting.map((other) => other.origin),
      };
    });
    return {
      library: this.#deps.settings.library.id,
      device: this.#deps.settings.device.id,
      origin: state.self === null ? null : members.byNumber(state.self).origin,
      membership: membershipOf(state.self === null ? null : members.byNumber(state.self)),
      peers,
      removals,
      backfill:
        backfill === null ? null : { done: cursors.reduce((sum, { done }) => sum + done, 0), total: backfill.total },
      parked,
      quarantined: parked.quarantined,
      outbox: outboxSize(connection),
      logEntries: count("tidemark_stamp"),
      journalEntries: count("tidemark_journal"),
      syncTableBytes: await pool.withReader("status", (db) => syncTableBytes(db)),
    };
  }

  async journal({ kind, model, before, limit = 1_000 }: JournalQuery = {}): Promise<readonly JournalEntry[]> {
    const { connection } = this.#opened();
    return readJournal(connection, { kind: kind ?? null, model: model ?? null, before: before ?? null, limit });
  }

  async removeMember(member: string): Promise<void> {
    const { library, replicator } = this.#opened();
    await removeMembers(library, member);
    replicator.changed();
  }

  async resetSyncState({ found = false }: ResetOptions = {}): Promise<void> {
    const { library } = this.#opened();
    await this.#part();
    try {
      await leaveForReset(library, { found });
    } finally {
      // Whatever has become of it, nothing is left to prepare in the database, which may be what has failed.
      if (!this.#paused) await this.#meet();
    }
  }

  async uninstall(): Promise<void> {
    const { writer } = this.#opened();
    await this.#part();
    await writer.run({ name: "uninstall", durable: true, body: (db) => removeSyncTables(db) });
  }

  /** Ends all sessions, and begins no other. */
  async #part(): Promise<void> {
    const { replicator } = this.#opened();
    for (const transport of this.#deps.transports) await transport.stop();
    replicator.stop("sync is paused there");
    await replicator.settled();
  }

  async #meet(): Promise<void> {
    const { replicator } = this.#opened();
    replicator.start();
    for (const transport of this.#deps.transports) await transport.start(replicator);
    this.#onCommit();
  }

  /** Sync tables, numbers of names, and capture: one transaction, before anything else is done. */
  async #prepare(writer: Writer): Promise<SyncRegistry> {
    const { dataSource, declarations, random, events, logger } = this.#deps;
    const collected = new EntityDeclarations();
    for (const { entity, ...options } of declarations) collected.register(entity, options);
    collected.registerDecorated(dataSource);
    const { registry, report } = await writer.run({
      name: "prepare the database",
      durable: true,
      body: (db) => {
        migrateSyncTables({ db, logId: newId(random) });
        const registry: SyncRegistry = resolveRegistry({
          dataSource,
          db,
          declarations: collected.freeze(),
          numbers: nameAllocator(db),
        });
        const plans = registry.models.map((model) => planCapture(model, registry));
        const report = installCapture({ db, plans });
        const gaps = report.gaps.map(({ model }) => model);
        noteUnseen(db, gaps);
        return { registry, report };
      },
    });
    for (const gap of report.gaps) this.#reportGap(registry, gap);
    for (const { trigger, table, writes } of report.foreignTriggers) {
      logger.warn("A trigger of the application writes synced tables while changes of peers are applied", {
        trigger,
        table,
        writes,
        advice: "Add NOT EXISTS (SELECT 1 FROM tidemark_applying) to its WHEN clause",
      });
    }
    for (const { model, table } of report.removed) logger.warn("A table is no longer synced", { model, table });
    events.emit("modelsRegistered", { models: registry.models.map((model) => model.name) });
    return registry;
  }

  #reportGap(registry: SyncRegistry, { model, table, reason }: { model: number; table: string; reason: string }): void {
    const name = registry.byNumber.get(model)?.name ?? table;
    this.#deps.events.emit("captureGap", { model: name, table, reason });
    this.#deps.logger.error("Writes to a synced table may have gone unseen", {
      model: name,
      table,
      reason,
      advice:
        "The triggers are put back at the start; then the table is compared with a peer, and what differs is issued as changes of this device",
    });
  }

  /** Somebody has committed: fold it, and let the peers know. */
  #onCommit(): void {
    const open = this.#open;
    if (open === null) return;
    const { library, replicator, registry, application } = open;
    const schemaVersion = application.pragma("schema_version", { simple: true }) as number;
    if (schemaVersion !== this.#schemaVersion) {
      this.#schemaVersion = schemaVersion;
      for (const gap of verifyCapture(open.connection)) this.#reportGap(registry, gap);
    }
    library
      .fold({ sent: replicator.sends, atOnce: true })
      .then(() => replicator.wake())
      .catch((error: unknown) => {
        if (this.#open !== null) this.#deps.logger.error("Local changes could not be folded", { error });
      });
  }

  #onPressure(pressure: PoolPressure, pacer: SlicePacer, writer: Writer): void {
    const reliefs = this.#reliefs;
    this.#deps.hooks
      .collectPoolAdvice(pressure)
      .then(({ advice, advisedBy }) => {
        // Advice that comes after the pressure was over would never be lifted.
        if (reliefs === this.#reliefs) {
          pacer.advise({ maxRecords: advice.maxSliceRecords, maxPages: advice.maxConcurrency });
          writer.setPacing({ pauseMs: advice.pauseMs });
        }
        this.#deps.events.emit("poolPressure", { ...pressure, advice, advisedBy });
      })
      .catch((error: unknown) => this.#deps.logger.warn("Advice on pool pressure could not be collected", { error }));
  }

  async #startTransports(): Promise<void> {
    const started: Transport[] = [];
    this.#closers.push(async () => {
      for (const transport of started) await transport.stop();
    });
    for (const transport of this.#deps.transports) {
      started.push(transport);
      await transport.start(this.#opened().replicator);
    }
  }

  #opened(): OpenEngine {
    if (this.#open === null) throw replicationErrors.notStarted();
    return this.#open;
  }
}

function membershipOf(self: Member | null): SyncStatus["membership"] {
  if (self === null) return "joining";
  if (self.removal === null) return "member";
  return self.removal.kind === "removed" ? "removed" : "returning";
}

interface OpenEngine {
  readonly connection: Sqlite;
  readonly writer: Writer;
  readonly pool: Pool;
  readonly registry: SyncRegistry;
  readonly reader: RecordReader;
  readonly members: Members;
  readonly library: LocalLibrary;
  readonly replicator: Replicator;
  readonly services: KernelServices;
  /** The application's connection. */
  readonly application: Sqlite;
}
