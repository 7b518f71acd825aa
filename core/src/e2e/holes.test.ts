import { Column, Entity, PrimaryGeneratedColumn } from "typeorm";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { TestKernel } from "../testing/test-kernel.js";
import { expectSameTable, shared, TestLibrary } from "./library.test-support.js";

@Entity()
class Note {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) text!: string;
}

let library: TestLibrary;
beforeEach(() => {
  library = new TestLibrary({ entities: [Note], declarations: shared(Note) });
});
afterEach(() => library.dispose());

// A receiver says what it has by a vector. If that moved with every page, a round that breaks off would leave a hole: what
// was still to come lies below the vector, and nobody would send it any more.
it("leaves no hole where a round breaks off, wherever it does", async () => {
  const settings = { replication: { pageRecords: 1, retryDelayMs: 1_000 } };
  const a = await library.device("a", { settings });
  const b = await library.device("b", { dial: ["a"], settings });
  await library.settle(a, b);
  const uuids = Array.from({ length: 8 }, (_, n) => `n${n}`);
  const countOn = ({ dataSource }: TestKernel) => dataSource.getRepository(Note).count();
  for (const frames of [2, 3, 5]) {
    library.network.loseAfter({ from: "a", to: "b" }, { frames });
    const had = await countOn(b);
    await a.dataSource.getRepository(Note).save(uuids.map((uuid) => ({ uuid: `${frames}-${uuid}`, text: "new" })));
    // Changed after they have been sent, so that they stand behind what is still to come.
    await library.clock.advance(300);
    await a.dataSource.query("UPDATE note SET text = 'changed' WHERE uuid LIKE '%n1'");
    await library.clock.advance(200);
    const come = (await countOn(b)) - had;
    expect(come).toBeGreaterThan(0);
    expect(come).toBeLessThan(uuids.length);
    await library.settle(a, b);
    expect(await countOn(b)).toBe(had + uuids.length);
  }
  expectSameTable([a, b], "note");
});
