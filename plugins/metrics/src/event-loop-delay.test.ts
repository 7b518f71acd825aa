import { createHistogram, type IntervalHistogram } from "node:perf_hooks";
import { ManualClock } from "@tidemark/core/testing";
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

it("measures while there is work, and lets the process sleep when there has been none for a second", async () => {
  const { interval, record, wakesUp } = fakeHistogram();
  const clock = new ManualClock();
  const monitor = watchEventLoop(clock, interval);
  expect(wakesUp(), "before any work").toBe(false);
  expect(monitor.read()).toBeNull();
  monitor.busy();
  expect(wakesUp(), "at work").toBe(true);
  record(120);
  expect(monitor.read()).toMatchObject({ max: expect.closeTo(0.1, 2) });
  await clock.advance(900);
  monitor.busy();
  await clock.advance(900);
  expect(wakesUp(), "less than a second after there was work").toBe(true);
  record(20);
  await clock.advance(1_000);
  expect(wakesUp(), "at rest").toBe(false);
  expect(monitor.read(), "what was measured until then").toMatchObject({ max: expect.closeTo(0, 2) });
  expect(monitor.read()).toBeNull();
  monitor.busy();
  expect(wakesUp(), "at work again").toBe(true);
  monitor.dispose();
  expect(wakesUp(), "at the end").toBe(false);
});
