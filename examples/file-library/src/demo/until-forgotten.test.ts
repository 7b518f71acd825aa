import type { Tidemark } from "@tidemark/core";
import { ackPruningControl } from "@tidemark/plugin-ack-pruning";
import { subscription } from "@tidemark/plugin-api";
import { describe, expect, it } from "vitest";
import { untilForgotten } from "./until-forgotten.js";

/** A device whose log has these sizes, one after the other, whenever it is looked at. */
function device(sizes: readonly number[]) {
  let looks = 0;
  const listeners = new Set<() => void>();
  const timers = new Set<() => void>();
  const tidemark = {
    events: {
      on: (name: string, listener: () => void) => {
        expect(name).toBe("logPruned");
        listeners.add(listener);
        return subscription(() => listeners.delete(listener));
      },
    },
    services: {
      get: (token: unknown) => {
        expect(token).toBe(ackPruningControl);
        return { dryRun: async () => ({ heldBackBy: [{ name: "Device B" }] }) };
      },
    },
    status: async () => ({ logEntries: sizes[Math.min(looks++, sizes.length - 1)]! }),
  } as unknown as Tidemark;
  const controller = new AbortController();
  const wait = untilForgotten({
    tidemark,
    clock: {
      setTimeout: (callback, delayMs) => {
        expect(delayMs).toBe(5_000);
        timers.add(callback);
        return subscription(() => timers.delete(callback));
      },
    },
    patienceMs: 5_000,
    signal: controller.signal,
  });
  const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
  return {
    wait,
    controller,
    looks: () => looks,
    left: () => listeners.size + timers.size,
    async prune() {
      await turn();
      for (const listener of listeners) listener();
      await turn();
    },
    async lateness() {
      await turn();
      for (const late of timers) late();
    },
  };
}

describe("waiting until everything is forgotten", () => {
  it("is over at once when the log is empty", async () => {
    const { wait, looks, left } = device([0]);
    expect(await wait).toEqual({ logEntries: 0, heldBackBy: [] });
    expect([looks(), left()]).toEqual([1, 0]);
  });

  it("looks again whenever something was pruned, and not otherwise", async () => {
    const { wait, prune, looks, left } = device([30, 10, 0]);
    await prune();
    expect(looks()).toBe(2);
    await prune();
    expect(await wait).toEqual({ logEntries: 0, heldBackBy: [] });
    expect([looks(), left()]).toEqual([3, 0]);
  });

  it("gives up when nothing has been pruned for long, and names who holds it back", async () => {
    const { wait, prune, lateness, left } = device([30, 10]);
    await prune();
    await lateness();
    expect(await wait).toEqual({ logEntries: 10, heldBackBy: ["Device B"] });
    expect(left()).toBe(0);
  });

  it("ends when nobody wants to know any more", async () => {
    const { wait, controller, left } = device([30]);
    controller.abort(new Error("closing"));
    await expect(wait).rejects.toThrow("closing");
    expect(left()).toBe(0);
  });
});
