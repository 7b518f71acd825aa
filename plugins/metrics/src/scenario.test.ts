// The standard scenario: what a library lives through, in one run, after which no metric may be without a value.

import { copyFileSync } from "node:fs";
import { createTestKernel, ManualClock } from "@tidemark/core/testing";
import { API_VERSION, definePlugin, logMaintenance } from "@tidemark/plugin-api";
import { DataSource } from "typeorm";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { catalogue, type MetricName, metricNames } from "./catalogue.js";
import type { Series } from "./figures.js";
import { type Device, Folder, Gate, Machine, Note, TestLibrary } from "./library.test-support.js";
import type { MetricsSnapshot } from "./snapshot.js";

const library = new TestLibrary();
/** Often, so that what passes is seen. */
const metrics = { sampleMs: 500 };
/** Taken on the way and at the ends. */
const snapshots: MetricsSnapshot[] = [];
/** Those of the devices when they ended. */
const ends: { [device: string]: MetricsSnapshot } = {};

/** Fails where it is told to. */
const trouble = { transform: 0, observe: 0 };
const troublemaker = definePlugin({
  manifest: { id: "troublemaker", version: "1.0.0", apiVersion: API_VERSION },
  activate({ hooks }) {
    hooks.beforeApplyBatch.tap(() => {
      if (trouble.transform-- > 0) throw new Error("a batch can't be looked at");
    });
    hooks.afterBatch.tap(() => {
      if (trouble.observe-- > 0) throw new Error("a batch was looked at in vain");
    });
  },
});

beforeAll(async () => {
  const gate = new Gate();
  let a = await library.device("a", { metrics, plugins: [troublemaker] });
  const folders = (device: Device) => device.dataSource.getRepository(Folder);
  const notes = (device: Device) => device.dataSource.getRepository(Note);
  await folders(a).save(Array.from({ length: 300 }, (_, index) => ({ uuid: `f${index}`, name: `folder ${index}` })));

  // Backfill, over a link that takes its time.
  library.network.setLatency({ from: "a", to: "b" }, 20);
  const b = await library.device("b", { metrics, dial: ["a"], settings: { replication: { pageRecords: 100 } } });
  b.tidemark.events.on("backfillProgress", () => snapshots.push(b.reader.snapshot()));
  await library.until("b has everything", () => b.recordedOf("backfillCompleted").length > 0);
  await library.inStep(a, b);

  // Live, with references.
  const folder = await folders(a).findOneByOrFail({ uuid: "f1" });
  await notes(a).save({ uuid: "n1", text: "hello", folder });
  await a.dataSource.getRepository(Machine).save({ uuid: "a", name: "machine a" });
  await library.inStep(a, b);

  // A change that b may not make.
  await b.dataSource.getRepository(Machine).update({ uuid: "a" }, { name: "mine now" });
  await library.until("the change was taken back", () => b.recordedOf("changeRefused").length > 0);

  // Conflicts: one column edited on both sides, and two folders of one name, of which one has to wait.
  library.network.cut("a", "b");
  await notes(a).update({ uuid: "n1" }, { text: "by a" });
  await library.clock.advance(1_000);
  await notes(b).update({ uuid: "n1" }, { text: "by b" });
  await folders(a).save({ uuid: "twin-a", name: "twin" });
  await folders(b).save({ uuid: "twin-b", name: "twin" });
  await library.clock.advance(1_000);
  library.network.heal("a", "b");
  await library.until("both have seen the twin", () =>
    [a, b].every((device) => device.reader.snapshot().metrics.some(({ series }) => series.some(isQuarantined))),
  );
  await library.clock.advance(1_000);
  snapshots.push(a.reader.snapshot());
  // The one that each has accepted goes; the other one takes its place.
  await folders(a).delete({ uuid: "twin-a" });
  await library.until("the twin has healed", () => a.recordedOf("recordHealed").length > 0);

  // A failure with retry, and a handler that fails too often.
  trouble.transform = 1;
  await notes(b).update({ uuid: "n1" }, { text: "again by b" });
  await library.until("it was tried again", () => a.recordedOf("catchUpDecided").length > 0);
  await library.inStep(a, b);
  trouble.observe = 3;
  for (let turn = 0; turn < 3; turn++) {
    await notes(b).update({ uuid: "n1" }, { text: `turn ${turn}` });
    await library.inStep(a, b);
  }

  // Pruning.
  for (const { tidemark } of [a, b]) await tidemark.services.get(logMaintenance).acknowledge();
  await library.clock.advance(1_000);
  await a.tidemark.services.get(logMaintenance).prune();

  // A clock that is wrong.
  const late = new ManualClock({ nowMs: library.clock.now() - 3 * 3_600_000 });
  const c = await createTestKernel({
    device: "c",
    entities: [Machine, Folder, Note],
    declarations: [Folder, Note].map((entity) => ({ entity, ownership: { kind: "shared" as const } })),
    clock: late,
    network: library.network,
    dial: ["a"],
  });
  await c.tidemark.start();
  await library.until("c was refused", async () => {
    await late.advance(300);
    return a.recordedOf("clockDrift").length > 0 && a.recordedOf("peerRefused").length > 0;
  });
  await c.dispose();

  // b is behind while a writes on, so that a has something that is pending and can't be pruned.
  ends.b = b.reader.snapshot();
  await library.shutDown(b);
  await notes(a).update({ uuid: "n1" }, { text: "b has not seen this" });
  await library.clock.advance(60_000);
  ends.a = a.reader.snapshot();

  // A restart; somebody has removed a trigger meanwhile.
  await library.shutDown(a);
  const other = await new DataSource({ type: "better-sqlite3", database: a.database }).initialize();
  const [trigger] = await other.query("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'note'");
  await other.query(`DROP TRIGGER "${trigger.name}"`);
  await other.destroy();
  a = await library.device("a", {
    database: a.database,
    metrics,
    gate,
    settings: { pool: { size: 2, acquireTimeoutMs: 5_000 } },
  });

  // A pool that is too small: one holds the only reader, and the next one waits in vain.
  gate.shut();
  const held = a.tidemark.digest("Folder");
  const refused = a.tidemark.digest("Note").catch((error: { code: string }) => error.code);
  await library.clock.advance(4_000);
  snapshots.push(a.reader.snapshot());
  await library.clock.advance(2_000);
  expect(await refused).toBe("TIDEMARK_STORAGE_ACQUIRE_TIMEOUT");
  gate.open();
  await held;
  await library.clock.advance(30_000);
  ends["a again"] = a.reader.snapshot();

  // b runs, and then again as it was before that, with a note that it had not sent.
  const backup = `${b.database}.backup`;
  copyFileSync(b.database, backup);
  const later = await library.device("b", { database: b.database, metrics, dial: ["a"] });
  await library.inStep(a, later);
  await library.shutDown(later);
  const restored = await library.device("b", { database: backup, metrics, dial: [] });
  const n2 = await folders(restored).findOneByOrFail({ uuid: "f2" });
  await notes(restored).save({ uuid: "n2", text: "written after the restoration", folder: n2 });
  await library.shutDown(restored);
  const back = await library.device("b", { database: backup, metrics, dial: ["a"] });
  await library.until("b is back", () => back.recordedOf("unsentReissued").length > 0);
  await library.inStep(a, back);
  snapshots.push(a.reader.snapshot(), back.reader.snapshot());
  snapshots.push(...Object.values(ends));
}, 60_000);

afterAll(() => library.dispose());

function isQuarantined({ attributes }: Series): boolean {
  return attributes["tidemark.outcome"] === "quarantined";
}

/** All series of a metric, of the snapshots that are asked for. */
function seriesOf(name: MetricName, from: readonly MetricsSnapshot[] = snapshots): readonly Series[] {
  return from.flatMap(({ metrics }) =>
    metrics.filter((metric) => metric.name === name).flatMap(({ series }) => series),
  );
}

describe("after the standard scenario", () => {
  it("every metric of the catalogue has been fed", () => {
    expect(metricNames.filter((name) => seriesOf(name).length === 0)).toEqual([]);
  });

  it("every metric has measured something other than nothing", () => {
    const measured = (series: Series) => ("value" in series ? series.value !== 0 : series.count > 0);
    expect(metricNames.filter((name) => !seriesOf(name).some(measured))).toEqual([]);
  });

  it("every series has the attributes that the catalogue says, and no others", () => {
    for (const name of metricNames) {
      for (const { attributes } of seriesOf(name)) {
        expect(Object.keys(attributes).sort(), name).toEqual([...catalogue[name].attributes].sort());
      }
    }
  });

  it("the counts are right", () => {
    const applied = seriesOf("tidemark.batch.records", [ends.b!]).filter(
      ({ attributes }) => attributes["tidemark.model"] === "Folder" && attributes["tidemark.outcome"] === "applied",
    );
    expect(applied).toEqual([{ attributes: expect.anything(), value: 300 + 1 }]);
    expect(seriesOf("tidemark.backfill.done", [ends.b!])).toMatchObject([{ value: 300 }]);
    expect(seriesOf("tidemark.backfill.total", [ends.b!])).toMatchObject([{ value: 300 }]);
    expect(seriesOf("tidemark.catch_up.failures", [ends.a!])).toMatchObject([
      { attributes: { "tidemark.code": "TIDEMARK_HOOK_FAILED" }, value: 1 },
      { attributes: { "tidemark.code": "TIDEMARK_CLOCK_DRIFT" }, value: 1 },
    ]);
    const drifts = seriesOf("tidemark.clock.drift", [ends.a!]);
    expect(drifts).toContainEqual({ attributes: { "tidemark.peer": "c" }, value: expect.closeTo(-3 * 3_600, -1) });
    // The others go by the same clock.
    expect(drifts.filter((series) => "value" in series && series.value === 0)).toHaveLength(drifts.length - 1);
    expect(seriesOf("tidemark.clock.refusals", [ends.a!])).toMatchObject([{ value: 1 }]);
    const conflicts = [ends.a!, ends.b!].flatMap((end) => seriesOf("tidemark.batch.conflicts", [end]));
    expect(new Set(conflicts.map((series) => "value" in series && series.value))).toEqual(new Set([1]));
    expect(seriesOf("tidemark.peer.pending", [ends.a!])).toMatchObject([{ value: 1 }]);
    expect(seriesOf("db.client.connection.timeouts", [ends["a again"]!])).toMatchObject([{ value: 1 }]);
    expect(seriesOf("db.client.connection.max", [ends["a again"]!])).toMatchObject([{ value: 2 }]);
    // The only reader was lent while the gate was shut; by the end it is back.
    expect(seriesOf("tidemark.pool.peak", [ends["a again"]!])).toMatchObject([{ value: 1 }]);
    expect(seriesOf("tidemark.pool.saturation", [ends["a again"]!])).toMatchObject([{ value: 0 }]);
  });

  it("the snapshot is plain JSON with a version", () => {
    for (const snapshot of snapshots) {
      expect(snapshot.version).toBe(1);
      expect(JSON.parse(JSON.stringify(snapshot))).toEqual(snapshot);
    }
  });
});
