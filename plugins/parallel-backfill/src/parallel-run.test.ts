import { SeededRandom } from "@tidemark/core/testing";
import { describe, expect, it } from "vitest";
import { FakeWork, identity } from "./fake-work.test-support.js";

const near = { latencyMs: 50 };
/** Whether everything has been applied, nothing twice. */
function expectAll(work: FakeWork, records: number): void {
  for (const model of work.levels.flat()) expect(work.open(model)).toEqual([]);
  expect(work.applied.reduce((sum, page) => sum + page.records, 0)).toBe(records);
}

describe("ranges", () => {
  it("of a page or less are fetched as they are, without a survey", async () => {
    const work = new FakeWork({ levels: [{ a: 10, b: 0, c: 3 }], peers: { p: near } });
    await work.run();
    expectAll(work, 13);
    expect(work.surveys).toEqual([]);
    expect(work.fetches.length).toBe(4); // The first page was full: there could have been more.
  });

  it("that are longer are divided first, and each part is fetched once", async () => {
    const work = new FakeWork({ levels: [{ a: 95, b: 42 }], peers: { p: near } });
    await work.run();
    expectAll(work, 137);
    expect(work.surveys.length).toBe(2);
    expect(work.fetches.length).toBe(10 + 5);
  });

  it("with more bounds than one survey tells are surveyed on", async () => {
    const work = new FakeWork({ levels: [{ a: 700 }], pageRecords: 1, peers: { p: { latencyMs: 2 } } });
    await work.run();
    expectAll(work, 700);
    expect(work.surveys.map(({ after }) => after)).toEqual([null, identity(256), identity(512)]);
    expect(work.fetches.length).toBe(701);
  });

  it("whose pages come out short are fetched on from there", async () => {
    const work = new FakeWork({ levels: [{ a: 95 }, { b: 30 }], peers: { p: near } });
    work.fitting = 4;
    await work.run();
    expectAll(work, 125);
    expect(work.fetches.length).toBe(work.applied.length);
  });

  it("that are here already are not fetched", async () => {
    const work = new FakeWork({ levels: [{ a: 95, b: 20 }, { c: 50 }], peers: { p: near } });
    for (const [after, upTo] of [
      [0, 10],
      [33, 60],
      [70, 71],
    ] as const)
      work.close("a", after, upTo);
    work.close("b", 0, 20);
    await work.run();
    expectAll(work, 95 - 38 + 50);
    expect(work.fetches.filter(({ model }) => model === "b").length).toBe(1);
  });
});

describe("levels", () => {
  it("are applied one after the other, and the models of one side by side", async () => {
    const work = new FakeWork({ levels: [{ a: 35, b: 35 }, { c: 20 }, { d: 5, e: 25 }], peers: { p: near } });
    await work.run();
    expectAll(work, 120);
    const levels = work.applied.map(({ model }) => work.levels.findIndex((level) => level.includes(model)));
    expect(levels).toEqual(levels.toSorted());
    const first = work.applied.slice(0, 7).map(({ model }) => model);
    expect(new Set(first)).toEqual(new Set(["a", "b"]));
  });

  it("that are short are fetched together, and wait for each other", async () => {
    const work = new FakeWork({ levels: [{ a: 1 }, { b: 1 }, { c: 1 }, { d: 1 }], peers: { p: near } });
    expect(await work.run()).toBeLessThan(2 * near.latencyMs);
    expect(work.applied.map(({ model }) => model)).toEqual(["a", "b", "c", "d"]);
  });

  it("give way to what is missing of those before them, when the peer goes that had it", async () => {
    const work = new FakeWork({
      levels: [{ a: 1 }, { b: 1 }, { c: 1 }, { d: 1 }],
      settings: { concurrency: 3 },
      peers: { slow: { latencyMs: 500 }, quick: { latencyMs: 5 } },
    });
    await work.run({ during: (ms) => ms === 100 && work.lose("slow") });
    expect(work.applied.map(({ model }) => model)).toEqual(["a", "b", "c", "d"]);
    expect(work.mostInWork).toBe(3);
  });

  it("give way also when the advice has become stricter meanwhile, at the price of fetching again", async () => {
    const work = new FakeWork({
      levels: [{ a: 1 }, { b: 1 }, { c: 1 }],
      peers: { slow: { latencyMs: 500 }, quick: { latencyMs: 5 } },
    });
    await work.run({
      during: (ms) => {
        if (ms !== 100) return;
        work.maxConcurrency = 1;
        work.lose("slow");
      },
    });
    expectAll(work, 3);
    expect(work.dropped).toBe(1);
    expect(work.fetches.length).toBe(6);
  });
});

describe("pages in work", () => {
  it.each([1, 3, 8])("are at most %i where the settings say so", async (concurrency) => {
    const settings = { concurrency, concurrencyPerPeer: 10 };
    const work = new FakeWork({ levels: [{ a: 300 }], settings, peers: { p: near, q: near } });
    await work.run();
    expect(work.mostInWork).toBe(concurrency);
  });

  it("are at most as many of one peer as the settings say, whoever applies slowly", async () => {
    const settings = { concurrency: 8, concurrencyPerPeer: 2 };
    const work = new FakeWork({ levels: [{ a: 300 }], settings, peers: { p: near, q: near }, applyMs: 40 });
    await work.run();
    // And two surveys.
    for (const peer of ["p", "q"]) expect(work.mostOf.get(peer)).toBeLessThanOrEqual(2 + 2);
    expect(work.mostInWork).toBeGreaterThan(4);
  });

  it("have equal shares of the bytes", async () => {
    const settings = { concurrency: 5, maxBytesInFlight: 1_048_576 };
    const work = new FakeWork({ levels: [{ a: 300 }], settings, peers: { p: near } });
    await work.run();
    expect(new Set(work.fetches.map(({ maxBytes }) => maxBytes))).toEqual(new Set([209_715]));
  });

  it("are as few as the kernel advises, for as long as it does", async () => {
    const work = new FakeWork({ levels: [{ a: 600 }], peers: { p: near } });
    const seen: number[] = [];
    await work.run({
      during: (ms) => {
        if (ms === 200) work.maxConcurrency = 1;
        // Those that were asked for before have come and gone.
        if (ms > 300 && ms < 1_000) seen.push(work.inWork);
        if (ms === 1_000) {
          work.maxConcurrency = 2;
          work.mostInWork = 0;
        }
      },
    });
    expect(Math.max(...seen)).toBe(1);
    expect(work.mostInWork).toBe(2);
    expectAll(work, 600);
  });
});

describe("peers", () => {
  it("of equal speed get equal parts", async () => {
    const work = new FakeWork({ levels: [{ a: 900 }], peers: { p: near, q: near } });
    await work.run();
    const ofP = work.fetches.filter(({ peer }) => peer === "p").length;
    expect(Math.abs(ofP - work.fetches.length / 2)).toBeLessThan(8);
  });

  it("that are slow are tried and then left to themselves", async () => {
    const peers = { slow: { latencyMs: 1_000 }, quick: { latencyMs: 20 } };
    const work = new FakeWork({ levels: [{ a: 990 }], peers });
    await work.run();
    const ofSlow = work.fetches.filter(({ peer }) => peer === "slow").length;
    expect(ofSlow).toBeGreaterThan(0);
    expect(ofSlow).toBeLessThan(4);
  });

  it("that come later take part, and those that fail to apply a page do no more", async () => {
    const work = new FakeWork({ levels: [{ a: 900 }], peers: { p: near } });
    await work.run({
      during: (ms) => {
        if (ms === 150) work.join("q", near);
        if (ms === 500) work.refuseNext = true;
      },
    });
    expectAll(work, 900);
    expect(new Set(work.fetches.map(({ peer }) => peer))).toEqual(new Set(["p", "q"]));
    expect(new Set(work.fetches.filter(({ atMs }) => atMs > 600).map(({ peer }) => peer)).size).toBe(1);
  });
});

describe("the end", () => {
  it("comes when the kernel says so, whatever is in work", async () => {
    const work = new FakeWork({ levels: [{ a: 900 }], peers: { p: near } });
    await work.run({ during: (ms) => ms === 200 && work.stop() });
    const asked = work.fetches.length;
    await work.clock.advance(1_000);
    expect(work.fetches.length).toBe(asked);
    expect(work.open("a").length).toBeGreaterThan(0);
  });

  it("comes with an error when a call is refused, which is a fault of the plugin's own", async () => {
    const work = new FakeWork({ levels: [{ a: 900 }], peers: { p: near } });
    const close = () => work.close("a", 0, 300);
    await expect(work.run({ during: (ms) => ms === 60 && close() })).rejects.toMatchObject({
      code: "TIDEMARK_BACKFILL_CALL_REFUSED",
    });
  });
});

it("brings everything, within its bounds and in order, whatever peers do with a hundred seeds", async () => {
  for (let seed = 1; seed <= 100; seed++) {
    const random = new SeededRandom(seed);
    const below = (n: number) => Math.floor(random.next() * n);
    const sizes = Array.from({ length: 1 + below(4) }, (_, level) =>
      Object.fromEntries(Array.from({ length: 1 + below(3) }, (__, model) => [`m${level}${model}`, below(120)])),
    );
    const records = sizes.flatMap((level) => Object.values(level)).reduce((sum, size) => sum + size, 0);
    const settings = { concurrency: 1 + below(6), concurrencyPerPeer: 1 + below(4) };
    const work = new FakeWork({
      levels: sizes,
      settings,
      pageRecords: 1 + below(20),
      peers: { p0: { latencyMs: 1 + below(60) }, p1: { latencyMs: 1 + below(60) } },
      applyMs: below(8),
    });
    let peers = 2;
    await work.run({
      stepMs: 5,
      during: () => {
        const dice = below(100);
        if (dice < 3 && work.peers().length > 1) work.lose(work.peers()[below(work.peers().length)]!);
        else if (dice < 6) work.join(`p${peers++}`, { latencyMs: 1 + below(60) });
        else if (dice < 8) work.maxConcurrency = 1 + below(4);
        else if (dice < 9) work.maxConcurrency = Number.POSITIVE_INFINITY;
        else if (dice < 10 && work.peers().length > 1) work.refuseNext = true;
        else if (dice < 12) work.fitting = 1 + below(10);
        else if (dice < 14) work.fitting = Number.POSITIVE_INFINITY;
      },
    });
    expectAll(work, records);
    expect(work.mostInWork, `seed ${seed}`).toBeLessThanOrEqual(settings.concurrency);
    const levels = work.applied.map(({ model }) => Number(model[1]));
    expect(levels, `seed ${seed}`).toEqual(levels.toSorted());
  }
});
