import { type AnyPlugin, API_VERSION, definePlugin } from "@tidemark/plugin-api";
import { Column, Entity, ManyToOne, PrimaryGeneratedColumn } from "typeorm";
import { afterEach, beforeEach, expect, it } from "vitest";
import { shared, TestLibrary } from "./library.test-support.js";
import { ScriptedPeer } from "./scripted-peer.support.js";

/** Devices that can't serve for a while, and others that wait for them on a connection that stays. */
@Entity()
class Note {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) text!: string;
}

@Entity()
class Machine {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
}

@Entity()
class Drive {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) label!: string;
  @ManyToOne(() => Machine, { nullable: false, onDelete: "CASCADE" }) machine!: Machine;
}

let library: TestLibrary;
beforeEach(() => {
  library = new TestLibrary({
    entities: [Note, Machine, Drive],
    declarations: [
      ...shared(Note, { entity: Machine, isDevice: true }),
      { entity: Drive, ownership: { kind: "device", owner: "machine" } },
    ],
  });
});
afterEach(() => library.dispose());

/** Whatever goes wrong, everything is to be fetched anew. */
const thorough: AnyPlugin = definePlugin({
  manifest: { id: "thorough", version: "1.0.0", apiVersion: API_VERSION },
  activate({ hooks }) {
    hooks.onCatchUpFailure.tap(() => ({ action: "full-backfill", delayMs: 500, reason: "to be sure" }));
  },
});

it("comes into step when both ends of a broken round want everything anew", async () => {
  const a = await library.device("a", { plugins: [thorough] });
  const b = await library.device("b", { dial: ["a"], plugins: [thorough] });
  await library.settle(a, b);
  library.network.cut("a", "b");
  await a.dataSource.getRepository(Note).save({ uuid: "n1", text: "from a" });
  await b.dataSource.getRepository(Note).save({ uuid: "n2", text: "from b" });
  for (const kernel of [a, b]) {
    await kernel.dataSource.query("UPDATE tidemark_peer SET full_backfill = 1");
  }
  library.network.setLatency({ from: "a", to: "b" }, 20);
  library.network.setLatency({ from: "b", to: "a" }, 20);
  library.network.heal("a", "b");
  await library.settle(a, b);
  expect(await a.dataSource.getRepository(Note).count()).toBe(2);
});

it.each(["a", "b"])("goes on when the only one that could give %s everything anew is reset meanwhile", async (name) => {
  const { a, b } = await library.pair();
  const [kernel, other] = name === "a" ? [a, b] : [b, a];
  await other.dataSource.getRepository(Note).save({ uuid: "n1", text: "before" });
  await library.settle(a, b);
  library.network.cut("a", "b");
  await library.clock.advance(1_000);
  await kernel.dataSource.query("UPDATE tidemark_peer SET full_backfill = 1");
  kernel.tidemark.events.on("backfillStarted", () => library.network.cut("a", "b"));
  library.network.heal("a", "b");
  await library.clock.advance(10_000);
  expect((await kernel.tidemark.status()).backfill).not.toBeNull();
  await kernel.dataSource.getRepository(Note).save({ uuid: "n2", text: "meanwhile" });
  await other.dataSource.getRepository(Note).save({ uuid: "n3", text: "meanwhile" });
  await other.tidemark.resetSyncState();
  library.network.heal("a", "b");
  await library.settle(a, b);
  expect(await kernel.dataSource.getRepository(Note).count()).toBe(3);
});

it("lets a device join once the records are restored for which it was refused", async () => {
  const a = await library.device("a");
  const b = await library.device("b", { dial: ["a"] });
  await library.settle(a, b);
  const machine = await b.dataSource.getRepository(Machine).save({ uuid: "b" });
  await b.dataSource.getRepository(Drive).save({ uuid: "d1", label: "right", machine });
  await library.settle(a, b);
  library.network.cut("a", "b");
  await a.dataSource.query("UPDATE drive SET label = 'wrong'");
  await library.clock.advance(1_000);
  const c = await library.device("c", { dial: ["a"] });
  await library.clock.advance(5_000);
  expect((await c.tidemark.status()).backfill).not.toBeNull();
  library.network.heal("a", "b");
  await library.settle(a, b, c);
  expect(await c.dataSource.query("SELECT label FROM drive")).toEqual([{ label: "right" }]);
});

it("does not take a device that comes back for one that has the library, because it can't be served yet", async () => {
  const settings = {
    replication: { heartbeatMs: 1_000, retryDelayMs: 1_000 },
    membership: { maxOfflineMs: 60_000 },
  };
  const m = await library.device("m", { settings });
  const z = await library.device("z", { dial: ["m"], settings });
  // Its id is the lower one: of two that want everything anew it is the one that would give way.
  const b = await library.device("b", { dial: ["m"], settings });
  const machine = await z.dataSource.getRepository(Machine).save({ uuid: "z" });
  await z.dataSource.getRepository(Drive).save({ uuid: "d1", label: "right", machine });
  await m.dataSource.getRepository(Note).save({ uuid: "n1", text: "before" });
  await library.settle(m, z, b);
  const former = (await b.tidemark.status()).origin;
  await b.tidemark.stop();
  await library.clock.advance(75_000);
  expect((await m.tidemark.status()).removals).toMatchObject([{ deviceId: "b", kind: "lapsed", waitsFor: [] }]);
  await m.dataSource.getRepository(Note).save({ uuid: "n2", text: "missed" });
  await library.settle(m, z);

  library.network.cut("m", "z");
  await m.dataSource.query("UPDATE drive SET label = 'wrong'");
  await library.clock.advance(1_000);
  const back = await library.restart("b", b, { dial: ["m"], settings });
  await library.clock.advance(5_000);
  expect((await back.tidemark.status()).origin).not.toBe(former);
  expect((await back.tidemark.status()).backfill).not.toBeNull();
  library.network.heal("m", "z");
  await library.settle(m, z, back);
  expect(await back.dataSource.getRepository(Note).count()).toBe(2);
  expect(await back.dataSource.query("SELECT label FROM drive")).toEqual([{ label: "right" }]);
});

it("tells a peer that takes its time to introduce itself that it serves the library by now", async () => {
  const { b } = await library.pair();
  await b.dataSource.query("UPDATE tidemark_state SET ready = 0");
  const peer = new ScriptedPeer({ network: library.network, address: "s", dial: "b", now: () => library.clock.now() });
  const session = await peer.connect();
  await session.challenge();
  await session.prove();
  expect(await session.next("hello")).toMatchObject({ ready: false });
  await b.dataSource.query("UPDATE tidemark_state SET ready = 1");
  session.sayHello();
  await session.next("ready");
  session.close();
});
