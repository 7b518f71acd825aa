import { API_VERSION, definePlugin, logMaintenance } from "@tidemark/plugin-api";
import { Column, Entity, ManyToOne, PrimaryGeneratedColumn } from "typeorm";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { TestKernel } from "../testing/test-kernel.js";
import { query, shared, TestLibrary } from "./library.test-support.js";
import { ScriptedPeer } from "./scripted-peer.support.js";

// Members are removed by others: what they made stays, what they make is not taken any more, and nobody waits for them.

@Entity()
class Note {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) text!: string;
  @ManyToOne(() => Note, { nullable: true, onDelete: "SET NULL" }) about!: Note | null;
}

let library: TestLibrary;
beforeEach(() => {
  library = new TestLibrary({ entities: [Note], declarations: shared(Note) });
});
afterEach(() => library.dispose());

const notes = ({ dataSource }: TestKernel) => dataSource.getRepository(Note);
const write = (kernel: TestKernel, uuid: string, text = uuid) => notes(kernel).save({ uuid, text });
const namesOn = async (kernel: TestKernel) => (await notes(kernel).find({ order: { uuid: "ASC" } })).map((n) => n.uuid);
const originOf = async (kernel: TestKernel) => (await kernel.tidemark.status()).origin!;
const removalsOf = async (kernel: TestKernel) =>
  (await kernel.tidemark.status()).removals.map(({ deviceId, kind, waitsFor }) => ({ deviceId, kind, waitsFor }));
const codesOf = (kernel: TestKernel) =>
  [...kernel.recordedOf("peerRefused"), ...kernel.recordedOf("catchUpFailed")].map(({ code }) => code);

/** a has founded the library, the others have joined through the one before them; all are in step. */
async function line(...names: readonly string[]): Promise<TestKernel[]> {
  const kernels: TestKernel[] = [];
  for (const [index, name] of names.entries()) {
    const kernel = await library.device(name, {
      dial: index === 0 ? [] : [names[index - 1]!],
      settings: { replication: { pageRecords: 1, retryDelayMs: 1_000 } },
    });
    kernels.push(kernel);
    await library.settle(...kernels);
  }
  return kernels;
}

/** Lets everybody hear what everybody has, and forget what all have. */
async function forget(...kernels: readonly TestKernel[]): Promise<void> {
  for (let turn = 0; turn < 3; turn++) {
    for (const kernel of kernels) {
      await kernel.tidemark.services.get(logMaintenance).acknowledge();
      await library.clock.advance(1_000);
      await kernel.tidemark.services.get(logMaintenance).prune();
    }
  }
}

const logEntries = async (kernel: TestKernel) => (await kernel.tidemark.status()).logEntries;

describe("removing a member", () => {
  it("takes nothing more from it, keeps what it made, and tells it so", async () => {
    const [a, b, c] = (await line("a", "b", "c")) as [TestKernel, TestKernel, TestKernel];
    await write(c, "from-c");
    await library.settle(a, b, c);
    library.network.cut("b", "c");
    await a.tidemark.removeMember("c");
    await write(c, "after-the-removal");
    await library.settle(a, b);
    library.network.heal("b", "c");
    await library.clock.advance(20_000);
    expect(await c.tidemark.status()).toMatchObject({ membership: "removed" });
    expect(codesOf(b)).toContain("TIDEMARK_MEMBER_REMOVED");
    expect(b.recordedOf("catchUpDecided").map(({ decision }) => decision.action)).toContain("give-up");
    for (const kernel of [a, b]) {
      expect(await namesOn(kernel)).toEqual(["from-c"]);
      expect(kernel.recordedOf("memberRemoved")).toMatchObject([{ deviceId: "c", kind: "removed" }]);
      expect((await kernel.tidemark.status()).peers.map(({ deviceId }) => deviceId)).not.toContain("c");
    }
    // It goes on by itself.
    expect(await namesOn(c)).toEqual(["after-the-removal", "from-c"]);
    expect(c.tidemark.state).toBe("running");
    expect(await removalsOf(c)).toMatchObject([{ deviceId: "c", kind: "removed" }]);
  });

  it("ends a session that is open, and lets the others go on", async () => {
    const [a, b, c] = (await line("a", "b", "c")) as [TestKernel, TestKernel, TestKernel];
    await b.tidemark.removeMember(await originOf(c));
    await write(c, "too-late");
    await write(a, "goes-on");
    await library.settle(a, b);
    await library.clock.advance(20_000);
    expect(await namesOn(b)).toEqual(["goes-on"]);
    expect(await c.tidemark.status()).toMatchObject({ membership: "removed" });
    expect((await b.tidemark.status()).peers).toMatchObject([{ deviceId: "a", connected: true, failures: 0 }]);
  });

  it("takes no page from it either that has come before and is not merged yet", async () => {
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let holding = false;
    const slow = definePlugin({
      manifest: { id: "slow", version: "1.0.0", apiVersion: API_VERSION },
      activate: ({ hooks }) => {
        hooks.beforeApplyBatch.tap(async () => {
          if (holding) await held;
        });
      },
    });
    const a = await library.device("a", { plugins: [slow] });
    const b = await library.device("b", { dial: ["a"], settings: { replication: { pageRecords: 1 } } });
    await library.settle(a, b);
    holding = true;
    await notes(b).save([
      { uuid: "first", text: "of several pages" },
      { uuid: "second", text: "of several pages" },
    ]);
    await library.clock.advance(1_000);
    await a.tidemark.removeMember("b");
    release();
    await library.clock.advance(5_000);
    expect(await namesOn(b)).toEqual(["first", "second"]);
    expect(await namesOn(a)).toEqual([]);
    expect(query(a.database, "SELECT * FROM tidemark_stamp")).toEqual([]);
  });

  it("says whom it can't remove", async () => {
    const [a, b] = (await line("a", "b")) as [TestKernel, TestKernel];
    await expect(a.tidemark.removeMember("a")).rejects.toMatchObject({ code: "TIDEMARK_MEMBER_IS_THIS_DEVICE" });
    await expect(a.tidemark.removeMember("nobody")).rejects.toMatchObject({
      code: "TIDEMARK_PEER_UNKNOWN",
      details: { known: ["b"] },
    });
    await b.tidemark.stop();
    await a.tidemark.removeMember("b");
    await a.tidemark.removeMember("b");
    expect(a.recordedOf("memberRemoved")).toHaveLength(1);
  });

  it("relays what any member has of it, with the stamps that it had", async () => {
    const [a, b, c] = (await line("a", "b", "c")) as [TestKernel, TestKernel, TestKernel];
    library.network.cut("a", "b");
    await write(c, "note", "from-c");
    await library.settle(b, c);
    const stamps = () => query(b.database, "SELECT hlc FROM tidemark_stamp ORDER BY hlc");
    const before = stamps();
    await a.tidemark.removeMember("c");
    library.network.heal("a", "b");
    await library.settle(a, b);
    expect(await namesOn(a)).toEqual(["note"]);
    expect(query(a.database, "SELECT hlc FROM tidemark_stamp ORDER BY hlc")).toEqual(before);
    await library.clock.advance(10_000);
    for (const kernel of [a, b])
      expect(await removalsOf(kernel)).toEqual([{ deviceId: "c", kind: "removed", waitsFor: [] }]);
  });

  it("settles on what the one has that has most of it, also where all know of the removal before they meet", async () => {
    const [a, b, c] = (await line("a", "b", "c")) as [TestKernel, TestKernel, TestKernel];
    library.network.cut("a", "b");
    await write(c, "note", "from-c");
    await library.settle(b, c);
    const stamps = (kernel: TestKernel) => query(kernel.database, "SELECT hlc FROM tidemark_stamp ORDER BY hlc");
    const before = stamps(b);
    for (const kernel of [a, b]) await kernel.tidemark.removeMember("c");
    library.network.heal("a", "b");
    await library.settle(a, b);
    await library.clock.advance(10_000);
    for (const kernel of [a, b]) {
      expect(await namesOn(kernel)).toEqual(["note"]);
      expect(stamps(kernel)).toEqual(before);
      expect(kernel.recordedOf("removalSettled")).toMatchObject([{ deviceId: "c", stampedAnew: 0 }]);
    }
  });

  it("removes both where two remove each other", async () => {
    const [a, b, c] = (await line("a", "b", "c")) as [TestKernel, TestKernel, TestKernel];
    library.network.cut("a", "b");
    library.network.cut("b", "c");
    await a.tidemark.removeMember("b");
    await b.tidemark.removeMember("a");
    library.network.heal("a", "b");
    await library.clock.advance(10_000);
    library.network.heal("b", "c");
    await library.clock.advance(20_000);
    for (const kernel of [a, b]) expect(await kernel.tidemark.status()).toMatchObject({ membership: "removed" });
    for (const kernel of [a, b, c]) {
      expect((await removalsOf(kernel)).map(({ deviceId }) => deviceId).sort()).toEqual(["a", "b"]);
    }
    expect(await c.tidemark.status()).toMatchObject({ membership: "member", peers: [] });
  });

  it("is heard of through a device that has been removed itself", async () => {
    const [a, b, c, d] = (await line("a", "b", "c", "d")) as [TestKernel, TestKernel, TestKernel, TestKernel];
    library.network.cut("b", "c");
    library.network.cut("c", "d");
    // Only b hears it from a; then b, which is removed, meets c.
    await a.tidemark.removeMember("d");
    await library.clock.advance(2_000);
    await a.tidemark.removeMember("b");
    await library.clock.advance(2_000);
    expect(await b.tidemark.status()).toMatchObject({ membership: "removed" });
    library.network.heal("b", "c");
    await library.clock.advance(10_000);
    expect((await removalsOf(c)).map(({ deviceId }) => deviceId).sort()).toEqual(["b", "d"]);
    expect(d.tidemark.state).toBe("running");
  });
});

describe("the stable point", () => {
  it("waits for a removed member until all others agree on what counts of it, and for nobody then", async () => {
    const [a, b, c] = (await line("a", "b", "c")) as [TestKernel, TestKernel, TestKernel];
    await forget(a, b, c);
    await c.tidemark.stop();
    await write(a, "while-c-is-away");
    await library.settle(a, b);
    await forget(a, b);
    expect(await logEntries(a)).toBeGreaterThan(0);
    library.network.cut("a", "b");
    await a.tidemark.removeMember("c");
    const maintenance = a.tidemark.services.get(logMaintenance);
    await maintenance.prune();
    expect(await logEntries(a)).toBeGreaterThan(0);
    expect((await maintenance.stablePoint()).heldBackBy.map(({ deviceId }) => deviceId)).toContain("c");
    expect(await removalsOf(a)).toEqual([{ deviceId: "c", kind: "removed", waitsFor: [await originOf(b)] }]);
    library.network.heal("a", "b");
    await library.settle(a, b);
    await forget(a, b);
    for (const kernel of [a, b]) {
      expect(kernel.recordedOf("removalSettled")).toMatchObject([{ deviceId: "c", stampedAnew: 0 }]);
      expect(await logEntries(kernel)).toBe(0);
      expect(
        (await kernel.tidemark.services.get(logMaintenance).stablePoint()).heldBackBy.map((held) => held.deviceId),
      ).not.toContain("c");
    }
  });

  it("is that of a device alone when all others have been removed", async () => {
    const [a, b] = (await line("a", "b")) as [TestKernel, TestKernel];
    await b.tidemark.stop();
    await write(a, "one");
    await a.tidemark.removeMember("b");
    await library.clock.advance(5_000);
    await write(a, "two");
    await library.clock.advance(5_000);
    expect(await logEntries(a)).toBe(0);
    expect(await namesOn(a)).toEqual(["one", "two"]);
  });
});

describe("what a removed member left half sent", () => {
  it("is stamped anew when its removal settles, and is the same record to what refers to it", async () => {
    const [a, b, c] = (await line("a", "b", "c")) as [TestKernel, TestKernel, TestKernel];
    await forget(a, b, c);
    // The first pages of a round come through; its end does not.
    library.network.loseAfter({ from: "c", to: "b" }, { frames: 3 });
    for (let n = 0; n < 8; n++) await write(c, `half-${n}`);
    await library.clock.advance(500);
    await c.tidemark.stop();
    await library.settle(a, b);
    const come = await namesOn(b);
    expect(come.length).toBeGreaterThan(0);
    expect(come.length).toBeLessThan(8);
    await write(b, "on-it");
    await notes(b).update({ uuid: "on-it" }, { about: await notes(b).findOneByOrFail({ uuid: come[0]! }) });
    await a.tidemark.removeMember("c");
    await library.settle(a, b);
    await library.clock.advance(5_000);
    const settled = [...a.recordedOf("removalSettled"), ...b.recordedOf("removalSettled")];
    expect(settled).toHaveLength(2);
    expect(Math.max(...settled.map(({ stampedAnew }) => stampedAnew))).toBe(come.length);
    for (const kernel of [a, b]) {
      expect(await namesOn(kernel)).toEqual([...come, "on-it"]);
      const [left] = query<{ n: number }>(
        kernel.database,
        "SELECT count(*) AS n FROM tidemark_stamp s JOIN tidemark_member m ON m.num = s.origin WHERE m.device = 'c'",
      );
      expect(left).toEqual({ n: 0 });
    }
    await forget(a, b);
    for (const kernel of [a, b]) {
      expect(await logEntries(kernel)).toBe(0);
      const [child] = await notes(kernel).find({ where: { uuid: "on-it" }, relations: { about: true } });
      expect(child!.about!.uuid).toBe(come[0]);
    }
  });
});

it("stamps an entry anew that turns up when others have forgotten everything of that time", async () => {
  const [a, b, c] = (await line("a", "b", "c")) as [TestKernel, TestKernel, TestKernel];
  await write(c, "from-c");
  await library.settle(a, b, c);
  await c.tidemark.stop();
  await library.clock.advance(5_000);
  await a.tidemark.removeMember("c");
  await write(a, "meanwhile");
  const peer = new ScriptedPeer({ network: library.network, address: "s", dial: "a", now: () => library.clock.now() });
  let session = await peer.connect();
  await session.introduce();
  const { origin, hlc, members } = await session.join();
  await library.settle(a, b);
  // It comes again with all that a has, so that a can settle and forget; only then it tells what c had told nobody else.
  const again = peer.nextSession();
  session.close();
  await peer.stop();
  await peer.start();
  session = await again;
  await session.challenge();
  await session.prove();
  const { vector } = await session.hello({ origin, members, token: 2 });
  session.close();
  await peer.stop();
  const last = peer.nextSession();
  await peer.start();
  session = await last;
  const ofC = members.find(({ deviceId }) => deviceId === "c")!.origin;
  await session.introduce({ origin, members, token: 3, vector: { ...vector, [origin]: hlc, [`!${ofC}`]: 2 } });
  await forget(a, b);
  expect(a.recordedOf("removalSettled")).toHaveLength(1);
  await session.next("pull");
  const late = vector[ofC]! + 1;
  // What it says to have of c has no weight any more: a has agreed with b on less, and what lies between is to be met as late.
  const own = vector[origin]!;
  session.send({
    t: "page",
    n: 1,
    records: { origins: [], groups: [] },
    position: 0,
    end: { vector: { [origin]: own, [ofC]: late }, members, removals: [], vectors: {} },
  });
  await session.next("applied");
  const [{ floor }] = query<{ floor: number }>(a.database, "SELECT floor FROM tidemark_state") as [{ floor: number }];
  expect(late).toBeLessThanOrEqual(floor);
  session.send({
    t: "page",
    n: 2,
    position: 0,
    end: null,
    records: {
      origins: [[ofC, "c", "c"]],
      groups: [
        { m: "Note", c: ["uuid", "text", "about"], r: [["late", [late, 0], [], [], 0, ["late", "late", null]]] },
      ],
    },
  });
  await session.next("applied");
  await library.settle(a, b);
  for (const kernel of [a, b]) expect(await namesOn(kernel)).toContain("late");
  await peer.stop();
});

@Entity()
class Machine {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
}

@Entity()
class Disk {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) label!: string;
  @ManyToOne(() => Machine, { nullable: false }) machine!: Machine;
}

it("leaves the records of a removed device to all others, once they agree on what counts of it", async () => {
  library = new TestLibrary({
    entities: [Machine, Disk],
    declarations: [
      { entity: Machine, ownership: { kind: "shared" }, isDevice: true },
      { entity: Disk, ownership: { kind: "device", owner: "machine" } },
    ],
  });
  const [a, b, c] = (await line("a", "b", "c")) as [TestKernel, TestKernel, TestKernel];
  const machine = await c.dataSource.getRepository(Machine).save({ uuid: "c" });
  await c.dataSource.getRepository(Disk).save({ uuid: "disk", label: "by c", machine });
  await library.settle(a, b, c);
  await c.tidemark.stop();
  const relabel = (label: string) => a.dataSource.getRepository(Disk).update({ uuid: "disk" }, { label });
  const labelOn = async (kernel: TestKernel) =>
    (await kernel.dataSource.getRepository(Disk).findOneByOrFail({ uuid: "disk" })).label;
  library.network.cut("a", "b");
  await a.tidemark.removeMember("c");
  await relabel("not yet");
  await library.clock.advance(1_000);
  expect(a.recordedOf("changeRefused")).toHaveLength(1);
  library.network.heal("a", "b");
  await library.clock.advance(10_000);
  await library.settle(a, b);
  expect(await labelOn(a)).toBe("by c");
  await relabel("by a");
  await library.settle(a, b);
  for (const kernel of [a, b]) expect(await labelOn(kernel)).toBe("by a");
  expect(a.recordedOf("changeRefused")).toHaveLength(1);
});

it("keeps what a refused change has made of a record that nobody is left to give back, and goes on", async () => {
  library = new TestLibrary({
    entities: [Machine, Disk],
    declarations: [
      { entity: Machine, ownership: { kind: "shared" }, isDevice: true },
      { entity: Disk, ownership: { kind: "device", owner: "machine" } },
    ],
  });
  const [a, b] = (await line("a", "b")) as [TestKernel, TestKernel];
  const machine = await b.dataSource.getRepository(Machine).save({ uuid: "b" });
  await b.dataSource.getRepository(Disk).save({ uuid: "disk", label: "by b", machine });
  await library.settle(a, b);
  await b.tidemark.stop();
  await a.dataSource.getRepository(Disk).update({ uuid: "disk" }, { label: "by a" });
  await library.clock.advance(1_000);
  expect(a.recordedOf("changeRefused")).toHaveLength(1);
  await a.tidemark.removeMember("b");
  const c = await library.device("c", { dial: ["a"], settings: { replication: { retryDelayMs: 1_000 } } });
  await library.settle(a, c);
  for (const kernel of [a, c]) {
    const disks = await kernel.dataSource.getRepository(Disk).find();
    expect(disks.map(({ uuid, label }) => [uuid, label])).toEqual([["disk", "by a"]]);
  }
});
