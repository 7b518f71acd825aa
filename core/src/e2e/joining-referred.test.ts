import { API_VERSION, backfillScheduler, definePlugin, logMaintenance } from "@tidemark/plugin-api";
import { Column, Entity, JoinTable, ManyToMany, ManyToOne, PrimaryColumn, PrimaryGeneratedColumn } from "typeorm";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { TestKernel } from "../testing/test-kernel.js";
import { expectNoViolations, shared, TestLibrary } from "./library.test-support.js";

// A device joins with a record of its own that the library has deleted and forgotten, but to which a record refers that
// somebody brought back later. It begins a new life, to which that reference does not hold.

@Entity()
class Part {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @ManyToOne(() => Part, { nullable: true, onDelete: "CASCADE" }) whole!: Part | null;
}

/** Models that refer to each other: one of them comes before the other. */
@Entity()
class Chief {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @ManyToOne(() => Crew, { nullable: false, onDelete: "CASCADE" }) crew!: Crew;
}

@Entity()
class Crew {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @ManyToOne(() => Chief, { nullable: true, onDelete: "SET NULL" }) chief!: Chief | null;
}

/** Requires what may be hidden. */
@Entity()
class Medal {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @ManyToOne(() => Chief, { nullable: false, onDelete: "CASCADE" }) chief!: Chief;
}

/** Goes by its identity also in the columns that refer to it. */
@Entity()
class Leaf {
  @PrimaryColumn("varchar") uuid!: string;
  @ManyToOne(() => Leaf, { nullable: true, onDelete: "SET NULL" }) next!: Leaf | null;
  @ManyToMany(() => Crew) @JoinTable({ name: "leaf_crew" }) crews!: Crew[];
}

let library: TestLibrary;
beforeEach(() => {
  const entities = [Part, Chief, Crew, Medal, Leaf];
  library = new TestLibrary({ entities, declarations: shared(...entities) });
});
afterEach(() => library.dispose());

const settings = {
  replication: { heartbeatMs: 1_000, retryDelayMs: 1_000 },
  membership: { maxOfflineMs: 60_000 },
};

/** Fetches the models in the order in which they refer to each other, and not the other way round. */
const backwards = definePlugin({
  manifest: { id: "backwards", version: "1.0.0", apiVersion: API_VERSION, provides: [backfillScheduler.id] },
  activate({ services }) {
    services.provide(backfillScheduler, {
      async run(work) {
        const peer = work.peers()[0]!;
        for (;;) {
          const range = work.levels
            .flat()
            .flatMap((model) => work.open(model))
            .at(-1);
          if (range === undefined) return;
          await work.apply(await work.fetch({ peer, range }));
        }
      },
    });
  },
});

const run = async ({ dataSource }: TestKernel, ...statements: readonly string[]) => {
  for (const sql of statements) await dataSource.query(sql);
};

const shown = async ({ dataSource }: TestKernel) => ({
  parts: await dataSource.query(
    "SELECT p.uuid, w.uuid AS whole FROM part p LEFT JOIN part w ON w.id = p.wholeId ORDER BY 1",
  ),
  chiefs: await dataSource.query(
    "SELECT h.uuid, c.uuid AS crew FROM chief h JOIN crew c ON c.id = h.crewId ORDER BY 1",
  ),
  crews: await dataSource.query("SELECT uuid FROM crew ORDER BY 1"),
  medals: await dataSource.query("SELECT uuid FROM medal ORDER BY 1"),
  leaves: await dataSource.query("SELECT uuid, nextUuid AS next FROM leaf ORDER BY 1"),
  crewsOfLeaves: await dataSource.query(
    "SELECT l.leafUuid AS leaf, c.uuid AS crew FROM leaf_crew l JOIN crew c ON c.id = l.crewId ORDER BY 1, 2",
  ),
});

/** `a` has deleted what `statements` on `b`, which had lapsed, refer to; by now both have what `b` has brought. */
async function libraryThatMisses(
  targets: readonly string[],
  statements: readonly string[],
  deletes: readonly string[],
): Promise<{ readonly a: TestKernel; readonly b: TestKernel }> {
  const a = await library.device("a", { settings });
  await run(a, ...targets);
  const b = await library.device("b", { dial: ["a"], settings });
  await library.settle(a, b);
  library.network.cut("a", "b");
  await run(b, ...statements);
  await b.tidemark.digest("Part");
  await b.tidemark.stop();
  await library.clock.advance(75_000);
  await run(a, ...deletes);
  await a.tidemark.digest("Part");
  await a.tidemark.services.get(logMaintenance).prune();
  library.network.heal("a", "b");
  const back = await library.restart("b", b, { dial: ["a"], settings });
  await library.clock.advance(10_000);
  await library.settle(a, back);
  return { a, b: back };
}

async function forget(...kernels: readonly TestKernel[]): Promise<void> {
  for (let turn = 0; turn < 4; turn++) {
    for (const kernel of kernels) {
      await kernel.tidemark.services.get(logMaintenance).acknowledge();
      await library.clock.advance(500);
      await kernel.tidemark.services.get(logMaintenance).prune();
    }
  }
}

async function expectAlike(...kernels: readonly [TestKernel, ...TestKernel[]]): Promise<void> {
  const [first, ...others] = kernels;
  for (const other of others) expect(await shown(other)).toEqual(await shown(first));
  expectNoViolations(...kernels);
  await library.settle(...kernels);
  await forget(...kernels);
  for (const kernel of kernels) {
    const { logEntries, parked } = await kernel.tidemark.status();
    expect({ logEntries, hidden: parked.hidden }).toEqual({ logEntries: 0, hidden: 0 });
  }
}

describe("what refers to a life before the one that a joining device begins", () => {
  it("is as on all other devices when it came in the same page or in one before", async () => {
    const { a, b } = await libraryThatMisses(
      ["INSERT INTO part (uuid) VALUES ('m')"],
      [
        "INSERT INTO part (uuid, wholeId) SELECT 'a1', id FROM part WHERE uuid = 'm'",
        "INSERT INTO part (uuid, wholeId) SELECT 'z1', id FROM part WHERE uuid = 'm'",
      ],
      ["DELETE FROM part WHERE uuid = 'm'"],
    );
    // One record in a page: those before `m` have come in other pages.
    const c = await library.device("c", {
      dial: ["a"],
      settings: { ...settings, replication: { ...settings.replication, pageRecords: 1 } },
      before: (kernel) =>
        run(
          kernel,
          "INSERT INTO part (uuid) VALUES ('m')",
          "INSERT INTO part (uuid, wholeId) SELECT 'b-own', id FROM part WHERE uuid = 'm'",
        ),
    });
    const d = await library.device("d", {
      dial: ["a"],
      settings,
      before: (kernel) => run(kernel, "INSERT INTO part (uuid) VALUES ('m')"),
    });
    await library.clock.advance(20_000);
    expect((await shown(a)).parts).toEqual([
      { uuid: "a1", whole: null },
      { uuid: "b-own", whole: "m" },
      { uuid: "m", whole: null },
      { uuid: "z1", whole: null },
    ]);
    await expectAlike(a, b, c, d);
  });

  it("is hidden where it must refer to it, with what requires it", async () => {
    const { a, b } = await libraryThatMisses(
      ["INSERT INTO crew (uuid) VALUES ('gone')"],
      [
        "INSERT INTO chief (uuid, crewId) SELECT 'h', id FROM crew",
        "INSERT INTO medal (uuid, chiefId) SELECT 'x', id FROM chief",
      ],
      ["DELETE FROM crew"],
    );
    expect((await a.tidemark.status()).parked.hidden).toBe(2);
    const c = await library.device("c", {
      dial: ["a"],
      settings,
      before: (kernel) => run(kernel, "INSERT INTO crew (uuid) VALUES ('gone')"),
    });
    await library.clock.advance(20_000);
    expect(await shown(a)).toMatchObject({ chiefs: [], crews: [{ uuid: "gone" }], medals: [] });
    await expectAlike(a, b, c);
  });

  it("is as elsewhere when what refers to it came first, links and references by identity included", async () => {
    const { a, b } = await libraryThatMisses(
      ["INSERT INTO crew (uuid) VALUES ('gone'), ('stays')", "INSERT INTO leaf (uuid) VALUES ('gone'), ('stays')"],
      [
        "INSERT INTO leaf (uuid, nextUuid) VALUES ('new', 'gone')",
        "INSERT INTO leaf_crew (leafUuid, crewId) SELECT 'new', id FROM crew",
      ],
      ["DELETE FROM crew WHERE uuid = 'gone'", "DELETE FROM leaf WHERE uuid = 'gone'"],
    );
    const c = await library.device("c", {
      dial: ["a"],
      settings,
      plugins: [backwards],
      before: (kernel) =>
        run(kernel, "INSERT INTO crew (uuid) VALUES ('gone')", "INSERT INTO leaf (uuid) VALUES ('gone')"),
    });
    await library.clock.advance(20_000);
    expect(await shown(a)).toMatchObject({
      leaves: [
        { uuid: "gone", next: null },
        { uuid: "new", next: null },
        { uuid: "stays", next: null },
      ],
      crewsOfLeaves: [{ leaf: "new", crew: "stays" }],
    });
    await expectAlike(a, b, c);
  });
});
