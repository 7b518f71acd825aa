import { createTidemark, defineConfig, type Tidemark, tidemarkDataSourceOptions } from "@tidemark/core";
import type { Clock, Logger, Random } from "@tidemark/plugin-api";
import { referenceResolver } from "@tidemark/plugin-fk-batching";
import { websocket, websocketAddress } from "@tidemark/plugin-websocket";
import { DataSource } from "typeorm";
import { independentDigest } from "../../demo/independent-digest.js";
import type { Comparison, DeviceStatus, ModelDigest } from "../../demo/messages.js";
import { modelNameOf } from "../../demo/model-names.js";
import { throttled } from "../../demo/throttle.js";
import { registerDevice } from "../../indexer/location-registry.js";
import { fileLibraryEntities, fileLibraryModels } from "../../models/registration.js";
import { remedies } from "../all-plugins.js";
import {
  countReferenceStatements,
  type ReferenceStatementCounts,
  type ReferenceStatements,
} from "../reference-statements.js";
import { indexSynthetically } from "../synthetic-index.js";
import { type PoolFigures, watchPool } from "./pool-watch.js";

/**
 * One device of the scenario: a data source of the application, Tidemark with all remedies, and an indexer that writes
 * while Tidemark syncs. In a process of its own or not: that is somebody else's business.
 */
export interface ConcurrentDevice {
  /** Opens the database and starts to sync. Where the device listens, or null. */
  open(setup: ConcurrentDeviceSetup): Promise<string | null>;
  index(command: IndexCommand): Promise<{ readonly transactions: number }>;
  status(): Promise<DeviceStatus>;
  compare(): Promise<Comparison>;
  figures(): Promise<ConcurrentFigures>;
  close(): Promise<void>;
}

export interface ConcurrentDeviceSetup {
  readonly deviceId: string;
  readonly name: string;
  readonly databaseFile: string;
  readonly libraryId: string;
  readonly secret: string;
  /** Whom to dial; null: this device founds the library, and listens. */
  readonly peer: string | null;
}

export interface IndexCommand {
  /** Names the location. */
  readonly location: string;
  readonly entries: number;
  readonly perTransaction: number;
}

export interface ConcurrentFigures {
  readonly pool: PoolFigures;
  readonly statements: ReferenceStatementCounts;
  /** As fk-batching counts by itself. */
  readonly resolverQueries: number;
  /** References that the kernel has looked up by itself, as it says. */
  readonly referenceLookups: number;
  /** Batches that were applied, by phase. */
  readonly batches: Readonly<Record<string, number>>;
  /** Rounds and backfills that failed, by the code of the error. */
  readonly failures: readonly string[];
  readonly backfills: number;
}

/** What a device tells while it works. */
export type ConcurrentProgress =
  | { readonly kind: "indexed"; readonly entries: number }
  | { readonly kind: "received"; readonly records: number }
  /** The device has begun to take in the library. */
  | { readonly kind: "backfill" };

export interface ConcurrentDeviceDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly onProgress: (progress: ConcurrentProgress) => void;
}

const PROGRESS_INTERVAL_MS = 100;

export class LocalDevice implements ConcurrentDevice {
  readonly #deps: ConcurrentDeviceDeps;
  readonly #statements: ReferenceStatements = countReferenceStatements();
  #opened: Opened | null = null;
  #referenceLookups = 0;
  #backfills = 0;
  readonly #batches: Record<string, number> = {};
  readonly #failures: string[] = [];

  constructor(deps: ConcurrentDeviceDeps) {
    this.#deps = deps;
  }

  async open(setup: ConcurrentDeviceSetup): Promise<string | null> {
    const dataSource = new DataSource(
      tidemarkDataSourceOptions({
        type: "better-sqlite3",
        database: setup.databaseFile,
        entities: fileLibraryEntities,
        synchronize: true,
        prepareDatabase: this.#statements.prepareDatabase,
      }),
    );
    await dataSource.initialize();
    const tidemark = createTidemark({
      dataSource,
      entities: fileLibraryModels,
      plugins: [...remedies, websocket],
      settings: settingsOf(setup),
      logger: this.#deps.logger,
    });
    this.#opened = { dataSource, tidemark, pool: this.#listen(tidemark), deviceId: setup.deviceId };
    await tidemark.start();
    await registerDevice({ dataSource, deviceId: setup.deviceId, name: setup.name });
    return tidemark.services.get(websocketAddress).url();
  }

  index(command: IndexCommand): Promise<{ readonly transactions: number }> {
    const { dataSource, deviceId } = this.#open();
    const { clock, random, onProgress } = this.#deps;
    return indexSynthetically({
      ...command,
      dataSource,
      deviceId,
      clock,
      random,
      onProgress: (entries) => onProgress({ kind: "indexed", entries }),
    });
  }

  async status(): Promise<DeviceStatus> {
    const { dataSource, tidemark } = this.#open();
    const { peers, backfill, parked, outbox, logEntries, syncTableBytes } = await tidemark.status();
    const readyPeers = peers.filter((peer) => peer.connected && peer.state === "ready").length;
    const rows: Record<string, number> = {};
    for (const { tableName } of dataSource.entityMetadatas) {
      const [row] = await dataSource.query<{ n: number }[]>(`SELECT count(*) AS n FROM "${tableName}"`);
      rows[tableName] = row!.n;
    }
    const backfilling = backfill !== null;
    const idle = outbox === 0 && !backfilling && readyPeers > 0;
    return { idle, readyPeers, backfilling, outbox, logEntries, syncTableBytes, parked, rows };
  }

  async compare(): Promise<Comparison> {
    const { dataSource, tidemark } = this.#open();
    const models: Record<string, ModelDigest> = {};
    for (const metadata of dataSource.entityMetadatas) {
      const name = modelNameOf(metadata);
      const independent = await independentDigest(dataSource, metadata);
      const { digest } = await tidemark.digest(name);
      models[name] = { rows: independent.rows, digest, independentDigest: independent.digest };
    }
    const violations = await dataSource.query<unknown[]>("PRAGMA foreign_key_check");
    return { models, foreignKeyViolations: violations.length };
  }

  async figures(): Promise<ConcurrentFigures> {
    return {
      pool: this.#open().pool(),
      statements: this.#statements.counts(),
      resolverQueries: this.#open().tidemark.services.get(referenceResolver).stats().queries,
      referenceLookups: this.#referenceLookups,
      batches: this.#batches,
      failures: this.#failures,
      backfills: this.#backfills,
    };
  }

  async close(): Promise<void> {
    const opened = this.#opened;
    this.#opened = null;
    await opened?.tidemark.stop();
    if (opened?.dataSource.isInitialized) await opened.dataSource.destroy();
  }

  #listen({ events }: Tidemark): () => PoolFigures {
    let records = 0;
    const received = throttled<number>({
      clock: this.#deps.clock,
      intervalMs: PROGRESS_INTERVAL_MS,
      send: (count) => this.#deps.onProgress({ kind: "received", records: count }),
    });
    events.on("batchApplied", ({ phase, counts, referenceLookups }) => {
      this.#batches[phase] = (this.#batches[phase] ?? 0) + 1;
      this.#referenceLookups += referenceLookups;
      records += counts.applied;
      received.offer(records);
    });
    events.on("backfillStarted", () => this.#deps.onProgress({ kind: "backfill" }));
    events.on("backfillCompleted", () => {
      this.#backfills += 1;
    });
    events.on("catchUpFailed", ({ code }) => this.#failures.push(code));
    return watchPool(events);
  }

  #open(): Opened {
    if (this.#opened === null) throw new Error("the device is not open");
    return this.#opened;
  }
}

interface Opened {
  readonly dataSource: DataSource;
  readonly tidemark: Tidemark;
  readonly pool: () => PoolFigures;
  readonly deviceId: string;
}

function settingsOf({ libraryId, secret, deviceId, name, peer }: ConcurrentDeviceSetup) {
  return defineConfig({
    library: { id: libraryId, secret, role: peer === null ? "found" : "join" },
    device: { id: deviceId, name },
    plugins: { websocket: { settings: peer === null ? { listen: { port: 0 } } : { peers: [peer] } } },
  });
}
