// Random runs on real kernels: a device takes in a library from several servers, while these write, prune, restart and
// vanish, and while it restarts itself. Whatever has happened, all end with the same records. A failing seed is kept in
// the list below and run for ever. TIDEMARK_SEED=100 TIDEMARK_SEEDS=500 looks further.

import { SeededRandom } from "@tidemark/core/testing";
import { logMaintenance } from "@tidemark/plugin-api";
import { afterEach, describe, expect, it } from "vitest";
import { type Device, type DeviceOptions, Library } from "./library.test-support.js";

/** Seeds that have failed once. */
const KEPT: readonly number[] = [
  1018, // stamps from below the floor came with a backfill, and stayed in the log
  1060, // so did hidden records whose targets had been forgotten
];

let library: Library;
afterEach(() => library.dispose());

const NAMES = ["a", "b", "c", "d"];
const JOINER = 3;

class World {
  readonly library: Library;
  readonly random: SeededRandom;
  readonly trace: string[] = [];
  readonly devices: Device[] = [];
  #serial = 0;

  constructor(seed: number) {
    this.library = new Library({ seed });
    this.random = new SeededRandom(seed);
  }

  below(n: number): number {
    return Math.floor(this.random.next() * n);
  }

  options(index: number): DeviceOptions {
    const concurrency = 1 + this.below(8);
    return {
      dial: NAMES.slice(0, index),
      replication: { pageRecords: 1 + this.below(12), retryDelayMs: 200 },
      // Now and then the kernel's own takes over, or hands over.
      plugin: this.below(5) === 0 ? null : { concurrency, concurrencyPerPeer: 1 + this.below(4) },
    };
  }

  async work(index: number): Promise<void> {
    this.#serial += 1;
    const text = `${NAMES[index]}${this.#serial}`;
    const statements: readonly (readonly [string, unknown[]])[] = [
      [
        "INSERT INTO entry (uuid, name, folderId) SELECT 'e' || printf('%05d', ?) || ?, ?, id FROM folder ORDER BY uuid LIMIT 1",
        [this.below(200), text, text],
      ],
      ["UPDATE entry SET name = ? WHERE id % 9 = ?", [text, this.below(9)]],
      ["DELETE FROM entry WHERE id % 40 = ?", [this.below(40)]],
      ["INSERT OR IGNORE INTO folder (uuid, name) VALUES ('f' || printf('%05d', ?), ?)", [this.below(9), text]],
      ["UPDATE entry SET folderId = (SELECT max(id) FROM folder) WHERE id % 13 = ?", [this.below(13)]],
      ["DELETE FROM folder WHERE id % 6 = ? AND id > 2", [this.below(6)]],
      ["UPDATE tag SET name = ? WHERE id = ?", [text, 1 + this.below(3)]],
      ["INSERT OR IGNORE INTO entry_tag (entryId, tagId) SELECT id, 1 FROM entry WHERE id % 7 = ?", [this.below(7)]],
      ["DELETE FROM entry_tag WHERE entryId % 5 = ?", [this.below(5)]],
    ];
    const [sql, parameters] = statements[this.below(statements.length)]!;
    this.trace.push(`${NAMES[index]}: ${sql} ${JSON.stringify(parameters)}`);
    await this.devices[index]!.dataSource.query(sql, parameters);
  }

  async restart(index: number): Promise<void> {
    this.trace.push(`${NAMES[index]}: restart`);
    this.devices[index] = await this.library.restart(NAMES[index]!, this.devices[index]!, this.options(index));
  }

  async prune(index: number): Promise<void> {
    const maintenance = this.devices[index]!.tidemark.services.get(logMaintenance);
    await maintenance.acknowledge();
    await this.library.clock.advance(this.below(100));
    const { stamps } = await maintenance.prune();
    this.trace.push(`${NAMES[index]}: prune ${stamps} stamps`);
  }

  /** One thing that happens while the backfill lasts. */
  async step(): Promise<void> {
    const { network, clock } = this.library;
    const one = this.below(NAMES.length);
    const other = (one + 1 + this.below(NAMES.length - 1)) % NAMES.length;
    const link = { from: NAMES[one]!, to: NAMES[other]! };
    const dice = this.below(100);
    if (dice < 35) await clock.advance(this.below(40));
    else if (dice < 60) await this.work(this.below(NAMES.length));
    else if (dice < 67) network.cut(link.from, link.to);
    else if (dice < 80) network.heal(link.from, link.to);
    else if (dice < 85) network.loseAfter(link, { frames: this.below(6) });
    else if (dice < 88) network.truncateNext(link, { keepBytes: this.below(60) });
    else if (dice < 92) await this.prune(this.below(JOINER));
    else if (dice < 96) await this.restart(JOINER);
    else if (dice < 98) await this.restart(this.below(JOINER));
    else await clock.advance(400);
    this.trace.push(`${dice} ${link.from}-${link.to}`);
  }

  async calm(): Promise<void> {
    const { network } = this.library;
    for (const one of NAMES) for (const other of NAMES) if (one < other) network.heal(one, other);
    await this.library.settle(...this.devices);
  }
}

async function run(seed: number): Promise<void> {
  const world = new World(seed);
  library = world.library;
  try {
    world.devices.push(
      ...(await library.servers(NAMES.slice(0, JOINER), { entries: 60 + world.below(80), folders: 5, tags: 3 })),
    );
    for (let work = 0; work < 10; work++) await world.work(world.below(JOINER));
    for (let server = 0; server < JOINER; server++) library.latency(NAMES[server]!, NAMES[JOINER]!, world.below(40));
    world.devices.push(await library.device(NAMES[JOINER]!, world.options(JOINER)));
    for (let step = 0; step < 40; step++) await world.step();
    await world.calm();
    // The same once more with a device that is a member.
    world.trace.push("everything anew");
    await world.devices[JOINER]!.dataSource.query("UPDATE tidemark_peer SET full_backfill = 1");
    await world.restart(JOINER);
    for (let step = 0; step < 25; step++) await world.step();
    await world.calm();
    for (const device of world.devices) {
      expect(await device.dataSource.query("PRAGMA foreign_key_check")).toEqual([]);
      expect(device.recordedOf("catchUpFailed").map(({ code }) => code)).not.toContain(
        "TIDEMARK_BACKFILL_SCHEDULER_FAILED",
      );
    }
    // A join whose answer was lost, and that was then granted by another, leaves a member behind that nobody is.
    const [{ n: members }] = await world.devices[0]!.dataSource.query("SELECT count(*) AS n FROM tidemark_member");
    if (members > NAMES.length) return;
    // Once everybody has everything, nothing stays hidden, and nothing is left to remember.
    for (let turn = 0; turn < 12; turn++) {
      for (let index = 0; index < NAMES.length; index++) await world.prune(index);
      await library.clock.advance(1_000);
    }
    for (const device of world.devices) {
      const { logEntries, parked } = await device.tidemark.status();
      const nothing = { hidden: 0, quarantined: 0, deferred: 0, dead: 0, foreign: 0 };
      expect({ logEntries, parked }).toEqual({ logEntries: 0, parked: nothing });
    }
  } catch (error) {
    throw new Error(`seed ${seed}\n${world.trace.join("\n")}`, { cause: error });
  }
}

describe("a backfill from several servers, in a random run", () => {
  const from = Number(process.env.TIDEMARK_SEED ?? 1);
  const count = Number(process.env.TIDEMARK_SEEDS ?? 4);
  const seeds = Array.from({ length: count }, (_, index) => from + index);
  it.each(process.env.TIDEMARK_SEED === undefined ? [...KEPT, ...seeds] : seeds)("seed %i", { timeout: 60_000 }, run);
});
