import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  ContentLibrary,
  controlOf,
  type Device,
  edit,
  insertContents,
  noteOf,
  sizeOf,
} from "./library.test-support.js";

/** The full number: TIDEMARK_CONTENTS=10000. */
const CONTENTS = Number(process.env.TIDEMARK_CONTENTS ?? 2_000);
const MIB = 1_048_576;

let library: ContentLibrary;
beforeEach(() => {
  library = new ContentLibrary();
});
afterEach(() => library.dispose());

/** Two devices in step: a with the records, b which has joined through a. */
async function inStep(count: number): Promise<{ readonly a: Device; readonly b: Device }> {
  const a = await library.device("a");
  await insertContents(a, count);
  const b = await library.joiner("b", "a");
  await library.settle(a, b);
  return { a, b };
}

const logEntries = async (device: Device) => (await sizeOf(device)).logEntries;

describe("pruning after a backfill", () => {
  it("leaves an empty log and small sync tables on both sides", { timeout: 120_000 }, async () => {
    const a = await library.device("a");
    await insertContents(a, CONTENTS);
    const before = await a.tidemark.status();
    expect(before.outbox + before.logEntries).toBeGreaterThanOrEqual(CONTENTS);
    const b = await library.joiner("b", "a");
    await library.settle(a, b);
    expect(await a.dataSource.query("SELECT count(*) AS n FROM content")).toEqual([{ n: CONTENTS }]);
    await a.dataSource.query("UPDATE content SET note = 'from a' WHERE id % 2 = 0");
    await b.dataSource.query("UPDATE content SET note = 'from b' WHERE id % 3 = 0");
    await library.settle(a, b);
    await library.clock.advance(6_000);
    for (const device of [a, b]) {
      const { logEntries, bytes } = await sizeOf(device);
      expect(logEntries).toBe(0);
      expect(bytes).toBeLessThan(MIB);
      expect(await controlOf(device).dryRun()).toMatchObject({ stamps: 0, staysInLog: 0, heldBackBy: [] });
      expect(device.logger.at("warn")).toEqual([]);
    }
    expect(await a.tidemark.digest("Content")).toEqual(await b.tidemark.digest("Content"));
    expect(await a.tidemark.digest("Content")).toMatchObject({ rows: CONTENTS });
  });

  it("forgets nothing that a third member lacks, which was cut off behind its backfill", async () => {
    const { a, b } = await inStep(300);
    await library.clock.advance(6_000);
    expect(await logEntries(a)).toBe(0);

    const c = await library.device("c", {}, { dial: ["a"] });
    await c.next("backfillCompleted", undefined, { past: true });
    library.network.cut("a", "c");
    await insertContents(a, 100, 300);
    await edit(a, "c-000001", "edited");
    await b.dataSource.query("DELETE FROM content WHERE uuid = 'c-000002'");
    await library.settle(a, b);
    await library.clock.advance(61_000);
    for (const device of [a, b]) {
      expect(await logEntries(device)).toBeGreaterThanOrEqual(102);
      const forecast = await controlOf(device).dryRun();
      expect(forecast.stamps).toBe(0);
      expect(forecast.heldBackBy.map(({ deviceId }) => deviceId)).toEqual(["c"]);
      await controlOf(device).pruneNow();
      expect(await logEntries(device)).toBe(forecast.staysInLog);
    }

    library.network.heal("a", "c");
    await library.settle(a, b, c);
    await library.clock.advance(6_000);
    expect(await noteOf(c, "c-000001")).toBe("edited");
    expect(c.recordedOf("backfillStarted")).toHaveLength(1);
    for (const device of [a, b, c]) expect(await logEntries(device)).toBe(0);
  });

  it("carries acknowledgements along a line of devices, so that all of them forget", async () => {
    const a = await library.device("a");
    await insertContents(a, 50);
    const b = await library.joiner("b", "a");
    const c = await library.joiner("c", "b");
    const d = await library.joiner("d", "c");
    const all = [a, b, c, d];
    await library.settle(...all);
    await edit(d, "c-000003", "from the far end");
    await library.settle(...all);
    await library.clock.advance(15_000);
    for (const device of all) expect(await logEntries(device)).toBe(0);
  });
});

describe("conflicts after pruning", () => {
  it("lets an edit that was made before and comes after lose", async () => {
    const { a, b } = await inStep(10);
    const c = await library.joiner("c", "a");
    await library.settle(a, b, c);
    await library.clock.advance(10_000);
    library.network.cut("a", "c");
    await edit(c, "c-000001", "older, from c");
    await library.clock.advance(5_000);
    await edit(a, "c-000001", "newer, from a");
    await edit(b, "c-000005", "from b");
    await library.settle(a, b);
    await library.clock.advance(61_000);
    library.network.heal("a", "c");
    await library.settle(a, b, c);
    await library.clock.advance(10_000);
    for (const device of [a, b, c]) {
      expect(await noteOf(device, "c-000001")).toBe("newer, from a");
      expect(await noteOf(device, "c-000005")).toBe("from b");
      expect(await logEntries(device)).toBe(0);
    }
  });

  it("lets an edit win that follows on a pruned one, though the clocks were set back meanwhile", async () => {
    const { a, b } = await inStep(10);
    await edit(a, "c-000001", "first");
    await library.settle(a, b);
    await library.clock.advance(6_000);
    expect(await logEntries(b)).toBe(0);
    library.clock.setWallClock(library.clock.now() - 240_000);
    await edit(b, "c-000001", "second");
    await library.settle(a, b);
    expect(await noteOf(a, "c-000001")).toBe("second");
  });
});

describe("an idle library", () => {
  it("exchanges a bounded number of frames after a change, and then nothing", async () => {
    const a = await library.device("a");
    await insertContents(a, 20);
    const quiet = { settings: { replication: { heartbeatMs: 100_000_000 } } };
    const b = await library.joiner("b", "a", {}, quiet);
    const c = await library.joiner("c", "b", {}, quiet);
    const all = [a, b, c];
    await library.settle(...all);
    await library.clock.advance(20_000);
    const served = () => all.reduce((sum, device) => sum + device.recordedOf("pageServed").length, 0);
    const before = served();
    await edit(a, "c-000001", "a change");
    await library.settle(...all);
    await library.clock.advance(20_000);
    const exchanged = served() - before;
    // Two pages carry the change; the rest says who has it.
    expect(exchanged).toBeGreaterThan(2);
    expect(exchanged).toBeLessThanOrEqual(12);
    for (const device of all) expect(await logEntries(device)).toBe(0);
    const after = served();
    // Only `a` has a heartbeat within that time: each is answered by nothing.
    await library.clock.advance(30 * 60_000);
    expect(served() - after).toBeLessThanOrEqual(31);
  });
});

describe("turned off and on again", () => {
  it("lets the log grow while it is off, and catches up when it is turned on", async () => {
    const a = await library.device("a", null);
    const b = await library.joiner("b", "a", null);
    await library.settle(a, b);
    await insertContents(a, 500);
    await library.settle(a, b);
    await edit(b, "c-000007", "edited");
    await library.settle(a, b);
    await library.clock.advance(61_000);
    expect(await noteOf(a, "c-000007")).toBe("edited");
    for (const device of [a, b]) expect(await logEntries(device)).toBeGreaterThanOrEqual(500);

    // One alone: the other's heartbeats acknowledge as well.
    const b2 = await library.restart("b", b, {}, { dial: ["a"] });
    await library.settle(a, b2);
    await library.clock.advance(70_000);
    expect(await logEntries(b2)).toBe(0);
    expect(await logEntries(a)).toBeGreaterThanOrEqual(500);

    const a2 = await library.restart("a", a, {}, {});
    await library.settle(a2, b2);
    await library.clock.advance(10_000);
    expect(await logEntries(a2)).toBe(0);
    await edit(a2, "c-000008", "goes on");
    await library.settle(a2, b2);
    expect(await noteOf(b2, "c-000008")).toBe("goes on");
  });
});

describe("the strategy with an age", () => {
  it("keeps what everybody has for as long as it was told, and forgets it then", async () => {
    const keep = { strategy: "acknowledged-and-older-than", keepDays: 1, intervalMs: 60_000 } as const;
    const a = await library.device("a", keep);
    const b = await library.joiner("b", "a", keep);
    await library.settle(a, b);
    await insertContents(a, 40);
    await library.settle(a, b);
    library.pass({ hours: 23 });
    await library.clock.advance(61_000);
    expect(await logEntries(a)).toBeGreaterThanOrEqual(40);
    const forecast = await controlOf(a).dryRun();
    expect(forecast).toMatchObject({ stamps: 0, heldBackBy: [] });
    expect(forecast.upToMs).toBe(library.clock.now() - 24 * 3_600_000);
    library.pass({ hours: 2 });
    await library.clock.advance(61_000);
    for (const device of [a, b]) expect(await logEntries(device)).toBe(0);
  });
});

describe("a member that stays away", () => {
  it("is named after the time that was set, by those that it holds back, until it is back", async () => {
    const hasty = { intervalMs: 60_000 };
    const a = await library.device("a", hasty);
    await insertContents(a, 5);
    const b = await library.joiner("b", "a", hasty);
    const c = await library.joiner("c", "a", hasty);
    await library.settle(a, b, c);
    await library.clock.advance(10_000);
    await c.tidemark.stop();
    await edit(a, "c-000001", "while c is away");
    await library.settle(a, b);
    const warnings = () => a.logger.at("warn").filter(({ message }) => message.includes("keeps all others"));
    library.pass({ hours: 6 * 24 });
    await library.clock.advance(61_000);
    expect(warnings()).toEqual([]);
    expect(controlOf(a).blockedBy()).toEqual([]);
    library.pass({ hours: 36 });
    await library.clock.advance(121_000);
    expect(warnings()).toHaveLength(1);
    expect(warnings()[0]!.fields).toMatchObject({ deviceId: "c", name: "Device c", pending: 1 });
    expect(controlOf(a).blockedBy()).toMatchObject([{ deviceId: "c", pending: 1 }]);
    expect(controlOf(b).blockedBy()).toMatchObject([{ deviceId: "c" }]);
    expect((await controlOf(a).dryRun()).heldBackBy).toMatchObject([{ deviceId: "c" }]);

    const back = await library.restart("c", c, {}, { dial: ["a"] });
    await library.settle(a, b, back);
    await library.clock.advance(61_000);
    expect(controlOf(a).blockedBy()).toEqual([]);
    expect(await logEntries(a)).toBe(0);
  });
});

describe("a device that is to keep entries for their age", () => {
  const strategy = "acknowledged-and-older-than";
  const membership = { maxOfflineMs: 10 * 24 * 3_600_000 };

  it("does not start if that is longer than anybody could ask for them", async () => {
    const started = library.device("a", { strategy, keepDays: 10.5 }, { settings: { membership } });
    await expect(started).rejects.toMatchObject({
      cause: { code: "TIDEMARK_ACK_PRUNING_KEEPS_TOO_LONG", details: { keepDays: 10.5, ...membership } },
    });
  });

  it("starts if members may be away for so long", async () => {
    const a = await library.device("a", { strategy, keepDays: 10 }, { settings: { membership } });
    expect(a.tidemark.state).toBe("running");
  });
});
