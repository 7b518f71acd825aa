import { createHistogram, type IntervalHistogram } from "node:perf_hooks";
import { expect, it } from "vitest";
import { watchEventLoop } from "./event-loop-delay.js";

/** A histogram that takes what it is given, and tells whether Node would be waking up for it. */
function fakeHistogram() {
  let wakesUp = false;
  const histogram = createHistogram();
  const interval = Object.assign(histogram, {
    enable: () => {
      wakesUp = true;
      return true;
    },
    disable: () => {
      wakesUp = false;
      return true;
    },
  }) as unknown as IntervalHistogram;
  return { interval, record: (ms: number) => histogram.record(ms * 1e6), wakesUp: () => wakesUp };
}

it("measures while there is work, and lets the process sleep when there is none", () => {
  const { interval, record, wakesUp } = fakeHistogram();
  const monitor = watchEventLoop(interval);
  expect(wakesUp(), "before any work").toBe(false);
  expect(monitor.read()).toBeNull();
  monitor.busy();
  expect(wakesUp(), "at work").toBe(true);
  record(120);
  expect(monitor.read()).toMatchObject({ max: expect.closeTo(0.1, 2) });
  expect(wakesUp(), "as long as there may be more").toBe(true);
  record(20);
  expect(monitor.read(), "what was measured until now").toMatchObject({ max: expect.closeTo(0, 2) });
  expect(wakesUp(), "at rest").toBe(false);
  expect(monitor.read()).toBeNull();
  monitor.busy();
  expect(wakesUp(), "at work again").toBe(true);
  monitor.dispose();
  expect(wakesUp(), "at the end").toBe(false);
});
