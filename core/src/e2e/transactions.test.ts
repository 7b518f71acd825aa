import { Column, Entity, PrimaryGeneratedColumn } from "typeorm";
import { afterEach, expect, it } from "vitest";
import { systemClock } from "../kernel/system-clock.js";
import { SeededRandom } from "../testing/seeded-random.js";
import { createTestKernel, type TestKernel } from "../testing/test-kernel.js";
import { InMemoryNetwork } from "../transport/in-memory.js";
import { expectSameTable, query, shared } from "./library.test-support.js";

// The application's transactions are open across awaits, on the thread and in the process in which the kernel writes too.
// On the real clock, because it is the real waiting and the real slices that could hurt.

@Entity()
class Account {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "integer" }) balance!: number;
}

@Entity()
class Posting {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) account!: string;
  @Column({ type: "integer" }) balance!: number;
}

const ROWS = 20_000;
const TRANSACTIONS = 1_000;
const MODELS = { entities: [Account, Posting], declarations: shared(Account, Posting) };

const kernels: TestKernel[] = [];
afterEach(async () => {
  for (const kernel of kernels.splice(0).reverse()) await kernel.dispose();
});

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** Read, wait, write, wait, commit, and at once the next one. Rejects with the first that fails. */
async function post({ dataSource }: TestKernel, account: string, until: () => boolean): Promise<number> {
  let done = 0;
  for (; done < TRANSACTIONS || !until(); done++) {
    await dataSource.transaction(async (manager) => {
      const { balance } = await manager.findOneByOrFail(Account, { uuid: account });
      await turn();
      await manager.update(Account, { uuid: account }, { balance: balance + 1 });
      await turn();
      await manager.insert(Posting, { uuid: `${account}-${balance + 1}`, account, balance: balance + 1 });
      await turn();
    });
  }
  return done;
}

it("never fails a transaction of the application during a backfill and live sync, which go on though it never rests", async () => {
  const network = new InMemoryNetwork({ clock: systemClock, random: new SeededRandom(1) });
  const options = { ...MODELS, network, clock: systemClock };
  const a = await createTestKernel({ device: "a", ...options });
  kernels.push(a);
  await a.tidemark.start();
  await a.dataSource.query(
    `WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ${ROWS})
     INSERT INTO posting (uuid, account, balance) SELECT lower(hex(randomblob(16))), 'old', i FROM c`,
  );
  await a.dataSource.getRepository(Account).save({ uuid: "of-a", balance: 0 });
  network.cut("a", "b");
  const b = await createTestKernel({ device: "b", dial: ["a"], ...options });
  kernels.push(b);
  await b.tidemark.start();
  await b.dataSource.getRepository(Account).save({ uuid: "of-b", balance: 0 });

  // Both go on at least until the backfill has ended and the other's first postings have arrived: sync needs no rest.
  const has = (kernel: TestKernel, account: string) =>
    query(kernel.database, "SELECT 1 FROM posting WHERE account = ? LIMIT 1", account).length > 0;
  let backfilled = false;
  b.tidemark.events.on("backfillCompleted", () => {
    backfilled = true;
  });
  const applications = [
    post(a, "of-a", () => backfilled && has(a, "of-b")),
    post(b, "of-b", () => backfilled && has(b, "of-a")),
  ];
  network.heal("a", "b");
  const outcomes = await Promise.all(applications);

  const deadline = systemClock.monotonicMs() + 10_000;
  const digests = (kernel: TestKernel) =>
    Promise.all(["Account", "Posting"].map((model) => kernel.tidemark.digest(model)));
  while (JSON.stringify(await digests(a)) !== JSON.stringify(await digests(b))) {
    expect(systemClock.monotonicMs(), "in step in time").toBeLessThan(deadline);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const [ofA, ofB] = outcomes as [number, number];
  expect(Math.min(ofA, ofB)).toBeGreaterThanOrEqual(TRANSACTIONS);
  for (const { database } of [a, b]) {
    expect(query(database, "SELECT uuid, balance FROM account ORDER BY uuid")).toEqual([
      { uuid: "of-a", balance: ofA },
      { uuid: "of-b", balance: ofB },
    ]);
    expect(query(database, "SELECT account, count(*) AS n FROM posting GROUP BY account ORDER BY account")).toEqual([
      { account: "of-a", n: ofA },
      { account: "of-b", n: ofB },
      { account: "old", n: ROWS },
    ]);
  }
  expectSameTable([a, b], "posting");
  for (const kernel of [a, b]) {
    expect(kernel.recordedOf("catchUpFailed")).toEqual([]);
    expect(kernel.recordedOf("leaseTimedOut")).toEqual([]);
  }
});
