import { describe, expect, it } from "vitest";
import { SlicePacer } from "./slice-pacer.js";

function run(pacer: SlicePacer, { slices, perMs }: { readonly slices: number; readonly perMs: number }): void {
  for (let slice = 0; slice < slices; slice++) pacer.record({ records: pacer.size, durationMs: pacer.size / perMs });
}

describe("the slice pacer", () => {
  it("finds the size that takes the target time, from below and from above", () => {
    const slow = new SlicePacer({ targetMs: 8, initial: 200 });
    run(slow, { slices: 10, perMs: 100 });
    expect(slow.size).toBe(800);
    run(slow, { slices: 10, perMs: 20 });
    expect(slow.size).toBe(160);
  });

  it("takes half the time while the application shares the loop", () => {
    let shares = true;
    const pacer = new SlicePacer({ targetMs: 8, initial: 200, shares: () => shares });
    run(pacer, { slices: 10, perMs: 100 });
    expect(pacer.size).toBe(400);
    shares = false;
    run(pacer, { slices: 10, perMs: 100 });
    expect(pacer.size).toBe(800);
  });

  it("grows to at most twice its size in one step, and shrinks to no less than a quarter", () => {
    const pacer = new SlicePacer({ initial: 400 });
    pacer.record({ records: 400, durationMs: 0.1 });
    expect(pacer.size).toBe(800);
    pacer.record({ records: 800, durationMs: 800 });
    expect(pacer.size).toBe(200);
  });

  it("stays between 50 and 10,000", () => {
    const pacer = new SlicePacer();
    run(pacer, { slices: 30, perMs: 1_000_000 });
    expect(pacer.size).toBe(10_000);
    run(pacer, { slices: 30, perMs: 0.01 });
    expect(pacer.size).toBe(50);
  });

  it("learns nothing from a slice that was quick because it was small", () => {
    const pacer = new SlicePacer({ initial: 400 });
    pacer.record({ records: 3, durationMs: 1 });
    pacer.record({ records: 3, durationMs: 0.001 });
    pacer.record({ records: 0, durationMs: 1 });
    expect(pacer.size).toBe(400);
  });

  it("obeys advice, below its own least size too, and has its size back when the advice is lifted", () => {
    const pacer = new SlicePacer({ initial: 400 });
    pacer.advise({ maxRecords: 20 });
    expect(pacer.size).toBe(20);
    run(pacer, { slices: 5, perMs: 50 });
    expect(pacer.size).toBe(20);
    pacer.advise({});
    expect(pacer.size).toBe(400);
  });

  it("passes on how many pages may be in work at once", () => {
    const pacer = new SlicePacer();
    expect(pacer.pagesAtOnce).toBe(Number.POSITIVE_INFINITY);
    pacer.advise({ maxPages: 1 });
    expect(pacer.pagesAtOnce).toBe(1);
    pacer.advise({ maxRecords: 20 });
    expect(pacer.pagesAtOnce).toBe(Number.POSITIVE_INFINITY);
  });
});
