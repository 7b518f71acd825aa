// Devices of one library with folders, entries in them, and tags on these, on a clock that the test moves.

import {
  createTestKernel,
  InMemoryNetwork,
  ManualClock,
  RecordingLogger,
  SeededRandom,
  type TestKernel,
  type TestKernelOptions,
} from "@tidemark/core/testing";
import { EntitySchema } from "typeorm";
import { type ParallelBackfillSettings, parallelBackfill } from "./index.js";

interface Named {
  readonly id: number;
  readonly uuid: string;
  readonly name: string;
}
interface Entry extends Named {
  readonly folder: Named;
  readonly tags: readonly Named[];
}

const named = {
  id: { type: "integer", primary: true, generated: "increment" },
  uuid: { type: "varchar", unique: true },
  name: { type: "varchar" },
} as const;
const tags = new EntitySchema<Named>({ name: "Tag", columns: named });
const folders = new EntitySchema<Named>({ name: "Folder", columns: named });
const entries = new EntitySchema<Entry>({
  name: "Entry",
  columns: named,
  relations: {
    folder: { type: "many-to-one", target: "Folder", nullable: false, onDelete: "CASCADE" },
    tags: { type: "many-to-many", target: "Tag", joinTable: { name: "entry_tag" } },
  },
});

export const MODELS = ["Tag", "Folder", "Entry", "Entry.tags"];

export interface Device extends TestKernel {
  readonly logger: RecordingLogger;
}

export interface DeviceOptions extends Partial<Omit<TestKernelOptions, "settings">> {
  /** The plugin's settings; null: without the plugin. */
  readonly plugin?: ParallelBackfillSettings | null;
  readonly replication?: NonNullable<TestKernelOptions["settings"]>["replication"];
}

export class Library {
  readonly clock = new ManualClock();
  readonly network: InMemoryNetwork;
  readonly #devices = new Set<Device>();

  constructor({ seed = 1 }: { readonly seed?: number } = {}) {
    // Wide enough that round trips are what counts.
    this.network = new InMemoryNetwork({ clock: this.clock, random: new SeededRandom(seed), windowBytes: 1 << 24 });
  }

  /** A device that runs. The first founds the library; the others dial. */
  async device(name: string, { plugin = null, replication, ...options }: DeviceOptions = {}): Promise<Device> {
    const logger = new RecordingLogger();
    const kernel = await createTestKernel({
      device: name,
      clock: this.clock,
      network: this.network,
      entities: [tags, folders, entries],
      declarations: [tags, folders, entries].map((entity) => ({ entity, ownership: { kind: "shared" } })),
      plugins: plugin === null ? [] : [parallelBackfill],
      logger,
      ...options,
      settings: {
        replication: { pageRecords: 20, retryDelayMs: 1_000, requestTimeoutMs: 10_000, ...replication },
        ...(plugin !== null && { plugins: { "parallel-backfill": { settings: plugin } } }),
      },
    });
    const device = { ...kernel, logger };
    this.#devices.add(device);
    await device.tidemark.start();
    return device;
  }

  /** The same device on the same database. */
  async restart(name: string, old: Device, options: DeviceOptions = {}): Promise<Device> {
    await old.tidemark.stop();
    if (old.dataSource.isInitialized) await old.dataSource.destroy();
    return this.device(name, { database: old.database, ...options });
  }

  /** Devices that have the library, each dialling all before it. */
  async servers(names: readonly string[], size: LibrarySize, options: DeviceOptions = {}): Promise<Device[]> {
    const devices: Device[] = [];
    for (const [index, name] of names.entries()) {
      const device = await this.device(name, { dial: names.slice(0, index), ...options });
      if (index === 0) await fill(device, size);
      devices.push(device);
      await this.settle(...devices);
    }
    return devices;
  }

  /** The time for a frame from one to the other, in both directions. */
  latency(a: string, b: string, ms: number): void {
    this.network.setLatency({ from: a, to: b }, ms);
    this.network.setLatency({ from: b, to: a }, ms);
  }

  /** Lets time pass until it is true. */
  async until(what: string, holds: () => boolean | Promise<boolean>, stepMs = 5): Promise<void> {
    for (let step = 0; step < 20_000; step++) {
      if (await holds()) return;
      await this.clock.advance(stepMs);
    }
    throw new Error(`it did not come about: ${what}`);
  }

  /** Lets time pass until all devices hold the same and are idle. */
  async settle(...devices: readonly Device[]): Promise<void> {
    let calm = 0;
    await this.until(
      "the devices come into step",
      async () => {
        const states = await Promise.all(devices.map(stateOf));
        calm = states.every((state) => state !== null && state === states[0]) ? calm + 1 : 0;
        return calm === 3;
      },
      250,
    );
  }

  async dispose(): Promise<void> {
    for (const device of [...this.#devices].reverse()) await device.dispose();
    this.#devices.clear();
  }
}

/** What a device has, in one string; null while it is not idle. */
async function stateOf({ tidemark }: Device): Promise<string | null> {
  const { origin, backfill, outbox } = await tidemark.status();
  if (origin === null || backfill !== null || outbox > 0) return null;
  const digests = await Promise.all(MODELS.map((model) => tidemark.digest(model)));
  return JSON.stringify(digests);
}

export interface LibrarySize {
  readonly entries: number;
  readonly folders?: number;
  readonly tags?: number;
}

export async function fill({ dataSource }: Device, size: LibrarySize): Promise<void> {
  const { entries: count, folders: inFolders = 3, tags: ofTags = 2 } = size;
  const numbers = (upTo: number) =>
    `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${upTo})`;
  await dataSource.query(
    `${numbers(ofTags)} INSERT INTO tag (uuid, name) SELECT printf('t%05d', i), printf('tag %d', i) FROM n`,
  );
  await dataSource.query(
    `${numbers(inFolders)} INSERT INTO folder (uuid, name) SELECT printf('f%05d', i), printf('folder %d', i) FROM n`,
  );
  await dataSource.query(
    `${numbers(count)} INSERT INTO entry (uuid, name, folderId)
     SELECT printf('e%05d', i), printf('entry %d', i), 1 + i % ${inFolders} FROM n`,
  );
  await dataSource.query(
    `INSERT INTO entry_tag (entryId, tagId) SELECT e.id, t.id FROM entry e, tag t WHERE e.id % 5 = t.id`,
  );
}

/** Pages of backfills that were sent to the device of this name. */
export function servedTo(name: string, ...servers: readonly Device[]) {
  const joins = servers.flatMap((server) => server.recordedOf("memberJoined"));
  const origins = new Set(joins.filter(({ deviceId }) => deviceId === name).map(({ origin }) => origin));
  return servers.flatMap((server) =>
    server.recordedOf("pageServed").filter(({ phase, peer }) => phase === "backfill" && origins.has(peer)),
  );
}
