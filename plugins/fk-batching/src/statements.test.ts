// What the plugin is for, counted on the statements that SQLite is given.

import { expect, it } from "vitest";
import { fkBatching, referenceResolver } from "./index.js";
import { digestsOf, fill, TestDevices } from "./library.test-support.js";
import { countLookups } from "./lookup-statements.test-support.js";

const LOCATIONS = 3;
const KINDS = 20;

/** Fills one device with entries of three references each, and backfills another one from it. */
async function backfill({
  entries,
  pageRecords,
  enabled,
}: {
  readonly entries: number;
  readonly pageRecords: number;
  readonly enabled: boolean;
}) {
  const devices = new TestDevices();
  const contents = Math.ceil(entries / 2);
  const a = await devices.start("a", {
    rows: [
      fill("location", "uuid", LOCATIONS, "'l' || n"),
      fill("kind", "uuid", KINDS, "'k' || n"),
      fill("content", "uuid", contents, "'c' || n"),
      // Identities in another order than the keys of what they refer to.
      fill(
        "entry",
        "uuid, location_id, content_id, kind_id",
        entries,
        `printf('e%06d', (n * 7919) % ${entries + 1}) || '-' || n,
         1 + n % ${LOCATIONS}, 1 + n % ${contents}, 1 + n % ${KINDS}`,
      ),
    ],
  });
  const statements = countLookups(["location", "content", "kind"]);
  const b = await devices.start("b", {
    dial: ["a"],
    dataSourceOptions: { driver: statements.driver },
    plugins: [fkBatching],
    settings: { replication: { pageRecords }, plugins: { "fk-batching": enabled } },
  });
  await b.next("backfillCompleted", undefined, { past: true });
  expect((await b.tidemark.digest("Entry")).rows).toBe(entries);
  expect(await digestsOf(b)).toEqual(await digestsOf(a));
  const batches = b.recordedOf("batchApplied").filter(({ models }) => models.Entry !== undefined);
  return {
    single: statements.single,
    bulk: statements.bulk,
    batches: batches.length,
    referenceLookups: b.recordedOf("batchApplied").reduce((sum, batch) => sum + batch.referenceLookups, 0),
    stats: enabled ? b.tidemark.services.get(referenceResolver).stats() : undefined,
    failures: b.recordedOf("catchUpFailed"),
  };
}

it("makes a few queries of what is one look-up per target without it", async () => {
  const library = { entries: 3_000, pageRecords: 1_000 };
  const off = await backfill({ ...library, enabled: false });
  // A target that several records of a transaction refer to is looked up once; how long a transaction is, time decides.
  expect(off.single).toBeGreaterThan(1_500);
  expect(off).toMatchObject({ referenceLookups: off.single, failures: [] });

  const on = await backfill({ ...library, enabled: true });
  expect(on).toMatchObject({ single: 0, referenceLookups: 0, batches: 3, failures: [] });
  // Three pages of entries with three models each. What the kernel itself looks up in bulk it looks up in both cases.
  expect(on.bulk - off.bulk).toBe(9);
  expect(on.stats).toEqual({
    batches: 3,
    references: 9_000,
    missing: 0,
    queries: 9,
    lookupsSaved: 9_000,
    leftToKernel: 0,
  });
});

it("asks several times where a batch has more targets than a query takes", async () => {
  const devices = new TestDevices();
  const a = await devices.start("a", {
    rows: [
      fill("location", "uuid", 1, "'l' || n"),
      fill("kind", "uuid", 1, "'k' || n"),
      fill("content", "uuid", 250, "'c' || n"),
      fill("entry", "uuid, location_id, content_id, kind_id", 250, "'e' || n, 1, n, 1"),
    ],
  });
  const b = await devices.start("b", {
    dial: ["a"],
    plugins: [fkBatching],
    settings: { plugins: { "fk-batching": { settings: { chunkRecords: 100 } } } },
  });
  await devices.settle(a, b);
  expect(b.tidemark.services.get(referenceResolver).stats()).toMatchObject({ batches: 1, queries: 1 + 3 + 1 });
});

it("makes no look-ups for records that have waited for their target either", async () => {
  const devices = new TestDevices();
  const settings = { replication: { pageRecords: 50 } };
  const a = await devices.start("a", {
    settings,
    rows: [
      fill("location", "uuid", 1, "'l' || n"),
      fill("kind", "uuid", 1, "'k' || n"),
      fill("content", "uuid", 100, "'c' || n"),
      fill("entry", "uuid, location_id, content_id, kind_id", 100, "'e' || n, 1, n, 1"),
    ],
  });
  const statements = countLookups(["location", "content", "kind"]);
  const b = await devices.start("b", {
    dial: ["a"],
    dataSourceOptions: { driver: statements.driver },
    plugins: [fkBatching],
    settings,
  });
  // Locations have been taken in when this one is made, so its entries are there before it.
  const entries = b
    .next("backfillProgress", ({ model }) => model === "Entry")
    .then(async () => {
      await a.dataSource.query("INSERT INTO location (uuid) VALUES ('late')");
      await a.dataSource.query(
        fill("entry", "uuid, location_id, content_id, kind_id", 200, "'later' || n, 2, 1 + n % 100, 1"),
      );
    });
  await Promise.all([entries, b.next("backfillCompleted", undefined, { past: true })]);
  await devices.settle(a, b);
  // A page of them, which shows what is missing.
  expect(b.recordedOf("batchApplied").reduce((sum, { counts }) => sum + counts.parked, 0)).toBeGreaterThan(10);
  expect(b.recordedOf("recordHealed").length).toBeGreaterThan(10);
  expect(statements.single).toBe(0);
  expect(b.recordedOf("batchApplied").reduce((sum, batch) => sum + batch.referenceLookups, 0)).toBe(0);
});

it.runIf(process.env.TIDEMARK_FULL === "1")(
  "makes fewer than 600 queries of the look-ups of 547,590 references",
  { timeout: 900_000 },
  async () => {
    const library = { entries: 182_530, pageRecords: 2_000 };
    const off = await backfill({ ...library, enabled: false });
    // A target that several records of a transaction refer to is looked up once: hardly a content is.
    expect(off.single).toBeGreaterThan(182_530);
    expect(off).toMatchObject({ referenceLookups: off.single, failures: [] });
    const on = await backfill({ ...library, enabled: true });
    expect(on).toMatchObject({ single: 0, referenceLookups: 0, failures: [] });
    // What the kernel itself looks up in bulk is a matter of its transactions, and so of time.
    expect(on.bulk).toBeGreaterThanOrEqual(276);
    expect(on.bulk).toBeLessThan(600);
    expect(on.stats).toMatchObject({ references: 547_590, queries: 3 * Math.ceil(182_530 / 2_000), leftToKernel: 0 });
  },
);
