import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Column, Entity, PrimaryGeneratedColumn } from "typeorm";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Sqlite } from "../storage/database.js";
import { SeededRandom } from "../testing/seeded-random.js";
import type { TestKernel } from "../testing/test-kernel.js";
import { onFile, shared, TestLibrary } from "./library.test-support.js";
import { ScriptedPeer } from "./scripted-peer.support.js";

// Databases that are not what their device thinks: restored from a backup, copied, reset; and joins whose answer was lost.

@Entity()
class Note {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) text!: string;
}

let library: TestLibrary;
let folder: string;
beforeEach(() => {
  library = new TestLibrary({ entities: [Note], declarations: shared(Note) });
  folder = mkdtempSync(join(tmpdir(), "tidemark-back-"));
});
afterEach(async () => {
  await library.dispose();
  rmSync(folder, { recursive: true, force: true });
});

const notes = ({ dataSource }: TestKernel) => dataSource.getRepository(Note);
const write = (kernel: TestKernel, uuid: string, text = uuid) => notes(kernel).save({ uuid, text });
const textsOn = async (kernel: TestKernel) =>
  Object.fromEntries((await notes(kernel).find({ order: { uuid: "ASC" } })).map(({ uuid, text }) => [uuid, text]));
const statusOf = (kernel: TestKernel) => kernel.tidemark.status();
const membersOn = async (kernel: TestKernel) => (await statusOf(kernel)).peers.map(({ deviceId }) => deviceId).sort();

const patient = { settings: { replication: { retryDelayMs: 1_000 } } };

/** A copy of the database of a device that has stopped. */
async function copyOf(kernel: TestKernel): Promise<string> {
  if (kernel.dataSource.isInitialized) await kernel.dataSource.destroy();
  const copy = join(folder, `copy-${Math.trunc(library.clock.now())}.sqlite`);
  copyFileSync(kernel.database, copy);
  return copy;
}

describe("a database that was restored from a backup", () => {
  /** b as it was once, and what has happened since. */
  async function restored() {
    const a = await library.device("a", patient);
    const b = await library.device("b", { dial: ["a"], ...patient });
    await write(b, "before-the-backup");
    await library.settle(a, b);
    await b.tidemark.stop();
    const backup = await copyOf(b);
    const later = await library.device("b", { database: b.database, dial: ["a"], ...patient });
    await write(later, "after-the-backup");
    await notes(later).update({ uuid: "before-the-backup" }, { text: "changed after the backup" });
    await library.settle(a, later);
    await later.tidemark.stop();
    await library.clock.advance(60_000);
    return { a, backup, before: (await statusOf(a)).peers[0]!.peer };
  }

  it("comes back under a new origin, with its lost changes and with those that were made since", async () => {
    const { a, backup, before } = await restored();
    const b = await library.device("b", {
      database: backup,
      role: "join",
      before: async (kernel) => {
        await write(kernel, "after-the-restoration");
      },
      dial: ["a"],
      ...patient,
    });
    await library.clock.advance(20_000);
    await library.settle(a, b);
    for (const kernel of [a, b]) {
      expect(await textsOn(kernel)).toEqual({
        "after-the-backup": "after-the-backup",
        "after-the-restoration": "after-the-restoration",
        "before-the-backup": "changed after the backup",
      });
      expect((await statusOf(kernel)).removals).toMatchObject([{ origin: before, kind: "regressed", waitsFor: [] }]);
      expect(await statusOf(kernel)).toMatchObject({ membership: "member" });
    }
    expect((await statusOf(b)).origin).not.toBe(before);
    expect(await membersOn(a)).toEqual(["b"]);
  });

  it("does not come back before all members agree on what counts of what it was", async () => {
    const { a, backup, before } = await restored();
    // One that is away, with a delete of which nobody has heard.
    const c = await library.device("c", { dial: ["a"], ...patient });
    await library.settle(a, c);
    library.network.cut("a", "c");
    await notes(c).delete({ uuid: "before-the-backup" });
    const b = await library.device("b", { database: backup, role: "join", dial: ["a"], ...patient });
    await notes(b).update({ uuid: "before-the-backup" }, { text: "changed after the restoration" });
    await library.clock.advance(60_000);
    const waiting = { origin: before, kind: "regressed", waitsFor: [(await statusOf(c)).origin] };
    expect((await statusOf(a)).removals).toMatchObject([waiting]);
    expect(await statusOf(b)).toMatchObject({ membership: "returning" });
    library.network.heal("a", "c");
    await library.clock.advance(60_000);
    await library.settle(a, b, c);
    expect(await statusOf(b)).toMatchObject({ membership: "member" });
    for (const kernel of [a, b, c]) expect(Object.keys(await textsOn(kernel))).toEqual(["after-the-backup"]);
  });

  it("is found out although it was written to before anybody was met, and no session has begun since the backup", async () => {
    const a = await library.device("a", patient);
    const b = await library.device("b", { dial: ["a"], ...patient });
    await write(b, "before-the-backup");
    await library.settle(a, b);
    const backup = join(folder, "backup.sqlite");
    await b.dataSource.query("VACUUM INTO ?", [backup]);
    await library.clock.advance(5_000);
    await write(b, "after-the-backup");
    await library.settle(a, b);
    await b.tidemark.stop();
    await library.clock.advance(60_000);
    const alone = await library.device("b", { database: backup, ...patient });
    await write(alone, "after-the-restoration");
    await library.settle(alone);
    await alone.tidemark.stop();
    await library.clock.advance(60_000);
    const back = await library.device("b", { database: backup, dial: ["a"], ...patient });
    await library.clock.advance(20_000);
    await library.settle(a, back);
    for (const kernel of [a, back]) {
      expect(Object.keys(await textsOn(kernel))).toEqual([
        "after-the-backup",
        "after-the-restoration",
        "before-the-backup",
      ]);
      expect((await statusOf(kernel)).removals).toMatchObject([{ deviceId: "b", kind: "regressed" }]);
    }
    expect(await statusOf(back)).toMatchObject({ membership: "member" });
  });

  it("is found out by whoever has more of it than it tells itself, also where it does not notice it", async () => {
    const a = await library.device("a", patient);
    const peer = new ScriptedPeer({
      network: library.network,
      address: "s",
      dial: "a",
      now: () => library.clock.now(),
    });
    const first = await peer.connect();
    await first.introduce();
    const { origin, hlc, members } = await first.join();
    await first.next("pull");
    const tell = (session: typeof first, entry: number) =>
      session.send({
        ...{ t: "page", n: 1, position: 0, records: { origins: [], groups: [] } },
        end: { vector: { [origin]: entry }, members, removals: [], vectors: {} },
      });
    tell(first, hlc + 10);
    await first.next("applied");
    const again = async (token: number, entry: number) => {
      const next = peer.nextSession();
      await peer.stop();
      await peer.start();
      const session = await next;
      await session.introduce({ origin, members, token, vector: { [origin]: entry } });
      for (let turn = 0; turn < 20; turn++) await library.clock.settle();
      return session;
    };
    await again(2, hlc + 10);
    expect((await statusOf(a)).removals).toEqual([]);
    await again(3, hlc + 9);
    expect((await statusOf(a)).removals).toMatchObject([{ origin, kind: "regressed" }]);
    await peer.stop();
  });

  it("is found out by a member that has lapsed for it, which brings the lost changes back", async () => {
    const brief = {
      settings: { replication: { heartbeatMs: 1_000, retryDelayMs: 1_000 }, membership: { maxOfflineMs: 60_000 } },
    };
    const a = await library.device("a", brief);
    const b = await library.device("b", { dial: ["a"], ...brief });
    await write(b, "before-the-backup");
    await library.settle(a, b);
    await b.tidemark.stop();
    const backup = await copyOf(b);
    const later = await library.device("b", { database: b.database, dial: ["a"], ...brief });
    await write(later, "after-the-backup");
    await library.settle(a, later);
    await later.tidemark.stop();
    await library.clock.advance(5_000);
    await a.tidemark.stop();
    const alone = await library.device("b", { database: backup, ...brief });
    await write(alone, "after-the-restoration");
    await library.clock.advance(80_000);
    expect((await statusOf(alone)).removals).toMatchObject([{ deviceId: "a", kind: "lapsed" }]);
    const back = await library.restart("a", a, { dial: ["b"], ...brief });
    await library.clock.advance(40_000);
    await library.settle(back, alone);
    for (const kernel of [back, alone]) {
      expect(Object.keys(await textsOn(kernel))).toEqual([
        "after-the-backup",
        "after-the-restoration",
        "before-the-backup",
      ]);
      expect(await statusOf(kernel)).toMatchObject({ membership: "member" });
    }
  });

  it("leaves it to the other one to go on where both have lapsed for each other: it lacks what that has", async () => {
    const brief = {
      settings: { replication: { heartbeatMs: 1_000, retryDelayMs: 1_000 }, membership: { maxOfflineMs: 60_000 } },
    };
    const a = await library.device("a", { random: new SeededRandom(5), ...brief });
    const b = await library.device("b", { dial: ["a"], ...brief });
    for (const uuid of ["deleted-after-the-backup", "before-the-backup"]) await write(b, uuid);
    await library.settle(a, b);
    const origins = { a: (await statusOf(a)).origin!, b: (await statusOf(b)).origin! };
    // Of two that have lapsed, and no more, it would be b that goes on.
    expect(origins.b < origins.a).toBe(true);
    await b.tidemark.stop();
    const backup = await copyOf(b);
    const later = await library.device("b", { database: b.database, dial: ["a"], ...brief });
    await notes(later).delete({ uuid: "deleted-after-the-backup" });
    await write(later, "after-the-backup");
    await library.settle(a, later);
    await later.tidemark.stop();
    library.network.cut("a", "b");
    await library.clock.advance(5_000);
    const alone = await library.device("b", { database: backup, dial: ["a"], ...brief });
    await write(alone, "after-the-restoration");
    await write(a, "meanwhile");
    await library.clock.advance(80_000);
    expect((await statusOf(alone)).removals).toMatchObject([{ deviceId: "a", kind: "lapsed" }]);
    expect((await statusOf(a)).removals).toMatchObject([{ deviceId: "b", kind: "lapsed" }]);
    library.network.heal("a", "b");
    await library.clock.advance(40_000);
    await library.settle(a, alone);
    for (const kernel of [a, alone]) {
      expect(Object.keys(await textsOn(kernel))).toEqual([
        "after-the-backup",
        "after-the-restoration",
        "before-the-backup",
        "meanwhile",
      ]);
      expect(await statusOf(kernel)).toMatchObject({ membership: "member" });
      expect((await statusOf(kernel)).removals).toContainEqual(
        expect.objectContaining({ origin: origins.b, kind: "regressed" }),
      );
    }
  });

  /** b as it was before a was reset, and before it made something that a has got. */
  async function restoredFromBeforeAReset() {
    const a = await library.device("a", patient);
    const b = await library.device("b", { dial: ["a"], ...patient });
    await write(b, "before-the-backup");
    await library.settle(a, b);
    await b.tidemark.stop();
    const backup = await copyOf(b);
    const later = await library.device("b", { database: b.database, dial: ["a"], ...patient });
    await library.settle(a, later);
    await a.tidemark.resetSyncState();
    await library.settle(a, later);
    await write(later, "after-the-backup");
    await library.settle(a, later);
    await later.tidemark.stop();
    await library.clock.advance(60_000);
    return { a, backup, origin: (await statusOf(a)).origin };
  }

  it("does not go on without the one who has found it out, which came to be what it is after the backup", async () => {
    const { a, backup, origin } = await restoredFromBeforeAReset();
    // The hello is all that it hears at first; by that a has been reset, and has more of b than b.
    library.network.loseAfter({ from: "a", to: "b" }, { frames: 3 });
    const back = await library.device("b", { database: backup, dial: ["a"], ...patient });
    await library.clock.advance(20_000);
    await library.settle(a, back);
    for (const kernel of [a, back]) {
      expect(Object.keys(await textsOn(kernel))).toEqual(["after-the-backup", "before-the-backup"]);
      expect(await statusOf(kernel)).toMatchObject({ membership: "member" });
      expect((await statusOf(kernel)).removals).toContainEqual(expect.objectContaining({ kind: "regressed" }));
    }
    expect((await statusOf(a)).origin).toBe(origin);
    expect(await membersOn(back)).toEqual(["a"]);
  });

  it("does not count what it has lost as had where it goes on alone", async () => {
    const { a, backup, origin } = await restoredFromBeforeAReset();
    // As if all others that it knows had told it, and were gone for good.
    onFile(
      backup,
      "UPDATE tidemark_member SET removed_kind = 'replaced', removed_hlc = join_hlc + 1, removed_by = origin",
    );
    onFile(backup, "UPDATE tidemark_member SET removed_kind = 'regressed' WHERE device = 'b'");
    const back = await library.device("b", { database: backup, random: new SeededRandom(2), ...patient });
    await library.clock.advance(60_000);
    expect(await statusOf(back)).toMatchObject({ membership: "member", peers: [] });
    const again = await library.restart("b", back, { dial: ["a"], ...patient });
    await library.clock.advance(20_000);
    await library.settle(a, again);
    for (const kernel of [a, again]) {
      expect(Object.keys(await textsOn(kernel))).toEqual(["after-the-backup", "before-the-backup"]);
    }
    // Of the two it is a that had to return, and has brought along what b had lost.
    expect((await statusOf(a)).origin).not.toBe(origin);
  });

  it("is found out by its session token where it has nothing to be found out by otherwise", async () => {
    const a = await library.device("a", patient);
    const b = await library.device("b", { dial: ["a"], ...patient });
    await library.settle(a, b);
    await b.tidemark.stop();
    const backup = await copyOf(b);
    const later = await library.device("b", { database: b.database, dial: ["a"], ...patient });
    await library.settle(a, later);
    await later.tidemark.stop();
    const back = await library.device("b", { database: backup, dial: ["a"], ...patient });
    await library.clock.advance(20_000);
    await library.settle(a, back);
    expect((await statusOf(a)).removals).toMatchObject([{ deviceId: "b", kind: "regressed" }]);
    expect(await statusOf(back)).toMatchObject({ membership: "member" });
  });
});

it("a copy that runs beside the original comes back under an origin of its own, and so does the original", async () => {
  const a = await library.device("a", patient);
  const b = await library.device("b", { dial: ["a"], ...patient });
  await library.settle(a, b);
  await b.tidemark.stop();
  const copy = await copyOf(b);
  const original = await library.device("b", { database: b.database, dial: ["a"], ...patient });
  await library.settle(a, original);
  await original.tidemark.pause();
  await write(original, "by-the-original");
  const clone = await library.device("b", { database: copy, dial: ["a"], random: new SeededRandom(77), ...patient });
  await write(clone, "by-the-clone");
  await library.clock.advance(20_000);
  await library.settle(a, clone);
  await clone.tidemark.pause();
  await original.tidemark.resume();
  await library.clock.advance(20_000);
  await library.settle(a, original);
  expect(Object.keys(await textsOn(a))).toEqual(["by-the-clone", "by-the-original"]);
  expect((await statusOf(original)).origin).not.toBe((await statusOf(clone)).origin);
});

it("a database that was copied to another device joins there as another member, and the original goes on", async () => {
  const a = await library.device("a", patient);
  const b = await library.device("b", { dial: ["a"], ...patient });
  await write(a, "common");
  await write(a, "deleted-later");
  await library.settle(a, b);
  await b.tidemark.stop();
  const copy = await copyOf(b);
  const origin = (await statusOf(a)).peers[0]!.peer;
  const original = await library.device("b", { database: b.database, dial: ["a"], ...patient });
  await notes(original).delete({ uuid: "deleted-later" });
  await library.settle(a, original);
  const c = await library.device("c", {
    database: copy,
    dial: ["a"],
    ...patient,
    before: async (kernel) => {
      await write(kernel, "written-on-the-copy");
    },
  });
  await library.clock.advance(10_000);
  await library.settle(a, original, c);
  for (const kernel of [a, original, c]) {
    expect(Object.keys(await textsOn(kernel))).toEqual(["common", "written-on-the-copy"]);
    expect((await statusOf(kernel)).removals).toEqual([]);
  }
  expect((await statusOf(original)).origin).toBe(origin);
  expect(await membersOn(a)).toEqual(["b", "c"]);
});

describe("resetting the sync state", () => {
  it("keeps every record, and leaves no member behind that nobody is", async () => {
    const a = await library.device("a", patient);
    const b = await library.device("b", { dial: ["a"], ...patient });
    await write(a, "common");
    await library.settle(a, b);
    const before = (await statusOf(b)).origin;
    await b.tidemark.pause();
    await write(b, "only-on-b");
    await write(a, "only-on-a");
    await b.tidemark.digest("Note");
    await b.tidemark.resetSyncState();
    expect(Object.keys(await textsOn(b))).toEqual(["common", "only-on-b"]);
    // It was paused, and is.
    await library.clock.advance(10_000);
    expect(await statusOf(b)).toMatchObject({ state: "paused", origin: null });
    await b.tidemark.resume();
    await library.clock.advance(10_000);
    await library.settle(a, b);
    for (const kernel of [a, b]) {
      expect(Object.keys(await textsOn(kernel))).toEqual(["common", "only-on-a", "only-on-b"]);
      expect((await statusOf(kernel)).removals).toMatchObject([{ origin: before, kind: "replaced", waitsFor: [] }]);
    }
    expect(await membersOn(a)).toEqual(["b"]);
    expect((await statusOf(b)).origin).not.toBe(before);
  });

  it("leaves a device what it was where the disk refuses it, and in touch with the others", async () => {
    const connections: Sqlite[] = [];
    const dataSourceOptions = { prepareDatabase: (db: Sqlite) => void connections.push(db) } as never;
    const a = await library.device("a", patient);
    const b = await library.device("b", { dial: ["a"], ...patient, dataSourceOptions });
    await library.settle(a, b);
    const { origin } = await statusOf(b);
    connections[0]!.pragma("query_only = ON");
    await expect(b.tidemark.resetSyncState()).rejects.toMatchObject({ code: "SQLITE_READONLY" });
    connections[0]!.pragma("query_only = OFF");
    expect(await statusOf(b)).toMatchObject({ origin, membership: "member", state: "running" });
    await write(a, "common");
    await library.clock.advance(10_000);
    await library.settle(a, b);
    expect(Object.keys(await textsOn(b))).toEqual(["common"]);
  });

  it("leaves a device what it was where the commit fails", async () => {
    const a = await library.device("a", patient);
    const b = await library.device("b", { dial: ["a"], ...patient });
    await library.settle(a, b);
    const { origin } = await statusOf(b);
    // Found out by SQLite when everything has been written.
    onFile(
      b.database,
      "CREATE TABLE nobody (id INTEGER PRIMARY KEY)",
      "CREATE TABLE hurdle (id INTEGER REFERENCES nobody (id) DEFERRABLE INITIALLY DEFERRED)",
      `CREATE TRIGGER fail AFTER UPDATE OF self ON tidemark_state WHEN new.self IS NULL
       BEGIN INSERT INTO hurdle VALUES (1); END`,
    );
    await expect(b.tidemark.resetSyncState()).rejects.toMatchObject({ code: "TIDEMARK_STORAGE_COMMIT_FAILED" });
    expect(await statusOf(b)).toMatchObject({ origin, membership: "member", peers: [{ deviceId: "a" }] });
    await write(b, "common");
    await library.clock.advance(10_000);
    await library.settle(a, b);
    expect(Object.keys(await textsOn(a))).toEqual(["common"]);
  });

  it("is the way back for a device that was removed by mistake", async () => {
    const a = await library.device("a", patient);
    const b = await library.device("b", { dial: ["a"], ...patient });
    await library.settle(a, b);
    await a.tidemark.removeMember("b");
    await library.clock.advance(10_000);
    await write(b, "only-on-b");
    expect(await statusOf(b)).toMatchObject({ membership: "removed" });
    await b.tidemark.resetSyncState();
    await library.clock.advance(10_000);
    await library.settle(a, b);
    expect(Object.keys(await textsOn(a))).toEqual(["only-on-b"]);
    expect(await statusOf(b)).toMatchObject({ membership: "member" });
  });
});

describe("resetting the only device that seems to be left", () => {
  it("waits for others, however often it is done: they may go on without it", async () => {
    const a = await library.device("a", patient);
    const b = await library.device("b", { dial: ["a"], ...patient });
    await write(a, "common");
    await library.settle(a, b);
    library.network.cut("a", "b");
    for (let time = 0; time < 2; time++) await a.tidemark.resetSyncState();
    await write(a, "only-on-a");
    await library.clock.advance(5_000);
    expect((await statusOf(a)).origin).toBeNull();
    library.network.heal("a", "b");
    await library.clock.advance(10_000);
    await library.settle(a, b);
    expect(Object.keys(await textsOn(b))).toEqual(["common", "only-on-a"]);
    expect(await membersOn(b)).toEqual(["a"]);
  });

  it("founds the library anew when it is told that nobody is left, and others come back to it", async () => {
    const a = await library.device("a", patient);
    const b = await library.device("b", { dial: ["a"], ...patient });
    await write(b, "common");
    await library.settle(a, b);
    await expect(a.tidemark.resetSyncState({ found: true })).rejects.toMatchObject({
      code: "TIDEMARK_MEMBERS_ARE_LEFT",
      details: { members: ["b"] },
    });
    expect(await statusOf(a)).toMatchObject({ membership: "member" });
    await b.tidemark.pause();
    await write(b, "only-on-b");
    await a.tidemark.removeMember("b");
    await a.tidemark.resetSyncState();
    expect((await statusOf(a)).origin).toBeNull();
    await a.tidemark.resetSyncState({ found: true });
    expect(await statusOf(a)).toMatchObject({ membership: "member", state: "running" });
    await write(a, "only-on-a");
    await b.tidemark.resume();
    await library.clock.advance(10_000);
    await b.tidemark.resetSyncState();
    await library.clock.advance(10_000);
    await library.settle(a, b);
    for (const kernel of [a, b])
      expect(Object.keys(await textsOn(kernel))).toEqual(["common", "only-on-a", "only-on-b"]);
  });
});

describe("a device that asks to join and never hears the answer", () => {
  it("is one member, whomever it asks next", async () => {
    const a = await library.device("a", patient);
    const b = await library.device("b", { dial: ["a"], ...patient });
    await library.settle(a, b);
    // a vouches for it, and the answer is lost with the connection.
    const c = await library.device("c", {
      dial: ["a"],
      ...patient,
      before: () => {
        library.network.loseAfter({ from: "a", to: "c" }, { frames: 3 });
      },
    });
    await a.next("memberJoined", ({ deviceId }) => deviceId === "c", { past: true });
    expect((await statusOf(c)).origin).toBeNull();
    await c.tidemark.stop();
    expect((await statusOf(a)).peers.map(({ deviceId }) => deviceId)).toContain("c");
    const again = await library.restart("c", c, { dial: ["b"], ...patient });
    await library.clock.advance(10_000);
    await library.settle(a, b, again);
    await library.clock.advance(120_000);
    for (const kernel of [a, b, again]) expect((await statusOf(kernel)).peers).toHaveLength(2);
  });

  it("has joined at the earlier of two times, and may ask as often as it likes", async () => {
    const a = await library.device("a", patient);
    const peer = new ScriptedPeer({
      network: library.network,
      address: "s",
      dial: "a",
      now: () => library.clock.now(),
    });
    const session = await peer.connect();
    await session.introduce();
    const first = await session.join();
    await peer.stop();
    const next = peer.nextSession();
    await library.clock.advance(5_000);
    await peer.start();
    const again = await next;
    await again.introduce();
    expect(await again.join()).toMatchObject({ origin: first.origin, hlc: first.hlc });
    await peer.stop();
    expect(a.recordedOf("memberJoined").filter(({ deviceId }) => deviceId === "s")).toHaveLength(1);
  });
});
