import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { throttled } from "../throttle.js";
import { BarProgress } from "./bar-progress.js";
import { coloursFor } from "./colours.js";
import { formatBytes, formatCount, formatDuration, formatRate } from "./format.js";
import { LineProgress } from "./line-progress.js";
import { Rate } from "./rate.js";

const colours = coloursFor({ isTerminal: false, env: {} });

function manualTime() {
  let now = 0;
  return {
    clock: { monotonicMs: () => now },
    pass: (ms: number) => {
      now += ms;
    },
  };
}

describe("progress for people", () => {
  it("writes figures one way", () => {
    expect([formatCount(1234567.8), formatBytes(999), formatBytes(1_500_000), formatBytes(123_400_000)]).toEqual([
      "1,234,568",
      "999 B",
      "1.5 MB",
      "123 MB",
    ]);
    expect([formatDuration(12.3), formatDuration(1_234), formatDuration(125_000)]).toEqual([
      "12 ms",
      "1.2 s",
      "2 min 05 s",
    ]);
    expect([formatRate(500, 250), formatRate(1, 0)]).toEqual(["2,000/s", "–"]);
  });

  it("tells the rate of the last seconds, and begins anew after a restart", () => {
    const { clock, pass } = manualTime();
    const rate = new Rate({ clock, windowMs: 2_000 });
    expect(rate.at(0)).toBe(0);
    pass(1_000);
    expect(rate.at(100)).toBe(100);
    pass(1_000);
    expect(rate.at(200)).toBe(100);
    pass(1_000);
    expect(rate.at(600)).toBe(250);
    pass(1_000);
    expect(rate.at(10)).toBe(0);
    pass(1_000);
    expect(rate.at(60)).toBe(50);
  });

  it("writes lines at intervals, and one when a task is complete", () => {
    const { clock, pass } = manualTime();
    const lines: string[] = [];
    const display = new LineProgress({
      stream: { write: (text) => lines.push(text) },
      colours,
      clock,
      intervalMs: 1_000,
    });
    display.phase("Phase");
    for (let done = 0; done <= 2_500; done += 100) {
      display.update({ name: "A index", unit: "files", done, total: 2_500 });
      pass(100);
    }
    for (let i = 0; i < 30; i++) {
      display.update({ name: "A index", unit: "files", done: 2_500, total: 2_500 });
      pass(100);
    }
    display.note("B is killed");
    expect(lines).toEqual([
      "Phase\n",
      "  A index: 1,000 of 2,500 files 40 %, 1,000/s\n",
      "  A index: 2,000 of 2,500 files 80 %, 1,000/s\n",
      "  A index: 2,500 of 2,500 files 100 %, 1,000/s\n",
      "  B is killed\n",
    ]);
  });

  it("draws a bar for each task on a terminal", () => {
    const { clock, pass } = manualTime();
    const stream = Object.assign(new PassThrough(), { isTTY: true, columns: 120 });
    const display = new BarProgress({ stream, colours, clock });
    display.phase("Phase");
    display.update({ name: "A index", unit: "files", done: 0, total: 200 });
    display.update({ name: "B records", unit: "records", done: 5, total: 10 });
    pass(1_000);
    display.update({ name: "A index", unit: "files", done: 100, total: 200 });
    display.stop();
    const drawn = String(stream.read());
    expect(drawn).toMatch(/A index +█{12}░{12} +100\/200 files +100\/s/);
    expect(drawn).toMatch(/B records +█{12}░{12} +5\/10 records/);
  });

  it("lets few updates through, and always the last", () => {
    const { clock, pass } = manualTime();
    const sent: number[] = [];
    const { offer, flush } = throttled<number>({ clock, intervalMs: 100, send: (value) => sent.push(value) });
    for (let i = 0; i < 10; i++) {
      offer(i);
      pass(30);
    }
    flush();
    flush();
    expect(sent).toEqual([0, 4, 8, 9]);
  });
});
