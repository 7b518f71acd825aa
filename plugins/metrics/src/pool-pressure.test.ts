import { afterEach, describe, expect, it } from "vitest";
import { type Device, Folder, Gate, TestLibrary } from "./library.test-support.js";
import { adviseOn } from "./pool-advice.js";

const POOL = { pool: { size: 2, acquireTimeoutMs: 3_600_000 }, replication: { requestTimeoutMs: 3_600_000 } };
const pressure = { active: 2, idle: 0, waiting: 0, limit: 2, longestWaitMs: 0, holders: [] };
const settings = { maxSliceRecords: 10, pauseMs: 20, maxConcurrency: 1 };

let library: TestLibrary;
afterEach(() => library.dispose());

it("advises smaller slices near the limit, and a pause as well while somebody waits", () => {
  library = new TestLibrary();
  expect(adviseOn(pressure, settings)).toEqual({ maxSliceRecords: 10 });
  expect(adviseOn({ ...pressure, waiting: 1 }, settings)).toEqual(settings);
});

/** Device a has been started anew, its only reader is held up, and somebody waits for it. */
async function shortOfReaders(metrics: Parameters<TestLibrary["device"]>[1]) {
  library = new TestLibrary();
  const gate = new Gate();
  const first = await library.device("a");
  const b = await library.device("b", { dial: ["a"] });
  await library.inStep(first, b);
  const a = await library.restart(first, { gate, settings: POOL, ...metrics });
  const slices: string[] = [];
  a.tidemark.events.on("leaseAcquired", ({ kind, holder }) => {
    if (kind === "writer" && holder.startsWith("apply from")) slices.push(holder);
  });
  gate.shut();
  const waiting = [a.tidemark.digest("Folder"), a.tidemark.digest("Note")];
  await library.clock.settle();
  return { a, b, gate, slices, waiting };
}

async function writeFolders(device: Device, prefix: string): Promise<void> {
  const rows = Array.from({ length: 100 }, (_, index) => ({ uuid: `${prefix}${index}`, name: `${prefix}${index}` }));
  await device.dataSource.getRepository(Folder).insert(rows);
}

describe("advice", () => {
  it("is obeyed while somebody waits, and lifted afterwards", async () => {
    const { a, b, gate, slices, waiting } = await shortOfReaders({
      metrics: { poolAdvice: { maxSliceRecords: 10, pauseMs: 20 } },
    });
    expect(a.recordedOf("poolPressure").at(-1)).toMatchObject({
      waiting: 1,
      advice: { maxSliceRecords: 10, pauseMs: 20, maxConcurrency: 1 },
      advisedBy: ["metrics"],
    });
    await writeFolders(b, "x");
    await library.until("a has taken over the folders", async () => (await folderCount(a)) === 100);
    expect(slices).toHaveLength(10);

    gate.open();
    await Promise.all(waiting);
    await library.inStep(a, b);
    slices.length = 0;
    await writeFolders(b, "y");
    await library.until("a has taken over more folders", async () => (await folderCount(a)) === 200);
    expect(slices).toHaveLength(1);
  });

  it("is not given when it is turned off", async () => {
    const { a, b, gate, slices, waiting } = await shortOfReaders({ metrics: { poolAdvice: false } });
    await writeFolders(b, "x");
    await library.until("a has taken over the folders", async () => (await folderCount(a)) === 100);
    expect(slices).toHaveLength(1);
    expect(a.recordedOf("poolPressure").at(-1)).toMatchObject({ advice: {}, advisedBy: [] });
    gate.open();
    await Promise.all(waiting);
  });
});

async function folderCount(device: Device): Promise<number> {
  return await device.dataSource.getRepository(Folder).count();
}

describe("the warning", () => {
  const warnings = ({ logger }: Device) =>
    logger.at("warn").filter(({ message }) => message === "Somebody waits for a connection");

  it("comes when somebody has waited for a while, names the holders, and comes again no more often than it may", async () => {
    const { a, gate, waiting } = await shortOfReaders({ metrics: { waitWarning: { afterMs: 250, everyMs: 10_000 } } });
    await library.clock.advance(249);
    expect(warnings(a)).toEqual([]);
    await library.clock.advance(1);
    expect(warnings(a)).toMatchObject([
      { fields: { waitingMs: 250, waiting: 1, limit: 2, holders: ["digest of Folder"] } },
    ]);
    await library.clock.advance(9_999);
    expect(warnings(a)).toHaveLength(1);
    await library.clock.advance(25_000);
    expect(warnings(a)).toHaveLength(4);
    gate.open();
    await Promise.all(waiting);
    await library.clock.advance(60_000);
    expect(warnings(a)).toHaveLength(4);
  });

  it("is not given for a wait that is over soon", async () => {
    const { a, gate, waiting } = await shortOfReaders({});
    await library.clock.advance(200);
    gate.open();
    await Promise.all(waiting);
    await library.clock.advance(10_000);
    expect(warnings(a)).toEqual([]);
  });
});
