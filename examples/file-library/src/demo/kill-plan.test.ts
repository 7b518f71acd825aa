import { subscription } from "@tidemark/plugin-api";
import { describe, expect, it } from "vitest";
import { type Kill, KillPlan } from "./kill-plan.js";

function plan(seed: string, { running = true } = {}) {
  const timers: { callback: () => void; delayMs: number; disposed: boolean }[] = [];
  const killed: Kill[] = [];
  const kills = new KillPlan({
    seed,
    clock: {
      setTimeout(callback, delayMs) {
        const timer = { callback, delayMs, disposed: false };
        timers.push(timer);
        return subscription(() => {
          timer.disposed = true;
        });
      },
    },
    kill: () => running,
    onKilled: (kill) => killed.push(kill),
  });
  return { kills, timers, killed };
}

describe("the plan of kills", () => {
  it("kills once a phase, by messages or by time, whichever comes first", () => {
    const { kills, timers, killed } = plan("one");
    kills.enter("first");
    for (let i = 0; i < 100; i++) {
      kills.onMessage("A");
      kills.onMessage("B");
    }
    expect(killed.map(({ phase }) => phase)).toEqual(["first"]);
    expect(timers[0]?.disposed).toBe(true);
    kills.enter("second");
    timers[1]?.callback();
    kills.onMessage("A");
    expect(killed.map(({ phase }) => phase)).toEqual(["first", "second"]);
    expect(kills.kills).toEqual(killed);
  });

  it("spares a phase that is over, and counts no kill that hit nobody", () => {
    const { kills, timers, killed } = plan("one");
    kills.enter("first");
    kills.leave();
    timers[0]?.callback();
    expect(killed).toEqual([]);
    const idle = plan("one", { running: false });
    idle.kills.enter("first");
    idle.timers[0]?.callback();
    expect(idle.killed).toEqual([]);
  });

  it("follows from its seed, and hits either device sooner or later", () => {
    const victims = (seed: string) => {
      const { kills, timers, killed } = plan(seed);
      for (let i = 0; i < 20; i++) {
        kills.enter(`phase ${i}`);
        timers[i]?.callback();
      }
      return killed.map(({ device }) => device).join("");
    };
    expect(victims("one")).toBe(victims("one"));
    expect(victims("one")).not.toBe(victims("two"));
    expect(new Set(victims("one"))).toEqual(new Set(["A", "B"]));
  });
});
