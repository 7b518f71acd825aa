import Database from "better-sqlite3";
import { Column, Entity, PrimaryColumn } from "typeorm";
import { afterEach, expect, it } from "vitest";
import type { TestKernel } from "../testing/test-kernel.js";
import { TestLibrary } from "./library.test-support.js";

@Entity()
class Page {
  @PrimaryColumn({ type: "varchar" }) uuid!: string;
  @Column({ type: "varchar" }) text!: string;
}

let library: TestLibrary;
afterEach(() => library.dispose());

async function pair(options: Parameters<TestLibrary["device"]>[1] = {}): Promise<readonly [TestKernel, TestKernel]> {
  library = new TestLibrary({
    entities: [Page],
    declarations: [{ entity: Page, ownership: { kind: "shared" } }],
  });
  const a = await library.device("a", options);
  const b = await library.device("b", { dial: ["a"], ...options });
  for (const kernel of [a, b]) {
    await kernel.next("peerStateChanged", ({ state }) => state === "ready", { past: true });
  }
  await library.settle(a, b);
  return [a, b];
}

/** How often a device has looked for changes to send. */
function looksOf({ tidemark }: TestKernel): () => number {
  let looks = 0;
  tidemark.events.on("leaseReleased", ({ holder }) => {
    if (holder.startsWith("changes for")) looks++;
  });
  return () => looks;
}

it("looks at the log when it has grown, and not again when that has been applied", async () => {
  const [a, b] = await pair();
  const looks = looksOf(a);
  await a.dataSource.query("INSERT INTO page (uuid, text) VALUES ('p1', 'text')");
  await library.settle(a, b);
  expect(await b.dataSource.query("SELECT uuid FROM page")).toEqual([{ uuid: "p1" }]);
  expect(looks()).toBe(1);
});

it("goes on when what filled the window has been applied", async () => {
  const [a, b] = await pair({ settings: { replication: { pageRecords: 1, windowBytes: 65_536 } } });
  const looks = looksOf(a);
  await a.dataSource.query(
    `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20)
     INSERT INTO page (uuid, text) SELECT 'q' || i, hex(zeroblob(20000)) FROM n`,
  );
  await library.settle(a, b);
  expect(await b.dataSource.query("SELECT count(*) AS n FROM page")).toEqual([{ n: 20 }]);
  expect(looks()).toBeGreaterThanOrEqual(20);
});

it("gives the loop a turn between two stretches that it passes over", async () => {
  const [a, b] = await pair({ settings: { replication: { pageRecords: 10 } } });
  await b.dataSource.query("INSERT INTO page (uuid, text) VALUES ('p1', 'text')");
  await library.settle(a, b);
  library.network.cut("a", "b");
  await library.clock.advance(1_000);
  // A long log of what b has made, as it is after a large page of its changes.
  const log = new Database(a.database);
  log.exec(`INSERT INTO tidemark_stamp (model, record, col, hlc, origin, seq)
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
    SELECT s.model, 'r' || i, 1, s.hlc, s.origin, (SELECT sequence FROM tidemark_state) + i
    FROM n, (SELECT * FROM tidemark_stamp ORDER BY seq DESC LIMIT 1) s;
    UPDATE tidemark_state SET sequence = sequence + 1000`);
  log.close();
  let turn = 0;
  let ticking = true;
  const tick = () => {
    turn++;
    if (ticking) setImmediate(tick);
  };
  tick();
  const looks = new Map<number, number>();
  a.tidemark.events.on("leaseReleased", ({ holder }) => {
    if (holder.startsWith("changes for")) looks.set(turn, (looks.get(turn) ?? 0) + 1);
  });
  library.network.heal("a", "b");
  await library.clock.advance(10_000);
  ticking = false;
  const counts = [...looks.values()];
  expect(counts.reduce((sum, count) => sum + count, 0)).toBeGreaterThanOrEqual(12);
  // Where the stream has not begun in a turn of its own.
  expect(Math.max(...counts)).toBeLessThanOrEqual(2);
});
