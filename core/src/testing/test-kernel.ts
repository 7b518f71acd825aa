import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type AnyPlugin,
  API_VERSION,
  type Clock,
  definePlugin,
  type EntityDeclaration,
  type KernelEvents,
  type Logger,
  type Random,
  type Transport,
  transports,
} from "@tidemark/plugin-api";
import { DataSource, type DataSourceOptions } from "typeorm";
import { createTidemark } from "../kernel/compose.js";
import { MIRRORED } from "../kernel/event-bus.js";
import type { TidemarkSettings } from "../kernel/settings.js";
import type { Tidemark } from "../kernel/tidemark.js";
import { tidemarkDataSourceOptions } from "../storage/data-source-options.js";
import type { InMemoryNetwork } from "../transport/in-memory.js";
import { ManualClock } from "./manual-clock.js";
import { SeededRandom } from "./seeded-random.js";

/** What a test says of one device; everything else has a default that is right for tests. */
export interface TestKernelOptions {
  /** Names the device and its address on the network. */
  readonly device: string;
  readonly entities: NonNullable<DataSourceOptions["entities"]>;
  readonly declarations?: readonly EntityDeclaration[];
  /** Default: no connections. */
  readonly network?: InMemoryNetwork;
  /** Devices to dial. */
  readonly dial?: readonly string[];
  /** Default `join` when it dials somebody, else `found`. */
  readonly role?: "found" | "join";
  readonly plugins?: readonly AnyPlugin[];
  readonly settings?: Partial<Omit<TidemarkSettings, "library" | "device">>;
  readonly library?: { readonly id?: string; readonly secret?: string };
  /** Default: a clock that stands still until it is advanced. */
  readonly clock?: Clock;
  /** Default: seeded with the device's name. */
  readonly random?: Random;
  readonly logger?: Logger;
  /** An existing database file; default: a new one, which is deleted by `dispose`. */
  readonly database?: string;
  /** Default true: TypeORM makes the tables. */
  readonly synchronize?: boolean;
  readonly dataSourceOptions?: Partial<DataSourceOptions>;
}

/** An event with its name. */
export type RecordedEvent = {
  [Name in keyof KernelEvents]: { readonly name: Name; readonly event: KernelEvents[Name] };
}[keyof KernelEvents];

/** A kernel, its database, and what it has told so far. */
export interface TestKernel {
  readonly tidemark: Tidemark;
  readonly dataSource: DataSource;
  readonly database: string;
  /** The events so far, in order; all but those of leases, the pool and single hook calls. */
  readonly recorded: readonly RecordedEvent[];
  /** The events of one name. */
  recordedOf<Name extends keyof KernelEvents>(name: Name): KernelEvents[Name][];
  /** Resolves with the next event of this name that fits; with one of the past only if `past` is set. */
  next<Name extends keyof KernelEvents>(
    name: Name,
    fits?: (event: KernelEvents[Name]) => boolean,
    options?: { readonly past?: boolean },
  ): Promise<KernelEvents[Name]>;
  /** Stops the kernel, closes the data source, and deletes the database if it was made here. */
  dispose(): Promise<void>;
}

/** What monitors are told, and what tests wait for besides. Leases and hook calls come by the thousand and stay out. */
const RECORDED: readonly (keyof KernelEvents)[] = [
  ...MIRRORED,
  "leaseTimedOut",
  "modelsRegistered",
  "changesFolded",
  "backfillProgress",
  "vectorAcknowledged",
  "logPruned",
  "pageServed",
];

/**
 * A real kernel on a real SQLite file, with injected clock, random and an in-memory transport, and with its events
 * recorded. Not started yet: call `tidemark.start()`.
 */
export async function createTestKernel(options: TestKernelOptions): Promise<TestKernel> {
  const { device, network, dial = [] } = options;
  const directory = options.database === undefined ? mkdtempSync(join(tmpdir(), "tidemark-test-")) : null;
  const database = options.database ?? join(directory!, `${device}.sqlite`);
  const dataSource = new DataSource(
    tidemarkDataSourceOptions({
      type: "better-sqlite3",
      database,
      entities: options.entities,
      synchronize: options.synchronize ?? true,
      ...(options.dataSourceOptions as object),
    }),
  );
  const plugins = [...(options.plugins ?? [])];
  if (network !== undefined) plugins.push(inMemoryTransportPlugin(network.transport(device, { dial: [...dial] })));
  const tidemark = createTidemark({
    dataSource,
    entities: options.declarations ?? [],
    plugins,
    settings: {
      library: {
        id: options.library?.id ?? "test-library",
        secret: options.library?.secret ?? "a secret that only tests know",
        role: options.role ?? (dial.length > 0 ? "join" : "found"),
      },
      device: { id: device, name: `Device ${device}` },
      ...options.settings,
    },
    clock: options.clock ?? new ManualClock(),
    random: options.random ?? new SeededRandom([...device].reduce((sum, letter) => sum * 31 + letter.charCodeAt(0), 7)),
    env: {},
    ...(options.logger !== undefined && { logger: options.logger }),
  });

  const recorded: RecordedEvent[] = [];
  const waiters = new Set<(entry: RecordedEvent) => void>();
  for (const name of RECORDED) {
    tidemark.events.on(name, (event) => {
      const entry = { name, event } as RecordedEvent;
      recorded.push(entry);
      for (const waiter of [...waiters]) waiter(entry);
    });
  }
  return {
    tidemark,
    dataSource,
    database,
    recorded,
    recordedOf: (name) => recorded.filter((entry) => entry.name === name).map((entry) => entry.event as never),
    next: (name, fits = () => true, { past = false } = {}) => {
      const matches = (entry: RecordedEvent) => entry.name === name && fits(entry.event as never);
      const known = past ? recorded.find(matches) : undefined;
      if (known !== undefined) return Promise.resolve(known.event as never);
      return new Promise((resolve) => {
        const waiter = (entry: RecordedEvent) => {
          if (!matches(entry)) return;
          waiters.delete(waiter);
          resolve(entry.event as never);
        };
        waiters.add(waiter);
      });
    },
    async dispose() {
      await tidemark.stop();
      if (dataSource.isInitialized) await dataSource.destroy();
      if (directory !== null) rmSync(directory, { recursive: true, force: true });
    },
  };
}

function inMemoryTransportPlugin(transport: Transport): AnyPlugin {
  return definePlugin({
    manifest: { id: "in-memory-transport", version: "1.0.0", apiVersion: API_VERSION },
    activate({ services, subscriptions }) {
      subscriptions.push(services.get(transports).register(transport));
    },
  });
}
