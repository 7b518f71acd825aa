import {
  type AnyPlugin,
  API_VERSION,
  type BackfillPage,
  type BackfillScheduler,
  type BackfillWork,
  backfillScheduler,
  definePlugin,
  isTidemarkError,
  logMaintenance,
} from "@tidemark/plugin-api";
import { Column, Entity, ManyToOne, PrimaryGeneratedColumn } from "typeorm";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SeededRandom } from "../testing/seeded-random.js";
import type { TestKernel } from "../testing/test-kernel.js";
import { expectNoViolations, expectSameTable, shared, TestLibrary } from "./library.test-support.js";

/** Schedulers of plugins, good ones and bad ones: what they may do, and what the kernel makes of it. */
@Entity()
class Folder {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) name!: string;
}

@Entity()
class Note {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) text!: string;
  @ManyToOne(() => Folder, { nullable: false, onDelete: "CASCADE" }) folder!: Folder;
}

const PAGE = 5;
const NOTES = 42;
const settings = { replication: { pageRecords: PAGE, requestTimeoutMs: 3_000, retryDelayMs: 1_000 } };

let library: TestLibrary;
beforeEach(() => {
  library = new TestLibrary({ entities: [Folder, Note], declarations: shared(Folder, Note) });
});
afterEach(() => library.dispose());

function scheduling(scheduler: BackfillScheduler): AnyPlugin {
  return definePlugin({
    manifest: { id: "scheduling", version: "1.0.0", apiVersion: API_VERSION, provides: [backfillScheduler.id] },
    activate({ services }) {
      services.provide(backfillScheduler, scheduler);
    },
  });
}

const by = (run: BackfillScheduler["run"]): AnyPlugin => scheduling({ run });

async function fill({ dataSource }: TestKernel): Promise<void> {
  const folder = await dataSource.getRepository(Folder).save({ uuid: "f", name: "folder" });
  await dataSource.getRepository(Note).save(
    Array.from({ length: NOTES }, (_, n) => ({
      uuid: `n${String(n).padStart(3, "0")}`,
      text: `${n} `.repeat(200),
      folder,
    })),
  );
}

const write = ({ dataSource }: TestKernel, uuid: string, text: string) =>
  dataSource.query("INSERT INTO note (uuid, text, folderId) SELECT ?, ?, id FROM folder LIMIT 1", [uuid, text]);

/** A device with records, and one that joins it with this scheduler. */
async function joining(plugin: AnyPlugin): Promise<{ a: TestKernel; b: TestKernel }> {
  const a = await library.device("a", { settings });
  await fill(a);
  const b = await library.device("b", { dial: ["a"], plugins: [plugin], settings });
  return { a, b };
}

async function expectInStep(...kernels: TestKernel[]): Promise<void> {
  await library.settle(...kernels);
  expect(expectSameTable(kernels, "note", { local: ["id", "folderId"] }).size).toBeGreaterThanOrEqual(NOTES);
  expectNoViolations(...kernels);
}

/** What a call is refused with. */
async function codeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
  } catch (error) {
    if (isTidemarkError(error)) return error.code;
    throw error;
  }
  return "none";
}

/** Page after page, from the end of the models to their beginning, each from a part of what is open. */
async function backwards(work: BackfillWork, peerOf: (turn: number) => string): Promise<void> {
  for (let turn = 0; ; turn++) {
    const range = work.levels
      .flat()
      .flatMap((model) => work.open(model))
      .at(-1);
    if (range === undefined) return;
    const bounds = await work.bounds({ peer: peerOf(turn), range, every: 3, limit: 1_000 });
    const after = bounds.at(-1) ?? range.after;
    await work.apply(
      await work.fetch({ peer: peerOf(turn), range: after === range.upTo ? range : { ...range, after } }),
    );
  }
}

describe("a scheduler", () => {
  it("may take the ranges in any order and in any parts", async () => {
    const { a, b } = await joining(by((work) => backwards(work, () => work.peers()[0]!)));
    await expectInStep(a, b);
    const progress = b.recordedOf("backfillProgress");
    expect(progress[0]).toMatchObject({ model: "Note", total: NOTES, allTotal: NOTES + 1 });
    expect(progress.at(-1)).toMatchObject({ model: "Folder", done: 1, total: 1, allDone: NOTES + 1 });
    expect(b.recordedOf("backfillCompleted")).toMatchObject([{ records: NOTES + 1 }]);
    expect(b.recordedOf("catchUpFailed")).toEqual([]);
  });

  it("is told where ranges can be divided", async () => {
    const surveys: (readonly string[])[] = [];
    const { b } = await joining(
      by(async (work) => {
        const peer = work.peers()[0]!;
        const [range] = work.open("Note");
        for (const limit of [1_000, 2]) surveys.push(await work.bounds({ peer, range: range!, every: 10, limit }));
        const part = { model: "Note", after: "n011", upTo: "n031" };
        surveys.push(await work.bounds({ peer, range: part, every: 10, limit: 9 }));
        surveys.push(await work.bounds({ peer, range: work.open("Folder")[0]!, every: 2, limit: 9 }));
        await backwards(work, () => peer);
      }),
    );
    await b.next("backfillCompleted", undefined, { past: true });
    expect(surveys).toEqual([["n009", "n019", "n029", "n039"], ["n009", "n019"], ["n021", "n031"], []]);
  });

  it("gets pages that keep within their range and their bytes", async () => {
    const pages: BackfillPage[] = [];
    const { b } = await joining(
      by(async (work) => {
        const peer = work.peers()[0]!;
        const range = { model: "Note", after: "n002", upTo: "n006" };
        pages.push(await work.fetch({ peer, range }));
        pages.push(await work.fetch({ peer, range: { ...range, upTo: null } }));
        pages.push(await work.fetch({ peer, range: { ...range, upTo: null }, maxBytes: 1_024 }));
        await backwards(work, () => peer);
      }),
    );
    await b.next("backfillCompleted", undefined, { past: true });
    expect(pages).toMatchObject([
      { model: "Note", after: "n002", upTo: "n006", records: 4 },
      { after: "n002", upTo: "n007", records: PAGE },
      { after: "n002" },
    ]);
    expect(pages[2]!.records).toBeLessThan(PAGE);
    expect(pages[1]!.sizeBytes).toBeGreaterThan(2_000);
    expect(pages[2]!.sizeBytes).toBeLessThanOrEqual(1_024);
  });

  it("is refused what can't be, which changes nothing", async () => {
    const codes: Record<string, string> = {};
    let late: BackfillWork | undefined;
    const { a, b } = await joining(
      by(async (work) => {
        late = work;
        const peer = work.peers()[0]!;
        const [range] = work.open("Note");
        const page = await work.fetch({ peer, range: range! });
        const twin = await work.fetch({ peer, range: range! });
        await work.apply(page);
        codes.twice = await codeOf(work.apply(page));
        codes.covered = await codeOf(work.apply(twin));
        codes.copy = await codeOf(work.apply({ ...twin }));
        codes.closed = await codeOf(work.fetch({ peer, range: range! }));
        codes.model = await codeOf(work.fetch({ peer, range: { model: "Nothing", after: null, upTo: null } }));
        codes.backward = await codeOf(work.fetch({ peer, range: { model: "Note", after: "n030", upTo: "n020" } }));
        codes.bytes = await codeOf(work.fetch({ peer, range: work.open("Note")[0]!, maxBytes: 0 }));
        codes.every = await codeOf(work.bounds({ peer, range: work.open("Note")[0]!, every: 0, limit: 1 }));
        codes.limit = await codeOf(work.bounds({ peer, range: work.open("Note")[0]!, every: 1, limit: 1_001 }));
        codes.stranger = await codeOf(work.fetch({ peer: "nobody", range: work.open("Note")[0]! }));
        const many = Array.from({ length: 13 }, () => work.fetch({ peer, range: work.open("Note")[0]! }));
        const outcomes = await Promise.all(many.map(codeOf));
        codes.many = outcomes.find((code) => code !== "none") ?? "none";
        await backwards(work, () => peer);
      }),
    );
    await expectInStep(a, b);
    const refused = "TIDEMARK_BACKFILL_CALL_REFUSED";
    const { stranger, ...others } = codes;
    expect(new Set(Object.values(others))).toEqual(new Set([refused]));
    expect(stranger).toBe("TIDEMARK_SESSION_LOST");
    expect(late!.signal.aborted).toBe(true);
    expect(await codeOf(late!.fetch({ peer: "a", range: { model: "Note", after: null, upTo: null } }))).toBe(refused);
    expect(b.recordedOf("catchUpFailed")).toEqual([]);
  });

  it.each<readonly [string, BackfillScheduler["run"]]>([
    [
      "throws",
      () => {
        throw new Error("out of order");
      },
    ],
    ["rejects", () => Promise.reject(new Error("out of order"))],
    ["returns at once", () => Promise.resolve()],
    [
      "returns early",
      async (work) => {
        await work.apply(await work.fetch({ peer: work.peers()[0]!, range: work.open("Note")[0]! }));
      },
    ],
    ["never does anything", () => new Promise(() => {})],
    [
      "falls silent",
      async (work) => {
        await work.apply(await work.fetch({ peer: work.peers()[0]!, range: work.open("Note")[0]! }));
        await new Promise(() => {});
      },
    ],
    [
      "applies pages twice",
      async (work) => {
        const page = await work.fetch({ peer: work.peers()[0]!, range: work.open("Note")[0]! });
        await Promise.all([work.apply(page), work.apply(page)]);
      },
    ],
  ])("that %s fails the backfill, and the kernel's own goes on where it stood", async (_, run) => {
    const { a, b } = await joining(by(run));
    await expectInStep(a, b);
    expect(b.recordedOf("catchUpFailed")).toMatchObject([
      { phase: "backfill", failures: 1, code: "TIDEMARK_BACKFILL_SCHEDULER_FAILED" },
    ]);
    expect(b.recordedOf("catchUpDecided")).toMatchObject([{ decision: { action: "retry" }, decidedBy: "kernel" }]);
    expect(b.recordedOf("backfillCompleted")).toMatchObject([{ records: NOTES + 1 }]);
  });

  it("that goes on after its end does no harm", async () => {
    let late = Promise.resolve();
    const { a, b } = await joining(
      by(async (work) => {
        const page = await work.fetch({ peer: work.peers()[0]!, range: work.open("Note")[0]! });
        late = new Promise((resolve) => {
          work.signal.addEventListener("abort", () => {
            codeOf(work.apply(page)).then((code) => {
              expect(code).toBe("TIDEMARK_BACKFILL_CALL_REFUSED");
              resolve();
            });
          });
        });
        throw new Error("out of order");
      }),
    );
    await expectInStep(a, b);
    await late;
  });
});

describe("several servers", () => {
  /** a and b have the library; c joins, dialling both. */
  async function three(plugin: AnyPlugin) {
    const a = await library.device("a", { settings });
    await fill(a);
    const b = await library.device("b", { dial: ["a"], settings });
    await library.settle(a, b);
    const c = await library.device("c", { dial: ["a", "b"], plugins: [plugin], settings });
    return { a, b, c };
  }

  /** Waits until both serve, then takes pages from them in turn. */
  const inTurn =
    (between: (work: BackfillWork, turn: number) => Promise<unknown> = async () => {}): BackfillScheduler["run"] =>
    async (work) => {
      while (work.peers().length < 2) await new Promise<void>((resolve) => work.onPeersChanged(resolve));
      for (let turn = 0; ; turn++) {
        const [range] = work.levels.flat().flatMap((model) => work.open(model));
        if (range === undefined) return;
        await between(work, turn);
        const peers = work.peers();
        const page = await work.fetch({ peer: peers[turn % peers.length]!, range });
        await work.apply(page);
      }
    };

  it("serve one model together, also a device that has just joined through one of them", async () => {
    const { a, b, c } = await three(by(inTurn()));
    await c.next("backfillCompleted", undefined, { past: true });
    await expectInStep(a, b, c);
    const peers = new Set(c.recordedOf("backfillProgress").map(({ peer }) => peer));
    expect(peers.size).toBe(2);
    for (const server of [a, b]) {
      expect(server.recordedOf("pageServed").filter(({ phase }) => phase === "backfill").length).toBeGreaterThan(2);
    }
    expect(c.recordedOf("catchUpFailed")).toEqual([]);
    for (const { state } of (await c.tidemark.status()).peers) expect(state).toBe("ready");
  });

  it("that know different things lose nothing: what one of them lacks is pulled afterwards", async () => {
    let a: TestKernel | undefined;
    let pruned = 0;
    const run = inTurn(async (_, turn) => {
      // b has not heard of these when it serves; a has them, in ranges that b serves too.
      if (turn === 1) {
        library.network.cutOneWay({ from: "a", to: "b" });
        for (const uuid of ["n000x", "n017x", "n041x", "z"]) await write(a!, uuid, "while it lasts");
        await a!.dataSource.query("UPDATE note SET text = 'changed' WHERE uuid IN ('n001', 'n021', 'n041')");
        await a!.dataSource.query("DELETE FROM note WHERE uuid IN ('n002', 'n022')");
      }
      if (turn === 3) {
        await a!.tidemark.services.get(logMaintenance).acknowledge();
        pruned += (await a!.tidemark.services.get(logMaintenance).prune()).stamps;
      }
    });
    const devices = await three(by((work) => run(work)));
    a = devices.a;
    const { b, c } = devices;
    await c.next("backfillCompleted", undefined, { past: true });
    library.network.heal("a", "b");
    await expectInStep(devices.a, b, c);
    expect(await c.dataSource.query("SELECT uuid FROM note WHERE text = 'changed' ORDER BY uuid")).toHaveLength(3);
    expect(await c.dataSource.query("SELECT count(*) AS n FROM note")).toEqual([{ n: NOTES + 2 }]);
    expect(pruned).toBe(0);
  });

  it("one after the other leave the joiner with what all of them had: what only the second had heard of is pulled", async () => {
    let meanwhile: () => Promise<unknown> = async () => {};
    let runs = 0;
    const a = await library.device("a", { settings });
    await fill(a);
    const b = await library.device("b", { dial: ["a"], settings });
    await library.settle(a, b);
    library.network.cut("b", "c");
    const c = await library.device("c", {
      dial: ["a", "b"],
      settings,
      plugins: [
        by(async (work) => {
          runs += 1;
          for (let page = 0; runs > 1 || page < 4; page++) {
            const [range] = work.levels.flat().flatMap((model) => work.open(model));
            if (range === undefined) return;
            await work.apply(await work.fetch({ peer: work.peers()[0]!, range }));
          }
          library.network.cut("a", "c");
          await meanwhile();
          library.network.heal("b", "c");
          await new Promise(() => {});
        }),
      ],
    });
    // Of records that have been served already, by a device that is heard of by the second server alone.
    meanwhile = async () => {
      await b.dataSource.query("UPDATE note SET text = 'changed' WHERE uuid = 'n001'");
      await b.dataSource.query("DELETE FROM note WHERE uuid = 'n002'");
      await b.tidemark.digest("Note");
    };
    await library.settle(b, c);
    expect(runs).toBe(2);
    expect(c.recordedOf("backfillStarted")).toMatchObject([{ resumed: false }, { resumed: true }]);
    library.network.heal("a", "c");
    await library.settle(a, b, c);
    expectSameTable([a, b, c], "note", { local: ["id", "folderId"] });
  });

  it("go on without one that is lost, which may come back and serve again", async () => {
    const run = inTurn(async (work, turn) => {
      if (turn === 2) {
        const [first] = work.peers();
        library.network.cut("a", "c");
        while (work.peers().includes(first!)) await new Promise<void>((resolve) => work.onPeersChanged(resolve));
        expect(work.peers()).toHaveLength(1);
      }
      if (turn === 4) {
        library.network.heal("a", "c");
        const back = new Promise<void>((resolve) => work.onPeersChanged(resolve));
        await Promise.all([back, library.clock.advance(2_500)]);
        expect(work.peers()).toHaveLength(2);
      }
    });
    const { a, b, c } = await three(by(run));
    await c.next("backfillCompleted", undefined, { past: true });
    await expectInStep(a, b, c);
    expect(c.recordedOf("backfillStarted")).toHaveLength(1);
    expect(c.recordedOf("catchUpFailed")).toMatchObject([{ code: "TIDEMARK_SESSION_LOST", phase: "backfill" }]);
  });

  it("are none any more when all are lost: the backfill fails and goes on where it stood, with whoever is there", async () => {
    let runs = 0;
    const opens: number[] = [];
    const { a, b, c } = await three(
      by(async (work) => {
        runs += 1;
        opens.push(work.open("Note").length);
        if (runs > 1) return await inTurn()(work);
        await backwardsFor(3, work);
        library.network.cut("a", "c");
        library.network.cut("b", "c");
        await new Promise(() => {});
      }),
    );
    await library.clock.advance(500);
    library.network.heal("a", "c");
    library.network.heal("b", "c");
    await expectInStep(a, b, c);
    expect(runs).toBe(2);
    expect(opens[1]).toBeGreaterThanOrEqual(1);
    expect(c.recordedOf("backfillStarted")).toMatchObject([{ resumed: false }, { resumed: true }]);
    const codes = c.recordedOf("catchUpFailed").map(({ code }) => code);
    expect(new Set(codes)).toEqual(new Set(["TIDEMARK_SESSION_LOST"]));
  });
});

async function backwardsFor(pages: number, work: BackfillWork): Promise<void> {
  const peer = work.peers()[0]!;
  for (let page = 0; page < pages; page++) {
    const range = work.open("Note")[0]!;
    const bounds = await work.bounds({ peer, range, every: 4, limit: 1_000 });
    await work.apply(await work.fetch({ peer, range: { ...range, after: bounds.at(-2)! } }));
  }
}

it("converges whatever a scheduler does with a dozen seeds", { timeout: 60_000 }, async () => {
  for (let seed = 1; seed <= 12; seed++) {
    const random = new SeededRandom(seed);
    const below = (n: number) => Math.floor(random.next() * n);
    const scheduler = by(async (work) => {
      const held: BackfillPage[] = [];
      const peer = () => work.peers()[below(work.peers().length)]!;
      for (;;) {
        const open = work.levels.flat().flatMap((model) => work.open(model));
        if (open.length === 0) return;
        const whole = open[below(open.length)]!;
        const bounds = await work.bounds({ peer: peer(), range: whole, every: 1 + below(6), limit: 1_000 });
        const cuts = [whole.after, ...bounds, whole.upTo];
        const from = below(cuts.length - 1);
        const to = from + 1 + below(cuts.length - 1 - from);
        const range = { model: whole.model, after: cuts[from]!, upTo: cuts[to]! };
        if (range.after === range.upTo && range.after !== null) continue;
        held.push(await work.fetch({ peer: peer(), range }));
        while (held.length > below(4)) {
          const [page] = held.splice(below(held.length), 1);
          // Another page may have covered it.
          await codeOf(work.apply(page!));
        }
      }
    });
    const a = await library.device("a", { settings });
    await fill(a);
    const b = await library.device("b", { dial: ["a"], plugins: [scheduler], settings });
    await library.settle(a, b);
    expect(b.recordedOf("catchUpFailed"), `seed ${seed}`).toEqual([]);
    expectSameTable([a, b], "note", { local: ["id", "folderId"] });
    await library.dispose();
    library = new TestLibrary({ entities: [Folder, Note], declarations: shared(Folder, Note) });
  }
});
