import { Column, Entity, ManyToOne, PrimaryGeneratedColumn, Unique } from "typeorm";
import { afterEach, describe, expect, it } from "vitest";
import type { TestKernel } from "../testing/test-kernel.js";
import { expectNoViolations, expectSameTable, query, shared, TestLibrary } from "./library.test-support.js";

// Two devices change the same things while they can't hear each other, and come together again.

@Entity()
class Shelf {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) room!: string;
}

@Entity()
@Unique(["row", "slot"])
class Box {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar", nullable: true }) label!: string | null;
  @Column({ type: "varchar", nullable: true }) colour!: string | null;
  @Column({ type: "varchar", nullable: true, unique: true }) code!: string | null;
  @Column({ type: "integer", nullable: true }) row!: number | null;
  @Column({ type: "integer", nullable: true }) slot!: number | null;
  @ManyToOne(() => Shelf, { nullable: true, onDelete: "SET NULL" }) shelf!: Shelf | null;
}

/** A part of a box; can't be without it. */
@Entity()
class Part {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) name!: string;
  @Column({ type: "varchar", nullable: true }) note!: string | null;
  @ManyToOne(() => Box, { nullable: false, onDelete: "CASCADE" }) box!: Box;
}

let library: TestLibrary;
afterEach(() => library.dispose());

interface Pair {
  readonly a: TestKernel;
  readonly b: TestKernel;
}

async function newPair(): Promise<Pair> {
  library = new TestLibrary({ entities: [Shelf, Box, Part], declarations: shared(Shelf, Box, Part) });
  return await library.pair();
}

const boxes = ({ dataSource }: TestKernel) => dataSource.getRepository(Box);
const shelves = ({ dataSource }: TestKernel) => dataSource.getRepository(Shelf);
const parts = ({ dataSource }: TestKernel) => dataSource.getRepository(Part);
const box = (kernel: TestKernel, uuid = "box") =>
  boxes(kernel).findOneOrFail({ where: { uuid }, relations: { shelf: true } });

/** Runs what each device does on its own, a before b, and brings them together again. */
async function apart({ a, b }: Pair, onA: () => Promise<unknown>, onB: () => Promise<unknown>): Promise<void> {
  library.network.cut("a", "b");
  await library.clock.advance(1_000);
  await onA();
  await library.clock.advance(1_000);
  await onB();
  await library.clock.advance(1_000);
  library.network.heal("a", "b");
  await library.clock.advance(10_000);
  await library.settle(a, b);
  expectNoViolations(a, b);
}

async function calm(...kernels: readonly TestKernel[]): Promise<void> {
  for (const kernel of kernels) {
    const { parked } = await kernel.tidemark.status();
    expect({ ...parked, dead: 0 }).toEqual({ hidden: 0, quarantined: 0, deferred: 0, dead: 0, foreign: 0 });
  }
}

describe("edits at the same time", () => {
  it("of different columns both survive", async () => {
    const { a, b } = await newPair();
    await boxes(a).save({ uuid: "box", label: "old", colour: "old" });
    await library.settle(a, b);
    await apart(
      { a, b },
      () => boxes(a).update({ uuid: "box" }, { label: "a" }),
      () => boxes(b).update({ uuid: "box" }, { colour: "b" }),
    );
    for (const kernel of [a, b]) expect(await box(kernel)).toMatchObject({ label: "a", colour: "b" });
    expectSameTable([a, b], "box");
  });

  for (const later of ["a", "b"] as const) {
    it(`of the same column: the later one stands, that of ${later}`, async () => {
      const pair = await newPair();
      const { a, b } = pair;
      await boxes(a).save({ uuid: "box", label: "old" });
      await library.settle(a, b);
      const [first, second] = later === "b" ? [a, b] : [b, a];
      await apart(
        pair,
        () => boxes(first).update({ uuid: "box" }, { label: "earlier" }),
        async () => {
          await boxes(second).update({ uuid: "box" }, { label: "later" });
        },
      );
      for (const kernel of [a, b]) expect(await box(kernel)).toMatchObject({ label: "later" });
    });
  }

  it("of the same column, several times on one side: time counts and not the number of edits", async () => {
    const pair = await newPair();
    const { a, b } = pair;
    await boxes(a).save({ uuid: "box", label: "old" });
    await library.settle(a, b);
    await apart(
      pair,
      async () => {
        for (let n = 0; n < 5; n++) {
          await boxes(a).update({ uuid: "box" }, { label: `a${n}` });
          await library.clock.advance(10);
        }
      },
      () => boxes(b).update({ uuid: "box" }, { label: "later" }),
    );
    for (const kernel of [a, b]) expect(await box(kernel)).toMatchObject({ label: "later" });
  });
});

describe("deletes", () => {
  it("beat every edit that they raced with, also a later one", async () => {
    const pair = await newPair();
    const { a, b } = pair;
    await boxes(a).save({ uuid: "box", label: "old" });
    await library.settle(a, b);
    await apart(
      pair,
      () => boxes(a).delete({ uuid: "box" }),
      () => boxes(b).update({ uuid: "box" }, { label: "edited" }),
    );
    for (const kernel of [a, b]) expect(await boxes(kernel).count()).toBe(0);
  });

  it("on both sides are one", async () => {
    const pair = await newPair();
    const { a, b } = pair;
    await boxes(a).save({ uuid: "box" });
    await library.settle(a, b);
    await apart(
      pair,
      () => boxes(a).delete({ uuid: "box" }),
      () => boxes(b).delete({ uuid: "box" }),
    );
    for (const kernel of [a, b]) expect(await boxes(kernel).count()).toBe(0);
    await boxes(b).save({ uuid: "box", label: "again" });
    await library.settle(a, b);
    expect(await box(a)).toMatchObject({ label: "again" });
  });

  it("end a life: a record that is created again has nothing of the old one, nor of edits that raced with its death", async () => {
    const pair = await newPair();
    const { a, b } = pair;
    await boxes(a).save({ uuid: "box", label: "old", colour: "old" });
    await library.settle(a, b);
    // The edit comes first: one that is later than the new birth belongs to the new life, as far as anybody can tell.
    await apart(
      pair,
      () => boxes(a).update({ uuid: "box" }, { colour: "edit of the old life" }),
      async () => {
        await boxes(b).delete({ uuid: "box" });
        await boxes(b).save({ uuid: "box", label: "new" });
      },
    );
    for (const kernel of [a, b]) expect(await box(kernel)).toMatchObject({ label: "new", colour: null });
    await boxes(b).update({ uuid: "box" }, { colour: "edit of the new life" });
    await library.settle(a, b);
    expect(await box(a)).toMatchObject({ label: "new", colour: "edit of the new life" });
  });
});

describe("creations of the same identity at the same time", () => {
  it("are one record, with the later one's values", async () => {
    const pair = await newPair();
    const { a, b } = pair;
    await apart(
      pair,
      () => boxes(a).save({ uuid: "box", label: "a", colour: "a" }),
      () => boxes(b).save({ uuid: "box", label: "b" }),
    );
    for (const kernel of [a, b]) {
      expect(await boxes(kernel).count()).toBe(1);
      expect(await box(kernel)).toMatchObject({ label: "b", colour: null });
    }
  });
});

describe("a record that must refer to one which was deleted elsewhere", () => {
  it("keeps a change to NULL that came with what hid it", async () => {
    const { a, b } = await newPair();
    const [shelf, other] = await boxes(a).save([{ uuid: "one" }, { uuid: "two" }]);
    await parts(a).save({ uuid: "part", name: "lid", note: "old", box: shelf! });
    await library.settle(a, b);
    // b hears of a, and a does not hear of b.
    library.network.cutOneWay({ from: "b", to: "a" });
    await boxes(b).delete({ uuid: "two" });
    await library.clock.advance(100);
    await parts(a).update({ uuid: "part" }, { note: null, box: other! });
    await library.clock.advance(100);
    expect((await b.tidemark.status()).parked.hidden).toBe(1);
    await parts(a).update({ uuid: "part" }, { box: shelf! });
    await library.clock.advance(100);
    expect(await parts(b).findOneByOrFail({ uuid: "part" })).toMatchObject({ name: "lid", note: null });
    library.network.heal("a", "b");
    await library.settle(a, b);
  });
});

describe("records that the schema of one table can't hold together", () => {
  for (const [what, values] of [
    ["column", { code: "same" }],
    ["composite key", { row: 1, slot: 2 }],
  ] as const) {
    it(`are kept apart where a unique ${what} clashes, and come in once that is mended`, async () => {
      const pair = await newPair();
      const { a, b } = pair;
      await apart(
        pair,
        () => boxes(a).save({ uuid: "of-a", label: "a", ...values }),
        () => boxes(b).save({ uuid: "of-b", label: "b", ...values }),
      ).catch((error: unknown) => {
        // Each side has its own record in the table, and the other's aside: the digests differ, and must.
        expect(String(error)).toContain("did not come into step");
      });
      for (const [kernel, own] of [
        [a, "of-a"],
        [b, "of-b"],
      ] as const) {
        expect((await kernel.tidemark.status()).quarantined).toBe(1);
        expect((await boxes(kernel).find()).map(({ uuid }) => uuid)).toEqual([own]);
      }
      await boxes(a).update({ uuid: "of-a" }, { code: "other", row: 7 });
      await library.settle(a, b);
      for (const kernel of [a, b]) {
        expect(await boxes(kernel).find({ order: { uuid: "ASC" } })).toMatchObject([
          { uuid: "of-a", label: "a", code: "other", row: 7 },
          { uuid: "of-b", label: "b", ...values },
        ]);
        expect(kernel.recordedOf("recordHealed")).toEqual([{ model: "Box", record: expect.stringMatching(/^of-/) }]);
      }
      await calm(a, b);
    });
  }

  it("come in when the one in the way is deleted, together with what refers to them", async () => {
    const pair = await newPair();
    const { a, b } = pair;
    await apart(
      pair,
      () => boxes(a).save({ uuid: "of-a", code: "same" }),
      async () => {
        const own = await boxes(b).save({ uuid: "of-b", code: "same" });
        await parts(b).save({ uuid: "part", name: "lid", box: own });
      },
    ).catch(() => {});
    expect((await a.tidemark.status()).parked).toMatchObject({ quarantined: 1, hidden: 1 });
    await boxes(a).delete({ uuid: "of-a" });
    await library.settle(a, b);
    expect(await parts(a).find({ relations: { box: true } })).toMatchObject([{ uuid: "part", box: { uuid: "of-b" } }]);
    await calm(a, b);
  });

  it("keep a change to NULL that came with the clash", async () => {
    const pair = await newPair();
    const { a, b } = pair;
    await boxes(a).save([
      { uuid: "one", code: "1" },
      { uuid: "two", code: "2", label: "old" },
    ]);
    await library.settle(a, b);
    await apart(
      pair,
      () => boxes(a).update({ uuid: "one" }, { code: "same" }),
      () => boxes(b).update({ uuid: "two" }, { code: "same", label: null }),
    ).catch(() => {});
    expect((await a.tidemark.status()).quarantined).toBe(1);
    await boxes(a).update({ uuid: "one" }, { code: "other" });
    await library.settle(a, b);
    expect(await box(a, "two")).toMatchObject({ code: "same", label: null });
    await calm(a, b);
  });

  it("swap their unique values without a clash that stays", async () => {
    const { a, b } = await newPair();
    await boxes(a).save([
      { uuid: "one", code: "1" },
      { uuid: "two", code: "2" },
    ]);
    await library.settle(a, b);
    await a.dataSource.transaction(async (manager) => {
      await manager.update(Box, { uuid: "one" }, { code: "tmp" });
      await manager.update(Box, { uuid: "two" }, { code: "1" });
      await manager.update(Box, { uuid: "one" }, { code: "2" });
    });
    await library.settle(a, b);
    expect(await boxes(b).find({ order: { uuid: "ASC" } })).toMatchObject([
      { uuid: "one", code: "2" },
      { uuid: "two", code: "1" },
    ]);
    await calm(a, b);
  });
});

describe("references to what is not there", () => {
  it("hide a record whose required target was deleted at the same time, on both devices", async () => {
    const pair = await newPair();
    const { a, b } = pair;
    await boxes(a).save({ uuid: "box" });
    await library.settle(a, b);
    await apart(
      pair,
      () => boxes(a).delete({ uuid: "box" }),
      async () => parts(b).save({ uuid: "part", name: "lid", box: await box(b) }),
    );
    for (const kernel of [a, b]) {
      expect(await boxes(kernel).count()).toBe(0);
      expect(await parts(kernel).count()).toBe(0);
    }
    // A new box of that name is another one: the part was of the old.
    await boxes(a).save({ uuid: "box", label: "new life" });
    await library.settle(a, b);
    for (const kernel of [a, b]) expect(await parts(kernel).count()).toBe(0);
  });

  it("hide a record until its required target comes by another way", async () => {
    const { a, b } = await newPair();
    // A foreign process with foreign keys off writes the child of a box that is nowhere yet.
    await a.dataSource.query("PRAGMA foreign_keys = OFF");
    await a.dataSource.query(`INSERT INTO part (uuid, name, "boxId") VALUES ('part', 'lid', 4711)`);
    await a.dataSource.query("PRAGMA foreign_keys = ON");
    await library.clock.advance(2_000);
    expect(await parts(b).count()).toBe(0);
    await a.dataSource.query("INSERT INTO box (id, uuid) VALUES (4711, 'box')");
    await a.dataSource.query("UPDATE part SET name = 'cover' WHERE uuid = 'part'");
    await library.settle(a, b);
    expect(await parts(b).find({ relations: { box: true } })).toMatchObject([{ name: "cover", box: { uuid: "box" } }]);
    await calm(a, b);
  });

  it("read NULL where they are nullable, and say what they said when the target comes back", async () => {
    const pair = await newPair();
    const { a, b } = pair;
    const first = await shelves(a).save({ uuid: "shelf", room: "attic" });
    await boxes(a).save({ uuid: "box", shelf: null });
    await library.settle(a, b);
    await apart(
      pair,
      () => shelves(a).delete({ uuid: first.uuid }),
      async () => {
        const shelf = await shelves(b).findOneByOrFail({ uuid: "shelf" });
        await boxes(b).update({ uuid: "box" }, { shelf });
      },
    );
    for (const kernel of [a, b]) expect((await box(kernel)).shelf).toBeNull();
    await shelves(a).save({ uuid: "shelf", room: "cellar" });
    await library.settle(a, b);
    // The reference is older than the shelf's new life.
    for (const kernel of [a, b]) expect((await box(kernel)).shelf).toBeNull();
    await boxes(b).update({ uuid: "box" }, { shelf: await shelves(b).findOneByOrFail({ uuid: "shelf" }) });
    await library.settle(a, b);
    expect((await box(a)).shelf).toMatchObject({ uuid: "shelf", room: "cellar" });
  });

  it("wait, required and nullable ones alike, for a target that the schema refuses, and come in with it", async () => {
    const pair = await newPair();
    const { a, b } = pair;
    await boxes(a).save({ uuid: "in-the-way", code: "x" });
    await library.settle(a, b);
    await apart(
      pair,
      () => boxes(a).update({ uuid: "in-the-way" }, { code: "y" }),
      async () => {
        const own = await boxes(b).save({ uuid: "new", code: "y" });
        await parts(b).save({ uuid: "part", name: "lid", box: own });
      },
    ).catch(() => {});
    expect(await parts(a).count()).toBe(0);
    expect(query(b.database, "SELECT uuid, code FROM box ORDER BY uuid")).toEqual([
      { uuid: "in-the-way", code: "x" },
      { uuid: "new", code: "y" },
    ]);
    await boxes(b).update({ uuid: "new" }, { code: "z" });
    await library.settle(a, b);
    expectSameTable([a, b], "box");
    for (const kernel of [a, b]) {
      expect(await parts(kernel).find({ relations: { box: true } })).toMatchObject([
        { box: { uuid: "new", code: "z" } },
      ]);
    }
    await calm(a, b);
  });
});

describe("what is sent at once", () => {
  it("takes a single commit that survives a power loss, whatever was changed in it", async () => {
    const { a, b } = await newPair();
    await library.settle(a, b);
    const commits: string[] = [];
    a.tidemark.events.on("leaseReleased", ({ kind, holder }) => {
      if (kind === "writer") commits.push(holder);
    });
    await boxes(a).insert({ uuid: "box", label: "new" });
    await library.settle(a, b);
    expect(await box(b)).toMatchObject({ label: "new" });
    expect(commits).toEqual(["fold"]);
  });
});
