import type { Events, KernelEvents } from "@tidemark/plugin-api";
import { subscription } from "@tidemark/plugin-api";
import { expect, it } from "vitest";
import { until } from "./until.js";

/** A device of which only its events matter. */
function speaker() {
  const listeners = new Set<() => void>();
  const on = (_name: keyof KernelEvents, listener: (event: never) => void) => {
    const called = () => listener(undefined as never);
    listeners.add(called);
    return subscription(() => listeners.delete(called));
  };
  const events: Events = { on, once: on };
  return { tidemark: { events }, listeners, speak: () => [...listeners].at(0)?.() };
}

const { signal } = new AbortController();

it("asks again whenever one of the devices has news, and then listens no more", async () => {
  const [one, other] = [speaker(), speaker()];
  let asked = 0;
  const holds = async () => ++asked === 3;
  const waiting = until({ what: "it is three", holds, devices: [one, other], signal });
  await Promise.resolve();
  expect(asked).toBe(1);
  one.speak();
  await Promise.resolve();
  expect(asked).toBe(2);
  other.speak();
  await waiting;
  expect(asked).toBe(3);
  expect([one.listeners.size, other.listeners.size]).toEqual([0, 0]);
});

it("misses no news that comes while the question is being answered", async () => {
  const device = speaker();
  let asked = 0;
  const holds = async () => {
    asked += 1;
    if (asked === 1) device.speak();
    return asked === 2;
  };
  await until({ what: "it is two", holds, devices: [device], signal });
  expect(asked).toBe(2);
});

it("gives up when the signal is aborted, and says what it has waited for", async () => {
  const device = speaker();
  const stop = new AbortController();
  const waiting = until({ what: "pigs fly", holds: async () => false, devices: [device], signal: stop.signal });
  await Promise.resolve();
  stop.abort();
  await expect(waiting).rejects.toThrow("Gave up waiting until pigs fly");
  expect(device.listeners.size).toBe(0);
});
