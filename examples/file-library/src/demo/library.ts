import {
  createTidemark,
  defineConfig,
  type PluginSetting,
  type Tidemark,
  tidemarkDataSourceOptions,
} from "@tidemark/core";
import type { CatchUpDecision, Clock, Logger } from "@tidemark/plugin-api";
import { websocket, websocketAddress } from "@tidemark/plugin-websocket";
import { DataSource } from "typeorm";
import { registerDevice } from "../indexer/location-registry.js";
import { fileLibraryEntities, fileLibraryModels } from "../models/registration.js";
import { FigureCounter } from "./figure-counter.js";
import { independentDigest } from "./independent-digest.js";
import type { Comparison, DeviceReport, DeviceSetup, DeviceStatus, ModelDigest } from "./messages.js";
import { modelNameOf } from "./model-names.js";
import { demoPlugins } from "./plugins.js";
import { type Forgotten, untilForgotten } from "./until-forgotten.js";

/**
 * The library of one device: an ordinary TypeORM data source, and Tidemark beside it. The only file of the example that
 * knows how Tidemark is called. While it is offline the application goes on as ever; triggers note what it writes.
 */
export class Library {
  readonly dataSource: DataSource;
  readonly #setup: DeviceSetup;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #onNotice: (text: string) => void;
  readonly #figures: FigureCounter;
  #tidemark: Tidemark | null = null;
  #stopping = false;
  /** Ids of the plugins that run, or ran when this device was last online. */
  #plugins: readonly string[] = [];

  private constructor(options: LibraryOptions & { readonly dataSource: DataSource }) {
    this.dataSource = options.dataSource;
    this.#setup = options.setup;
    this.#logger = options.logger;
    this.#clock = options.clock;
    this.#figures = new FigureCounter(options.clock);
    this.#onNotice = options.onNotice;
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

  /** Starts to sync. Returns the address at which this device listens, or null. */
  async goOnline(): Promise<string | null> {
    if (this.#tidemark === null) {
      const tidemark = createTidemark({
        dataSource: this.dataSource,
        entities: fileLibraryModels,
        plugins: [websocket, ...Object.values(demoPlugins).map(({ plugin }) => plugin)],
        settings: this.#settings(),
        logger: this.#logger,
      });
      this.#listen(tidemark);
      this.#figures.begin(tidemark);
      await tidemark.start();
      this.#tidemark = tidemark;
      this.#plugins = tidemark.report().plugins.flatMap(({ id, state }) => (state === "active" ? [id] : []));
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
    this.#stopping = true;
    try {
      await tidemark?.stop();
    } finally {
      this.#stopping = false;
      this.#figures.end();
    }
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
    this.#figures.sized({ logEntries, syncTableBytes });
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

  /** How many records are here, and what has been counted since this process started. */
  async report(): Promise<DeviceReport> {
    const { rows } = await this.status();
    const records = Object.values(rows).reduce((sum, count) => sum + count, 0);
    return { records, plugins: this.#plugins, figures: this.#figures.read() };
  }

  /** Waits until everybody has acknowledged and the log is empty. A device that is offline has nothing to wait for. */
  async untilForgotten(patienceMs: number, signal: AbortSignal): Promise<Forgotten> {
    if (this.#tidemark === null) return { logEntries: 0, heldBackBy: [] };
    return untilForgotten({ tidemark: this.#tidemark, clock: this.#clock, patienceMs, signal });
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
    const { libraryId, secret, role, deviceId, name, listenPort, peers, without } = this.#setup;
    const plugins: Record<string, PluginSetting> = {};
    for (const [id, { settings }] of Object.entries(demoPlugins)) {
      plugins[id] = { enabled: !without.includes(id), ...(settings && { settings }) };
    }
    return defineConfig({
      library: { id: libraryId, secret, role },
      device: { id: deviceId, name: `Device ${name}` },
      plugins: {
        ...plugins,
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

  #listen({ events }: Tidemark): void {
    const notice = (text: string) => {
      // What breaks off because this device stops is nobody's worry.
      if (!this.#stopping) this.#onNotice(text);
    };
    events.on("backfillStarted", ({ resumed }) =>
      notice(resumed ? "takes up its backfill where it was" : "starts its backfill"),
    );
    events.on("backfillCompleted", ({ records }) => notice(`has finished its backfill: ${records} records`));
    events.on("peerRefused", ({ reason, code }) => notice(`was refused, or refused a peer: ${reason} (${code})`));
    events.on("catchUpFailed", ({ reason, code }) => notice(`could not catch up: ${reason} (${code})`));
    events.on("catchUpDecided", ({ decision, decidedBy }) => notice(inWords(decision, decidedBy)));
    events.on("changeRefused", ({ model, reason }) => notice(`took back a change of ${model}: ${reason}`));
    events.on("captureGap", ({ table, reason }) => notice(`may have missed writes to ${table}: ${reason}`));
  }
}

function inWords(decision: CatchUpDecision, decidedBy: string): string {
  if (decision.action === "give-up") return `does not try again, says ${decidedBy}`;
  const what = decision.action === "retry" ? "tries again" : "takes everything anew";
  return `${what} in ${Math.round(decision.delayMs)} ms, says ${decidedBy}`;
}

interface LibraryOptions {
  readonly setup: DeviceSetup;
  readonly logger: Logger;
  readonly clock: Clock;
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
