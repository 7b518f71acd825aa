import { type KernelEvents, logMaintenance } from "@tidemark/plugin-api";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ParallelBackfillSettings } from "./index.js";
import { type Device, type DeviceOptions, Library, servedTo } from "./library.test-support.js";

const SIZE = { entries: 600, folders: 4, tags: 2 };
/** 2 tags, 4 folders, 600 entries, and 240 tags on these. */
const RECORDS = 846;

let library: Library;
beforeEach(() => {
  library = new Library();
});
afterEach(() => library.dispose());

/** A device that joins over links that take their time. Not yet done. */
async function joiner(name: string, dial: readonly string[], options: DeviceOptions = {}): Promise<Device> {
  for (const peer of dial) library.latency(peer, name, 10);
  return await library.device(name, { dial, plugin: {}, ...options });
}

const progress = (device: Device) => device.recordedOf("backfillProgress");
const isDone = (device: Device) => device.recordedOf("backfillCompleted").length > 0;
const servers = (device: Device, model: string) =>
  new Set(
    progress(device)
      .filter((event) => event.model === model)
      .map(({ peer }) => peer),
  );
const originOf = async ({ tidemark }: Device) => (await tidemark.status()).origin!;

describe("one server", () => {
  it("sends every page once, and what refers to others comes behind them", async () => {
    const [a] = await library.servers(["a"], SIZE);
    const b = await joiner("b", ["a"]);
    let parked = 0;
    b.tidemark.events.on("batchApplied", ({ counts }) => {
      parked += counts.parked;
    });
    await library.settle(a!, b);
    expect(b.recordedOf("backfillCompleted")).toMatchObject([{ records: RECORDS }]);
    expect(servedTo("b", a!).reduce((sum, { records }) => sum + records, 0)).toBe(RECORDS);
    expect(parked).toBe(0);
    // Folders and tags are one level, their entries the next, and what joins these the last.
    const order = progress(b).map(({ model }) => ["Tag", "Folder", "Entry", "Entry.tags"].indexOf(model));
    const level = (index: number) => Math.max(0, order[index]! - 1);
    order.forEach((_, index) => {
      if (index > 0) expect(level(index)).toBeGreaterThanOrEqual(level(index - 1));
    });
    expect(progress(b).at(-1)).toMatchObject({ allDone: RECORDS, allTotal: RECORDS });
    expect(b.recordedOf("catchUpFailed")).toEqual([]);
  });

  it("is asked for no more pages and bytes at once than the settings say", async () => {
    const [a] = await library.servers(["a"], { ...SIZE, entries: 300 });
    await a!.dataSource.query("UPDATE entry SET name = name || hex(randomblob(20000))");
    const inFlight = { pages: 0, most: 0, bytes: 0, mostBytes: 0 };
    const sizes: number[] = [];
    a!.tidemark.events.on("pageServed", ({ bytes }) => {
      sizes.push(bytes);
      inFlight.pages += 1;
      inFlight.bytes += bytes;
      inFlight.most = Math.max(inFlight.most, inFlight.pages);
      inFlight.mostBytes = Math.max(inFlight.mostBytes, inFlight.bytes);
    });
    const b = await joiner("b", ["a"], {
      plugin: { concurrency: 6, concurrencyPerPeer: 6, maxBytesInFlight: 1_048_576 },
    });
    b.tidemark.events.on("backfillProgress", () => {
      inFlight.pages -= 1;
      inFlight.bytes -= sizes.shift()!;
    });
    await library.until("the backfill", () => isDone(b));
    expect(inFlight.most).toBeGreaterThan(3);
    expect(inFlight.most).toBeLessThanOrEqual(6);
    // A page of 20 such records alone would be 800,000 bytes, and is half of that on its way.
    expect(inFlight.mostBytes).toBeGreaterThan(200_000);
    expect(inFlight.mostBytes).toBeLessThanOrEqual(1_048_576);
    await library.settle(a!, b);
  });
});

describe("several servers", () => {
  it("share a model, and all of them have their part in it", async () => {
    const devices = await library.servers(["a", "b", "c"], SIZE);
    const d = await joiner("d", ["a", "b", "c"]);
    await library.settle(...devices, d);
    expect(servers(d, "Entry").size).toBe(3);
    for (const server of devices) expect(servedTo("d", server).length).toBeGreaterThan(5);
    expect(d.recordedOf("backfillCompleted")).toMatchObject([{ records: RECORDS }]);
    expect(d.recordedOf("catchUpFailed")).toEqual([]);
    for (const { state } of (await d.tidemark.status()).peers) expect(state).toBe("ready");
  });

  it("are asked the less the slower they are", async () => {
    const devices = await library.servers(["a", "b"], { ...SIZE, entries: 1_500 });
    library.latency("b", "c", 500);
    library.latency("a", "c", 10);
    const c = await library.device("c", { dial: ["a", "b"], plugin: {} });
    await library.settle(...devices, c);
    const slow = await originOf(devices[1]!);
    const pages = progress(c);
    expect(pages.filter(({ peer }) => peer === slow).length).toBeLessThan(pages.length / 5);
  });

  it.each([
    ["the one that it was begun with", 0],
    ["another one", 1],
  ])("go on without %s, whose ranges are fetched from the other", async (_, lost) => {
    const names = ["a", "b"];
    const devices = await library.servers(names, SIZE);
    const c = await joiner("c", names);
    await library.until("both serve", () => servers(c, "Entry").size === 2, 1);
    const before = progress(c).length;
    library.network.cut(names[lost]!, "c");
    await library.until("the backfill", () => isDone(c), 1);
    const stayed = await originOf(devices[1 - lost]!);
    expect(
      new Set(
        progress(c)
          .slice(before + 4)
          .map(({ peer }) => peer),
      ),
    ).toEqual(new Set([stayed]));
    expect(c.recordedOf("backfillStarted")).toHaveLength(1);
    expect(c.recordedOf("backfillCompleted")).toMatchObject([{ records: RECORDS }]);
    // Only what was on its way from the lost one is fetched again.
    expect(servedTo("c", ...devices).length).toBeLessThanOrEqual(progress(c).length + 4);
    library.network.heal(names[lost]!, "c");
    await library.settle(...devices, c);
  });

  it("serve again when they come back", async () => {
    const devices = await library.servers(["a", "b"], SIZE);
    const c = await joiner("c", ["a", "b"]);
    const b = await originOf(devices[1]!);
    await library.until("both serve", () => servers(c, "Entry").size === 2, 1);
    library.network.cut("b", "c");
    await library.until("the loss is noticed", () => c.recordedOf("catchUpFailed").length > 0, 1);
    const pages = progress(c).length;
    library.latency("a", "c", 400);
    library.network.heal("b", "c");
    await library.until("the backfill", () => isDone(c));
    expect(
      progress(c)
        .slice(pages + 8)
        .some(({ peer }) => peer === b),
    ).toBe(true);
    await library.settle(...devices, c);
  });

  it("that send rubbish are left, and the others send what was rubbish", async () => {
    const devices = await library.servers(["a", "b"], SIZE);
    const c = await joiner("c", ["a", "b"]);
    await library.until("both serve", () => servers(c, "Entry").size === 2, 1);
    library.network.truncateNext({ from: "b", to: "c" }, { keepBytes: 40 });
    await library.until("the backfill", () => isDone(c), 1);
    expect(c.recordedOf("catchUpFailed")).toMatchObject([
      { peer: await originOf(devices[1]!), phase: "backfill", code: "TIDEMARK_WIRE_MALFORMED" },
    ]);
    expect(c.recordedOf("backfillStarted")).toHaveLength(1);
    await library.settle(...devices, c);
  });

  it("that are all lost fail the backfill, which is taken up with what is missing", async () => {
    const devices = await library.servers(["a", "b"], SIZE);
    const c = await joiner("c", ["a", "b"]);
    await library.until("both serve", () => servers(c, "Entry").size === 2, 1);
    for (const name of ["a", "b"]) library.network.cut(name, "c");
    await library.until("both losses are noticed", () => c.recordedOf("catchUpFailed").length === 2, 1);
    const { backfill } = await c.tidemark.status();
    expect(backfill!.done).toBeGreaterThan(20);
    expect(isDone(c)).toBe(false);
    for (const name of ["a", "b"]) library.network.heal(name, "c");
    await library.until("the backfill", () => isDone(c), 1);
    expect(c.recordedOf("backfillStarted")).toMatchObject([{ resumed: false }, { resumed: true }]);
    expect(c.recordedOf("backfillCompleted")).toMatchObject([{ records: RECORDS }]);
    expect(servedTo("c", ...devices).length).toBeLessThanOrEqual(progress(c).length + 8);
    await library.settle(...devices, c);
  });

  it("with different knowledge lose nothing that is written while it lasts", async () => {
    const devices = await library.servers(["a", "b"], SIZE);
    const [a, b] = devices as [Device, Device];
    const c = await joiner("c", ["a", "b"]);
    await library.until("both serve", () => servers(c, "Entry").size === 2, 1);
    // From now on b hears nothing of a, and serves what it has.
    library.network.cutOneWay({ from: "a", to: "b" });
    await a.dataSource.query("UPDATE entry SET name = 'changed' WHERE id % 7 = 0");
    await a.dataSource.query("DELETE FROM entry WHERE id % 11 = 0");
    await a.dataSource.query(
      "INSERT INTO entry (uuid, name, folderId) SELECT uuid || 'x', 'new', 1 FROM entry LIMIT 50",
    );
    await b.dataSource.query("UPDATE folder SET name = 'changed too'");
    for (const device of devices) await device.tidemark.services.get(logMaintenance).prune();
    await library.until("the backfill", () => isDone(c), 1);
    expect(servers(c, "Entry").size).toBe(2);
    library.network.heal("a", "b");
    await library.settle(...devices, c);
    expect(await c.dataSource.query("SELECT count(*) AS n FROM entry WHERE name = 'new'")).toEqual([{ n: 50 }]);
    expect(await c.dataSource.query("PRAGMA foreign_key_check")).toEqual([]);
  });
});

describe("a server that is behind", () => {
  /** a and b have the library, c everything but what is done now at a, and it wants everything anew. */
  async function behind(changes: (a: Device) => Promise<unknown>): Promise<readonly [Device, Device, Device]> {
    const [a, b] = (await library.servers(["a", "b"], SIZE)) as [Device, Device];
    const old = await joiner("c", ["a", "b"]);
    await library.settle(a, b, old);
    for (const name of ["b", "c"]) library.network.cut("a", name);
    await changes(a);
    await old.dataSource.query("UPDATE tidemark_peer SET full_backfill = 1");
    library.network.heal("a", "c");
    const c = await library.restart("c", old, { dial: ["a", "b"], plugin: {} });
    await library.until("the backfill", () => isDone(c), 1);
    return [a, b, c];
  }

  it("serves what it has, and what it lacks is pulled", async () => {
    const [a, b, c] = await behind(async ({ dataSource }) => {
      await dataSource.query("UPDATE entry SET name = 'changed' WHERE id % 7 = 0");
      await dataSource.query("DELETE FROM entry WHERE id % 11 = 0");
      await dataSource.query(
        "INSERT INTO entry (uuid, name, folderId) SELECT uuid || 'x', 'new', 1 FROM entry LIMIT 50",
      );
    });
    expect(c.recordedOf("backfillStarted")).toMatchObject([{ peer: await originOf(a) }]);
    expect(servers(c, "Entry").size).toBe(2);
    // From here on only a can tell.
    library.network.cut("b", "c");
    await library.settle(a, c);
    library.network.heal("a", "b");
    library.network.heal("b", "c");
    await library.settle(a, b, c);
    expect(await c.dataSource.query("SELECT count(*) AS n FROM entry WHERE name = 'new'")).toEqual([{ n: 50 }]);
  });

  it("by more than ten minutes is left out", async () => {
    const [a, b, c] = await behind(async ({ dataSource }) => {
      library.clock.setWallClock(library.clock.now() + 660_000);
      await dataSource.query("UPDATE entry SET name = 'changed' WHERE id % 7 = 0");
    });
    expect(servers(c, "Entry")).toEqual(new Set([await originOf(a)]));
    expect(c.recordedOf("catchUpFailed")).toEqual([]);
    library.network.heal("a", "b");
    await library.settle(a, b, c);
  });
});

describe("a restart in the middle", () => {
  it.each<readonly [string, ParallelBackfillSettings | null, readonly string[]]>([
    ["goes on with what is missing, from another peer", {}, ["b"]],
    ["goes on with the kernel's own scheduler where the plugin is turned off", null, ["a"]],
  ])("%s", async (_, plugin, dial) => {
    const devices = await library.servers(["a", "b"], SIZE);
    const first = await joiner("c", ["a"]);
    await library.until("it is under way", () => progress(first).length > 10, 1);
    const c = await library.restart("c", first, { dial, plugin });
    const { backfill } = await c.tidemark.status();
    expect(backfill).toMatchObject({ total: RECORDS });
    await library.until("the backfill", () => isDone(c), 1);
    const pages = [...progress(first), ...progress(c)] as KernelEvents["backfillProgress"][];
    expect(c.recordedOf("backfillStarted")).toMatchObject([{ resumed: true }]);
    expect(c.recordedOf("backfillCompleted")).toMatchObject([{ records: RECORDS }]);
    expect(pages.at(-1)).toMatchObject({ allDone: RECORDS });
    expect(servedTo("c", ...devices).length).toBeLessThanOrEqual(pages.length + 4);
    await library.settle(...devices, c);
  });
});
