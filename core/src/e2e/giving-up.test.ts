import { API_VERSION, definePlugin } from "@tidemark/plugin-api";
import { Column, Entity, PrimaryColumn } from "typeorm";
import { afterEach, expect, it } from "vitest";
import { ManualClock } from "../testing/manual-clock.js";
import { SeededRandom } from "../testing/seeded-random.js";
import { createTestKernel, type TestKernel } from "../testing/test-kernel.js";
import { InMemoryNetwork } from "../transport/in-memory.js";

@Entity()
class Line {
  @PrimaryColumn({ type: "varchar" }) id!: string;
  @Column({ type: "varchar" }) text!: string;
}

const kernels: TestKernel[] = [];
afterEach(async () => {
  for (const kernel of kernels.splice(0)) await kernel.dispose();
});

it("leaves a peer alone that was given up, until sync is resumed", async () => {
  const clock = new ManualClock();
  const network = new InMemoryNetwork({ clock, random: new SeededRandom(1) });
  let broken = false;
  const plugin = definePlugin({
    manifest: { id: "impatient", version: "1.0.0", apiVersion: API_VERSION },
    activate({ hooks }) {
      hooks.beforeApplyBatch.tap(() => {
        if (broken) throw new Error("not like this");
      });
      hooks.onCatchUpFailure.tap(() => ({ action: "give-up", reason: "it makes no sense" }));
    },
  });
  const device = async (name: string, dial: string[], plugins: (typeof plugin)[]) => {
    const kernel = await createTestKernel({
      device: name,
      entities: [Line],
      declarations: [{ entity: Line, ownership: { kind: "shared" } }],
      network,
      clock,
      dial,
      plugins,
    });
    kernels.push(kernel);
    await kernel.tidemark.start();
    return kernel;
  };
  const a = await device("a", [], []);
  const b = await device("b", ["a"], [plugin]);
  await b.next("roundCompleted", undefined, { past: true });

  broken = true;
  const decided = b.next("catchUpDecided");
  await a.dataSource.getRepository(Line).insert({ id: "l1", text: "one" });
  expect(await decided).toMatchObject({ decision: { action: "give-up" }, decidedBy: "impatient" });
  await b.next("peerDisconnected", undefined, { past: true });
  broken = false;
  await clock.advance(3_600_000);
  const [peer] = (await b.tidemark.status()).peers;
  expect(peer).toMatchObject({ connected: false, state: "paused", nextAttemptAt: null });

  const back = b.next("roundCompleted", ({ records }) => records > 0);
  await b.tidemark.pause();
  await b.tidemark.resume();
  await back;
  expect(await b.dataSource.getRepository(Line).count()).toBe(1);
});
