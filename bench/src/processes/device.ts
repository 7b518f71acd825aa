import { statSync } from "node:fs";
import { type IntervalHistogram, monitorEventLoopDelay } from "node:perf_hooks";
import { createTidemark, defineConfig, type Tidemark, tidemarkDataSourceOptions } from "@tidemark/core";
import { logMaintenance } from "@tidemark/plugin-api";
import { referenceResolver } from "@tidemark/plugin-fk-batching";
import { websocketAddress } from "@tidemark/plugin-websocket";
import { DataSource } from "typeorm";
import { benchEntities, benchModels } from "../library/models.js";
import { pause, systemClock } from "../system-clock.js";
import { allPlugins } from "./all-plugins.js";
import { cpuMsSince } from "./cpu-time.js";
import type { DeviceFigures, LibraryDigest, StartInput } from "./device-commands.js";
import { countSentBytes } from "./sent-bytes.js";
import { stderrLogger } from "./stderr-logger.js";

/** One device of the library that is measured: an application's data source, Tidemark beside it, and its figures. */
const NANOSECONDS = 1e6;
const SETTLE_POLL_MS = 50;

export class Device {
  readonly #sentBytes = countSentBytes();
  readonly #loopDelay: IntervalHistogram = monitorEventLoopDelay({ resolution: 1 });
  #dataSource: DataSource | null = null;
  #tidemark: Tidemark | null = null;
  #startedMs = 0;
  #cpu = process.cpuUsage();
  #sentBefore = 0;
  #plainLookups = 0;
  #readyAfterMs: number | null = null;
  #onReady: (() => void) | null = null;

  get dataSource(): DataSource {
    if (this.#dataSource === null) throw new Error("the database is not open");
    return this.#dataSource;
  }

  get tidemark(): Tidemark {
    if (this.#tidemark === null) throw new Error("Tidemark is not running");
    return this.#tidemark;
  }

  async open(file: string): Promise<void> {
    this.#dataSource = new DataSource(
      tidemarkDataSourceOptions({
        type: "better-sqlite3",
        database: file,
        entities: benchEntities,
        synchronize: true,
      }),
    );
    await this.#dataSource.initialize();
  }

  async start({ deviceId, role, listen, peers, without = [] }: StartInput): Promise<string | null> {
    const tidemark = createTidemark({
      dataSource: this.dataSource,
      entities: benchModels,
      plugins: allPlugins.filter(({ manifest }) => !without.includes(manifest.id)),
      settings: defineConfig({
        library: { id: "bench", secret: "the benchmark's own secret", role },
        device: { id: deviceId, name: role },
        plugins: {
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
    tidemark.events.on("batchApplied", ({ referenceLookups }) => {
      this.#plainLookups += referenceLookups;
    });
    tidemark.events.on("peerStateChanged", ({ state }) => {
      if (state !== "ready") return;
      this.#readyAfterMs ??= systemClock.monotonicMs() - this.#startedMs;
      this.#onReady?.();
    });
    this.#cpu = process.cpuUsage();
    this.#sentBefore = this.#sentBytes();
    this.#loopDelay.enable();
    this.#loopDelay.reset();
    this.#startedMs = systemClock.monotonicMs();
    await tidemark.start();
    this.#tidemark = tidemark;
    return tidemark.services.find(websocketAddress)?.url() ?? null;
  }

  async ready(): Promise<number> {
    if (this.#readyAfterMs === null) await new Promise<void>((resolve) => (this.#onReady = resolve));
    return this.#readyAfterMs!;
  }

  figures(): DeviceFigures {
    const sent = this.#sentBytes();
    const queries = this.tidemark.services.find(referenceResolver)?.stats().queries ?? 0;
    const figures: DeviceFigures = {
      cpuMs: cpuMsSince(this.#cpu),
      loopDelay: { p99Ms: this.#loopDelay.percentile(99) / NANOSECONDS, maxMs: this.#loopDelay.max / NANOSECONDS },
      peakRssBytes: process.resourceUsage().maxRSS * 1_024,
      sentBytes: sent - this.#sentBefore,
      referenceQueries: this.#plainLookups + queries,
    };
    this.#cpu = process.cpuUsage();
    this.#sentBefore = sent;
    this.#loopDelay.reset();
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

  /** Acknowledges and prunes until the log is empty: everybody has everything, and it is forgotten. */
  async settle(): Promise<{ fileBytes: number; logEntries: number }> {
    const maintenance = this.tidemark.services.get(logMaintenance);
    for (;;) {
      await maintenance.acknowledge();
      await maintenance.prune();
      const { logEntries, outbox } = await this.tidemark.status();
      if (logEntries === 0 && outbox === 0) break;
      await pause(SETTLE_POLL_MS);
    }
    await this.dataSource.query("PRAGMA wal_checkpoint(TRUNCATE)");
    return { fileBytes: statSync(this.dataSource.options.database as string).size, logEntries: 0 };
  }

  async stop(): Promise<void> {
    await this.#tidemark?.stop();
    await this.#dataSource?.destroy();
    this.#loopDelay.disable();
  }
}
