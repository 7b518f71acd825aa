import { Column, Entity, PrimaryGeneratedColumn } from "typeorm";
import { afterEach, expect, it } from "vitest";
import { ManualClock } from "../testing/manual-clock.js";
import { SeededRandom } from "../testing/seeded-random.js";
import { createTestKernel, type TestKernel } from "../testing/test-kernel.js";
import { InMemoryNetwork } from "../transport/in-memory.js";

@Entity()
class Note {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) text!: string;
}

const MINUTE = 60_000;
const START = Date.UTC(2026, 0, 1);
const kernels: TestKernel[] = [];
afterEach(async () => {
  for (const kernel of kernels.splice(0)) await kernel.dispose();
});

it("keeps a change from beyond the drift limit that comes by relay until its time has come", async () => {
  const clocks = {
    early: new ManualClock({ nowMs: START + 8 * MINUTE }),
    middle: new ManualClock({ nowMs: START + 4 * MINUTE }),
    late: new ManualClock({ nowMs: START }),
  };
  const network = new InMemoryNetwork({ clock: clocks.late, random: new SeededRandom(1) });
  const device = async (name: keyof typeof clocks, dial: string[]) => {
    const kernel = await createTestKernel({
      device: name,
      entities: [Note],
      declarations: [{ entity: Note, ownership: { kind: "shared" } }],
      network,
      clock: clocks[name],
      dial,
      role: name === "late" ? "found" : "join",
    });
    kernels.push(kernel);
    await kernel.tidemark.start();
    return kernel;
  };
  const late = await device("late", []);
  const middle = await device("middle", ["late"]);
  await middle.next("roundCompleted", undefined, { past: true });
  const early = await device("early", ["middle"]);
  await early.next("roundCompleted", undefined, { past: true });

  const kept = late.next("batchApplied", ({ counts }) => counts.deferred > 0);
  await early.dataSource.getRepository(Note).save({ uuid: "n1", text: "from the future" });
  await kept;
  expect(await late.dataSource.getRepository(Note).count()).toBe(0);

  // What is written here meanwhile is not dragged along, and what was kept is merged at its time.
  await late.dataSource.getRepository(Note).save({ uuid: "n2", text: "from now" });
  const merged = late.next("batchApplied", ({ counts }) => counts.applied > 0);
  const stamp = await late.dataSource.query("SELECT hlc FROM tidemark_state");
  expect(stamp[0].hlc / 4096).toBeLessThan(START - Date.UTC(2020, 0, 1) + 5 * MINUTE);
  await late.tidemark.digest("Note");
  await clocks.late.advance(4 * MINUTE);
  await merged;
  expect((await late.dataSource.getRepository(Note).findOneByOrFail({ uuid: "n1" })).text).toBe("from the future");
  expect(await late.dataSource.query("SELECT count(*) AS n FROM tidemark_deferred")).toEqual([{ n: 0 }]);
});
