import { API_VERSION, definePlugin } from "@tidemark/plugin-api";
import { Column, Entity, PrimaryColumn } from "typeorm";
import { afterEach, beforeEach, expect, it } from "vitest";
import { shared, TestLibrary } from "./library.test-support.js";

@Entity()
class Line {
  @PrimaryColumn({ type: "varchar" }) id!: string;
  @Column({ type: "varchar" }) text!: string;
}

let library: TestLibrary;
beforeEach(() => {
  library = new TestLibrary({ entities: [Line], declarations: shared(Line) });
});
afterEach(() => library.dispose());

it("pulls from others while a peer waits for its full backfill", async () => {
  let broken = false;
  const escalating = definePlugin({
    manifest: { id: "escalating", version: "1.0.0", apiVersion: API_VERSION },
    activate({ hooks }) {
      hooks.beforeApplyBatch.tap(() => {
        if (broken) throw new Error("not like this");
      });
      hooks.onCatchUpFailure.tap(() => ({ action: "full-backfill", delayMs: 3_600_000 }));
    },
  });
  const b = await library.device("b", { plugins: [escalating] });
  const a = await library.device("a", { dial: ["b"] });
  const c = await library.device("c", { dial: ["b"] });
  await library.settle(a, b, c);

  await c.tidemark.pause();
  broken = true;
  const decided = b.next("catchUpDecided");
  await a.dataSource.getRepository(Line).insert({ id: "a1", text: "from a" });
  expect(await decided).toMatchObject({ decision: { action: "full-backfill" } });
  await b.next("peerDisconnected", undefined, { past: true });
  broken = false;

  // It dials again when its application is started again, long before its time has come.
  const back = b.next("peerConnected", ({ deviceId }) => deviceId === "a");
  const restarted = await library.restart("a", a, { dial: ["b"] });
  await library.clock.advance(1_000);
  await back;
  await c.dataSource.getRepository(Line).insert({ id: "c1", text: "from c" });
  await c.tidemark.resume();
  await library.clock.advance(60_000);
  expect(await b.dataSource.getRepository(Line).find({ order: { id: "ASC" } })).toMatchObject([{ id: "c1" }]);
  expect((await b.tidemark.status()).peers).toContainEqual(
    expect.objectContaining({ deviceId: "a", connected: true, failures: 1 }),
  );
  expect(b.recordedOf("backfillStarted")).toEqual([]);

  await library.clock.advance(3_600_000);
  await library.settle(b, c, restarted);
  expect(b.recordedOf("backfillStarted")).toHaveLength(1);
});
