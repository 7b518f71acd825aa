import { spawn } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { expect, it, onTestFinished } from "vitest";
import type { Sqlite } from "../storage/database.js";
import { ManualClock } from "../testing/manual-clock.js";
import { SeededRandom } from "../testing/seeded-random.js";
import type { TestKernel } from "../testing/test-kernel.js";
import { InMemoryNetwork } from "../transport/in-memory.js";
import { contents, digests, Folder, fill, Note, Tag, testDevice } from "./bad-input.support.js";

interface Pair {
  readonly clock: ManualClock;
  readonly a: TestKernel;
  readonly b: TestKernel;
  /** The connections to b's database, in the order in which they were opened; the kernel's own comes first. */
  readonly connections: readonly Sqlite[];
}

/** Two devices in step, of which `b` has dialled `a`. */
async function inStep(): Promise<Pair> {
  const clock = new ManualClock();
  const network = new InMemoryNetwork({ clock, random: new SeededRandom(1) });
  const a = await testDevice("a", { clock, network });
  await a.tidemark.start();
  await fill(a);
  const connections: Sqlite[] = [];
  const dataSourceOptions = { prepareDatabase: (db: Sqlite) => void connections.push(db) };
  const b = await testDevice("b", { clock, network, dial: ["a"], dataSourceOptions: dataSourceOptions as never });
  const done = b.next("roundCompleted");
  await b.tidemark.start();
  await done;
  await clock.settle();
  return { clock, a, b, connections };
}

/** Writes so much that it does not fit into the free pages. */
async function writeMuch({ dataSource }: TestKernel): Promise<void> {
  const folder = await dataSource.getRepository(Folder).findOneByOrFail({ uuid: "f1" });
  const notes = Array.from({ length: 300 }, (_, index) => ({
    uuid: `much-${index}`,
    text: "x".repeat(2_000),
    folder,
    tags: [],
  }));
  await dataSource.getRepository(Note).save(notes);
}

it("fails the session while the disk is full, applies nothing by halves, and comes into step when there is room", async () => {
  const { clock, a, b, connections } = await inStep();
  const writer = connections[0]!;
  const pages = writer.pragma("page_count", { simple: true }) as number;
  writer.pragma(`max_page_count = ${pages + 4}`);
  const before = await contents(b);
  const failed = b.next("catchUpFailed");
  await writeMuch(a);
  expect(await failed).toMatchObject({ code: "TIDEMARK_STORAGE_FULL", failures: 1 });
  for (let turn = 0; turn < 50; turn++) await clock.settle();
  expect(b.recordedOf("catchUpDecided").at(-1)).toMatchObject({ decision: { action: "retry" }, decidedBy: "kernel" });
  const strip = (all: Awaited<ReturnType<typeof contents>>) => ({ ...all, tidemark_peer: null, tidemark_state: null });
  expect(strip(await contents(b))).toEqual(strip(before));
  expect(b.tidemark.state).toBe("running");

  // It fails again for as long as there is no room.
  const again = b.next("catchUpFailed");
  await clock.advance(6_000);
  expect(await again).toMatchObject({ code: "TIDEMARK_STORAGE_FULL" });
  await clock.advance(100);

  writer.pragma("max_page_count = 1073741823");
  const done = b.next("roundCompleted", ({ records }) => records >= 300);
  await clock.advance(20_000);
  await done;
  expect(await digests(b)).toEqual(await digests(a));
  expect((await b.tidemark.status()).peers[0]).toMatchObject({ failures: 0, state: "ready" });
});

it("keeps its own changes while the disk is full, and sends them when there is room", async () => {
  const { clock, a, b, connections } = await inStep();
  const writer = connections[0]!;
  const pages = writer.pragma("page_count", { simple: true }) as number;
  // The kernel can't fold; the application's own connection has room.
  writer.pragma(`max_page_count = ${pages}`);
  await writeMuch(b);
  for (let turn = 0; turn < 50; turn++) await clock.settle();
  expect(b.tidemark.state).toBe("running");
  writer.pragma("max_page_count = 1073741823");
  const done = a.next("roundCompleted", ({ records }) => records >= 300);
  await b.dataSource.getRepository(Tag).save({ uuid: "one-more", name: "x", weight: null });
  await clock.advance(20_000);
  await done;
  expect(await digests(b)).toEqual(await digests(a));
});

it("waits while another process keeps the database locked, says so, and goes on afterwards", async () => {
  const { clock, a, b } = await inStep();
  const driver = createRequire(import.meta.url).resolve("better-sqlite3");
  const script = `
    const db = new (require(${JSON.stringify(driver)}))(${JSON.stringify(b.database)});
    db.exec("BEGIN IMMEDIATE");
    process.stdout.write("locked");
    process.stdin.once("data", () => { db.exec("COMMIT"); db.close(); process.exit(0); });
  `;
  const other = spawn(process.execPath, ["-e", script], { stdio: ["pipe", "pipe", "inherit"] });
  onTestFinished(() => void other.kill());
  await once(other.stdout, "data");
  const before = await contents(b);
  const served = a.next("pageServed", ({ records }) => records > 0);
  await a.dataSource.getRepository(Tag).save({ uuid: "meanwhile", name: "x", weight: null });
  await served;
  await clock.advance(40_000);
  expect(b.recordedOf("poolPressure")).toMatchObject([{ waiting: 1, longestWaitMs: expect.closeTo(30_000, -2) }]);
  expect(await contents(b)).toEqual(before);
  expect(b.recordedOf("catchUpFailed")).toEqual([]);

  const done = b.next("roundCompleted", ({ records }) => records > 0);
  other.stdin.write("go");
  await once(other, "exit");
  await clock.advance(1_000);
  await done;
  expect(await digests(b)).toEqual(await digests(a));
});
