import { createTidemark, defineConfig, type Tidemark, tidemarkDataSourceOptions } from "@tidemark/core";
import type { Logger } from "@tidemark/plugin-api";
import { websocket, websocketAddress } from "@tidemark/plugin-websocket";
import { DataSource } from "typeorm";
import { registerDevice } from "../indexer/location-registry.js";
import { fileLibraryEntities, fileLibraryModels } from "../models/registration.js";
import { independentDigest } from "./independent-digest.js";
import type { Comparison, DeviceSetup, DeviceStatus, ModelDigest } from "./messages.js";
import { modelNameOf } from "./model-names.js";

/**
 * The library of one device: an ordinary TypeORM data source, and Tidemark beside it. The only file of the example that
 * knows how Tidemark is called. While it is offline the application goes on as ever; triggers note what it writes.
 */
export class Library {
  readonly dataSource: DataSource;
  readonly #setup: DeviceSetup;
  readonly #logger: Logger;
  readonly #onNotice: (text: string) => void;
  #tidemark: Tidemark | null = null;
  #received = 0;

  private constructor({ dataSource, setup, logger, onNotice }: LibraryOptions & { readonly dataSource: DataSource }) {
    this.dataSource = dataSource;
    this.#setup = setup;
    this.#logger = logger;
    this.#onNotice = onNotice;
  }

  /** Opens the database, creating it where it is missing. */
  static async open(options: LibraryOptions): Promise<Library> {
    const { setup } = options;
    const dataSource = new DataSource(
      tidemarkDataSourceOptions({
        type: "better-sqlite3",
        database: setup.databaseFile,
        entities: fileLibraryEntities,
        synchronize: true,
      }),
    );
    await dataSource.initialize();
    return new Library({ ...options, dataSource });
  }

  /** Records that have come from the other device since this process started. */
  get received(): number {
    return this.#received;
  }

  /** Starts to sync. Returns the address at which this device listens, or null. */
  async goOnline(): Promise<string | null> {
    if (this.#tidemark === null) {
      const tidemark = createTidemark({
        dataSource: this.dataSource,
        entities: fileLibraryModels,
        plugins: [websocket],
        settings: this.#settings(),
        logger: this.#logger,
      });
      this.#listen(tidemark);
      await tidemark.start();
      this.#tidemark = tidemark;
      await registerDevice({
        dataSource: this.dataSource,
        deviceId: this.#setup.deviceId,
        name: `Device ${this.#setup.name}`,
      });
    }
    return this.#tidemark.services.get(websocketAddress).url();
  }

  /** Stops to sync; the database stays open and may be written to. */
  async goOffline(): Promise<void> {
    const tidemark = this.#tidemark;
    this.#tidemark = null;
    await tidemark?.stop();
  }

  async close(): Promise<void> {
    await this.goOffline();
    if (this.dataSource.isInitialized) await this.dataSource.destroy();
  }

  async rowCounts(): Promise<Record<string, number>> {
    const counts: Record<string, number> = {};
    for (const { tableName } of this.dataSource.entityMetadatas) {
      const [row] = await this.dataSource.query<{ n: number }[]>(`SELECT count(*) AS n FROM "${tableName}"`);
      counts[tableName] = row!.n;
    }
    return counts;
  }

  async status(): Promise<DeviceStatus> {
    const rows = await this.rowCounts();
    const tidemark = this.#tidemark;
    if (tidemark === null) return { ...OFFLINE, rows };
    const { peers, backfill, parked, outbox, logEntries, syncTableBytes } = await tidemark.status();
    const readyPeers = peers.filter((peer) => peer.connected && peer.state === "ready").length;
    const backfilling = backfill !== null;
    return {
      idle: outbox === 0 && !backfilling && readyPeers > 0,
      readyPeers,
      backfilling,
      outbox,
      logEntries,
      syncTableBytes,
      parked,
      rows,
    };
  }

  /**
   * Two digests of each model, one by Tidemark and one by plain SQL, and SQLite's own check of all references.
   * Rejects with the signal's reason when it is no longer wanted.
   */
  async compare(signal: AbortSignal): Promise<Comparison> {
    const tidemark = this.#tidemark;
    const models: Record<string, ModelDigest> = {};
    for (const metadata of this.dataSource.entityMetadatas) {
      const name = modelNameOf(metadata);
      const independent = await independentDigest(this.dataSource, metadata, signal);
      models[name] = {
        rows: independent.rows,
        digest: tidemark === null ? "" : (await tidemark.digest(name)).digest,
        independentDigest: independent.digest,
      };
    }
    const violations = await this.dataSource.query<unknown[]>("PRAGMA foreign_key_check");
    return { models, foreignKeyViolations: violations.length };
  }

  #settings() {
    const { libraryId, secret, role, deviceId, name, listenPort, peers } = this.#setup;
    return defineConfig({
      library: { id: libraryId, secret, role },
      device: { id: deviceId, name: `Device ${name}` },
      plugins: {
        websocket: {
          settings: {
            ...(listenPort === null ? {} : { listen: { port: listenPort } }),
            peers: [...peers],
            // Both ends are on this machine: a killed process is back at once.
            reconnect: { minMs: 100, maxMs: 1_000 },
          },
        },
      },
      replication: { retryDelayMs: 250 },
    });
  }

  #listen(tidemark: Tidemark): void {
    const { events } = tidemark;
    events.on("batchApplied", ({ counts }) => {
      this.#received += counts.applied;
    });
    events.on("backfillStarted", ({ resumed }) => {
      this.#onNotice(resumed ? "takes up its backfill where it was" : "starts its backfill");
    });
    events.on("backfillCompleted", ({ records }) => this.#onNotice(`has finished its backfill: ${records} records`));
    events.on("peerRefused", ({ reason, code }) =>
      this.#onNotice(`was refused, or refused a peer: ${reason} (${code})`),
    );
    events.on("catchUpFailed", ({ reason, code }) => this.#onNotice(`will try to catch up again: ${reason} (${code})`));
    events.on("changeRefused", ({ model, reason }) => this.#onNotice(`took back a change of ${model}: ${reason}`));
    events.on("captureGap", ({ table, reason }) => this.#onNotice(`may have missed writes to ${table}: ${reason}`));
  }
}

interface LibraryOptions {
  readonly setup: DeviceSetup;
  readonly logger: Logger;
  /** Something that a person may want to read, as the end of a sentence that begins with the device's name. */
  readonly onNotice: (text: string) => void;
}

const OFFLINE = {
  idle: false,
  readyPeers: 0,
  backfilling: false,
  outbox: 0,
  logEntries: 0,
  syncTableBytes: 0,
  parked: { hidden: 0, dead: 0, quarantined: 0, deferred: 0, foreign: 0 },
} as const;
