import { Column, Entity, PrimaryColumn } from "typeorm";
import { afterEach, expect, it } from "vitest";
import { TestLibrary } from "../e2e/library.test-support.js";
import type { TestKernel } from "../testing/test-kernel.js";

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
