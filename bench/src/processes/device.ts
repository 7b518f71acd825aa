import { statSync } from "node:fs";
import { type IntervalHistogram, monitorEventLoopDelay } from "node:perf_hooks";
import { createTidemark, defineConfig, type Tidemark, tidemarkDataSourceOptions } from "@tidemark/core";
import { logMaintenance } from "@tidemark/plugin-api";
import { referenceResolver } from "@tidemark/plugin-fk-batching";
import { websocketAddress } from "@tidemark/plugin-websocket";
import { DataSource } from "typeorm";
import { markArrival } from "../experiments/marker.js";
import { benchEntities, benchModels } from "../library/models.js";
import { giveSpaceBack } from "../library/schema.js";
import { machineMs, pause, systemClock } from "../system-clock.js";
import { allPlugins } from "./all-plugins.js";
import { cpuMsSince } from "./cpu-time.js";
import type {
  DeviceFigures,
  LibraryDigest,
  PruneFigures,
  PruneInput,
  StartInput,
  StartOutput,
} from "./device-commands.js";
import { ChangeWatch } from "./even-changes.js";
import { countSentBytes } from "./sent-bytes.js";
import { stderrLogger } from "./stderr-logger.js";

/** One device of the library that is measured: an application's data source, Tidemark beside it, and its figures. */
const NANOSECONDS = 1e6;
const RESOLUTION_MS = 1;
/** What a heartbeat takes on the device that tells it and on those that hear of it. */
const HEARTBEATS = /^(heartbeat$|fence$|end of round)/;
const LONGEST_DELAY_MS = 2 ** 31 - 1;
const SETTLE_POLL_MS = 50;

export class Device {
  readonly #sentBytes = countSentBytes();
  readonly #loopDelay: IntervalHistogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  readonly #afterBatches = new Set<() => void>();
  #dataSource: DataSource | null = null;
  #tidemark: Tidemark | null = null;
  #startedMs = 0;
  #readyAfterMs: number | null = null;
  #onReady: (() => void) | null = null;
  #watch: ChangeWatch | null = null;
  #slicesMs: number[] = [];
  // What is counted from one call of `figures` to the next.
  #cpu = process.cpuUsage();
  #sentBefore = 0;
  #plainLookups = 0;
  #batchedLookups = 0;
  #writes: Record<string, number> = {};

  get dataSource(): DataSource {
    if (this.#dataSource === null) throw new Error("the database is not open");
    return this.#dataSource;
  }

  get tidemark(): Tidemark {
    if (this.#tidemark === null) throw new Error("Tidemark is not running");
    return this.#tidemark;
  }

  async open(file: string): Promise<{ durationMs: number }> {
    const startedMs = systemClock.monotonicMs();
    this.#dataSource = new DataSource(
      tidemarkDataSourceOptions({
        type: "better-sqlite3",
        database: file,
        entities: benchEntities,
        synchronize: true,
        prepareDatabase: giveSpaceBack,
      }),
    );
    await this.#dataSource.initialize();
    return { durationMs: systemClock.monotonicMs() - startedMs };
  }

  async start({
    deviceId,
    role,
    listen,
    peers,
    watchLoop = true,
    keepLog = false,
    without = [],
  }: StartInput): Promise<StartOutput> {
    this.#resetFigures();
    if (watchLoop) this.#loopDelay.enable();
    this.#startedMs = systemClock.monotonicMs();
    const tidemark = createTidemark({
      dataSource: this.dataSource,
      entities: benchModels,
      plugins: allPlugins,
      settings: defineConfig({
        library: { id: "bench", secret: "the benchmark's own secret", role },
        device: { id: deviceId, name: role },
        plugins: {
          ...Object.fromEntries(without.map((plugin) => [plugin, false])),
          ...(keepLog && { "ack-pruning": { settings: { pruneDelayMs: LONGEST_DELAY_MS } } }),
          websocket: {
            settings: {
              ...(listen && { listen: { port: 0 } }),
              peers: [...peers],
              reconnect: { minMs: 50, maxMs: 200 },
            },
          },
        },
      }),
      logger: stderrLogger(),
    });
    this.#listen(tidemark);
    await tidemark.start();
    this.#tidemark = tidemark;
    return {
      url: tidemark.services.get(websocketAddress).url(),
      durationMs: systemClock.monotonicMs() - this.#startedMs,
    };
  }

  async ready(): Promise<{ afterMs: number }> {
    if (this.#readyAfterMs === null) await new Promise<void>((resolve) => (this.#onReady = resolve));
    return { afterMs: this.#readyAfterMs! };
  }

  async resume(): Promise<{ atMs: number }> {
    const atMs = machineMs();
    await this.tidemark.resume();
    return { atMs };
  }

  figures(): DeviceFigures {
    const figures: DeviceFigures = {
      cpuMs: cpuMsSince(this.#cpu),
      loopDelay: { p99Ms: lateness(this.#loopDelay.percentile(99)), maxMs: lateness(this.#loopDelay.max) },
      peakRssBytes: process.resourceUsage().maxRSS * 1_024,
      sentBytes: this.#sentBytes() - this.#sentBefore,
      referenceQueries: this.#plainLookups + this.#queries() - this.#batchedLookups,
      writes: this.#writes,
    };
    this.#resetFigures();
    return figures;
  }

  async digest(): Promise<LibraryDigest> {
    const digests: Record<string, { rows: number; digest: string }> = {};
    for (const { name } of this.dataSource.entityMetadatas) {
      const { rows, digest } = await this.tidemark.digest(name);
      digests[name] = { rows, digest };
    }
    return digests;
  }

  async settle(): Promise<{ fileBytes: number }> {
    const maintenance = this.tidemark.services.get(logMaintenance);
    for (;;) {
      await maintenance.acknowledge();
      await maintenance.prune();
      const { outbox } = await this.tidemark.status();
      // What is forgotten is no entry of the log any more, and swept away later.
      const [swept] = await this.dataSource.query<unknown[]>(
        'SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM "tidemark_stamp")',
      );
      if (swept !== undefined && outbox === 0) break;
      await pause(SETTLE_POLL_MS);
    }
    await maintenance.compact();
    await this.dataSource.query("PRAGMA wal_checkpoint(TRUNCATE)");
    return { fileBytes: statSync(this.dataSource.options.database as string).size };
  }

  async write(statements: readonly string[]): Promise<{ atMs: number }> {
    await this.dataSource.transaction(async (manager) => {
      for (const sql of statements) await manager.query(sql);
    });
    return { atMs: machineMs() };
  }

  async arrival({ table, uuid }: { readonly table: string; readonly uuid: string }): Promise<{ atMs: number }> {
    const sql = `SELECT 1 FROM "${table}" WHERE "uuid" = ?`;
    return await new Promise((resolve) => {
      const look = async () => {
        const atMs = machineMs();
        if ((await this.dataSource.query<unknown[]>(sql, [uuid])).length === 0) return;
        this.#afterBatches.delete(look);
        resolve({ atMs });
      };
      this.#afterBatches.add(look);
      // It may be here already.
      void look();
    });
  }

  async watchChanges(): Promise<void> {
    this.#watch = await ChangeWatch.begin(this.dataSource);
    this.#afterBatches.add(() => this.#watch?.look());
  }

  async watched(changes: number): Promise<{ atMs: readonly (number | null)[] }> {
    return { atMs: await this.#watch!.noted(changes) };
  }

  async prune({ entries, besideYounger }: PruneInput): Promise<PruneFigures> {
    const maintenance = this.tidemark.services.get(logMaintenance);
    for (;;) {
      await maintenance.acknowledge();
      if ((await maintenance.dryRun()).stamps >= entries) break;
      await pause(SETTLE_POLL_MS);
    }
    if (besideYounger) await this.write([markArrival]);
    this.#slicesMs = [];
    const startedMs = systemClock.monotonicMs();
    const { stamps } = await maintenance.prune();
    const durationMs = systemClock.monotonicMs() - startedMs;
    return { stamps, durationMs, longestSliceMs: Math.max(...this.#slicesMs) };
  }

  async stop(): Promise<void> {
    await this.#tidemark?.stop();
    await this.#dataSource?.destroy();
    this.#loopDelay.disable();
  }

  #listen({ events }: Tidemark): void {
    events.on("batchApplied", ({ referenceLookups }) => {
      this.#plainLookups += referenceLookups;
      for (const look of this.#afterBatches) look();
    });
    events.on("leaseReleased", ({ kind, holder, useMs }) => {
      if (kind !== "writer") return;
      if (!HEARTBEATS.test(holder)) this.#writes[holder] = (this.#writes[holder] ?? 0) + 1;
      if (holder === "prune" || holder === "raise the floor") this.#slicesMs.push(useMs);
    });
    events.on("peerStateChanged", ({ state }) => {
      if (state !== "ready") return;
      this.#readyAfterMs ??= systemClock.monotonicMs() - this.#startedMs;
      this.#onReady?.();
    });
  }

  #queries(): number {
    return this.#tidemark?.services.find(referenceResolver)?.stats().queries ?? 0;
  }

  #resetFigures(): void {
    this.#cpu = process.cpuUsage();
    this.#sentBefore = this.#sentBytes();
    this.#plainLookups = 0;
    this.#batchedLookups = this.#queries();
    this.#writes = {};
    this.#loopDelay.reset();
  }
}

/** Node counts the interval at which it looks as delay. */
function lateness(nanoseconds: number): number {
  return Math.max(0, nanoseconds / NANOSECONDS - RESOLUTION_MS);
}
