// Devices of one library with records like those of content identities, on a clock that the test moves.

import {
  createTestKernel,
  InMemoryNetwork,
  ManualClock,
  RecordingLogger,
  SeededRandom,
  type TestKernel,
  type TestKernelOptions,
} from "@tidemark/core/testing";
import { logMaintenance } from "@tidemark/plugin-api";
import { EntitySchema } from "typeorm";
import { type AckPruningSettings, ackPruning, ackPruningControl } from "./index.js";

export interface Content {
  readonly id: number;
  readonly uuid: string;
  readonly hash: string;
  readonly size: number;
  readonly note: string | null;
}

export const contents = new EntitySchema<Content>({
  name: "Content",
  columns: {
    id: { type: "integer", primary: true, generated: "increment" },
    uuid: { type: "varchar", unique: true },
    hash: { type: "varchar" },
    size: { type: "integer" },
    note: { type: "varchar", nullable: true },
  },
});

export interface Device extends TestKernel {
  readonly logger: RecordingLogger;
}

export class ContentLibrary {
  readonly clock = new ManualClock();
  readonly network = new InMemoryNetwork({ clock: this.clock, random: new SeededRandom(1) });
  readonly #devices = new Set<Device>();

  /** A device that runs, with the plugin unless `settings` is null. The first founds the library; the others dial. */
  async device(
    name: string,
    settings: AckPruningSettings | null = {},
    options: Partial<TestKernelOptions> = {},
  ): Promise<Device> {
    const logger = new RecordingLogger();
    const kernel = await createTestKernel({
      device: name,
      clock: this.clock,
      network: this.network,
      entities: [contents],
      declarations: [{ entity: contents, ownership: { kind: "shared" } }],
      plugins: settings === null ? [] : [ackPruning],
      logger,
      ...options,
      settings: { ...(settings !== null && { plugins: { "ack-pruning": { settings } } }), ...options.settings },
    });
    const device = { ...kernel, logger };
    this.#devices.add(device);
    await device.tidemark.start();
    return device;
  }

  /** A device that joins through another, once it has the library. Waits in real time: a backfill's end waits for a thread. */
  async joiner(
    name: string,
    through: string,
    settings: AckPruningSettings | null = {},
    more: Partial<TestKernelOptions> = {},
  ): Promise<Device> {
    const device = await this.device(name, settings, { dial: [through], ...more });
    await device.next("peerStateChanged", ({ state }) => state === "ready", { past: true });
    return device;
  }

  /** The same device on the same database, perhaps with other settings. */
  async restart(name: string, old: Device, settings: AckPruningSettings | null, options: Partial<TestKernelOptions>) {
    await old.tidemark.stop();
    return this.device(name, settings, { database: old.database, ...options });
  }

  /** Lets the wall clock of everybody jump ahead; timers don't notice. */
  pass({ hours }: { readonly hours: number }): void {
    this.clock.setWallClock(this.clock.now() + hours * 3_600_000);
  }

  /** Lets time pass until all devices hold the same and are idle. */
  async settle(...devices: readonly Device[]): Promise<void> {
    for (let turn = 0, calm = 0; turn < 200; turn++) {
      await this.clock.advance(250);
      const digests = await Promise.all(devices.map(async ({ tidemark }) => (await tidemark.digest("Content")).digest));
      const states = await Promise.all(devices.map(({ tidemark }) => tidemark.status()));
      const idle = states.every(({ origin, backfill, outbox }) => origin !== null && backfill === null && outbox === 0);
      calm = idle && digests.every((digest) => digest === digests[0]) ? calm + 1 : 0;
      if (calm === 3) return;
    }
    throw new Error("the devices did not come into step");
  }

  async dispose(): Promise<void> {
    for (const device of [...this.#devices].reverse()) await device.dispose();
  }
}

/** Writes `count` records in one transaction, numbered from `from`. */
export async function insertContents(device: Device, count: number, from = 0): Promise<void> {
  await device.dataSource.query(
    `WITH RECURSIVE n (i) AS (SELECT ? UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?)
     INSERT INTO content (uuid, hash, size, note) SELECT printf('c-%06d', i), printf('%064x', i * 7919), i * 100, NULL FROM n`,
    [from, from + count],
  );
}

export async function edit(device: Device, uuid: string, note: string): Promise<void> {
  await device.dataSource.query("UPDATE content SET note = ? WHERE uuid = ?", [note, uuid]);
}

export async function noteOf(device: Device, uuid: string): Promise<string | null> {
  return (await device.dataSource.getRepository(contents).findOneByOrFail({ uuid })).note;
}

export const sizeOf = ({ tidemark }: Device) => tidemark.services.get(logMaintenance).size();
export const controlOf = ({ tidemark }: Device) => tidemark.services.get(ackPruningControl);
