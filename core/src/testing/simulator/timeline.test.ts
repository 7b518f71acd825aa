import { describe, expect, it } from "vitest";
import { SeededRandom } from "../seeded-random.js";
import { Timeline } from "./timeline.js";

function timeline(seed = 1): { time: Timeline; errors: unknown[] } {
  const errors: unknown[] = [];
  const time = new Timeline({ random: new SeededRandom(seed), startMs: 0, onError: (error) => errors.push(error) });
  return { time, errors };
}

describe("the timeline", () => {
  it("fires timers of all clocks in the order of time, and not before it is run", async () => {
    const { time } = timeline();
    const [a, b] = [time.clock(), time.clock()];
    const fired: string[] = [];
    a.setTimeout(() => fired.push(`a at ${time.elapsedMs}`), 20);
    b.setTimeout(() => fired.push(`b at ${time.elapsedMs}`), 10);
    await time.run(5);
    expect(fired).toEqual([]);
    await time.run(20);
    expect(fired).toEqual(["b at 10", "a at 20"]);
    expect(time.elapsedMs).toBe(25);
  });

  it("keeps the order of one device's immediates, and draws the order between devices", async () => {
    const order = async (seed: number) => {
      const { time } = timeline(seed);
      const [a, b] = [time.clock(), time.clock()];
      const ran: string[] = [];
      for (const turn of [1, 2, 3]) {
        a.setImmediate(() => ran.push(`a${turn}`));
        b.setImmediate(() => ran.push(`b${turn}`));
      }
      await time.settle();
      return ran;
    };
    const orders = await Promise.all([1, 2, 3, 4, 5, 6].map(order));
    for (const ran of orders) {
      expect(ran.filter((it) => it.startsWith("a"))).toEqual(["a1", "a2", "a3"]);
      expect(ran.filter((it) => it.startsWith("b"))).toEqual(["b1", "b2", "b3"]);
    }
    expect(new Set(orders.map((ran) => ran.join())).size).toBeGreaterThan(1);
    expect(await order(1)).toEqual(orders[0]);
  });

  it("lets wall clocks be wrong without touching timers", async () => {
    const { time } = timeline();
    const clock = time.clock();
    let fired = false;
    clock.setTimeout(() => {
      fired = true;
    }, 100);
    clock.set(-3_600_000);
    await time.run(50);
    expect(clock.now()).toBe(50 - 3_600_000);
    clock.freeze();
    await time.run(50);
    expect(fired).toBe(true);
    expect(clock.now()).toBe(50 - 3_600_000);
    clock.set(0);
    expect(clock.now()).toBe(100);
  });

  it("forgets what a process has set when it ends", async () => {
    const { time } = timeline();
    const clock = time.clock();
    clock.setTimeout(() => expect.unreachable(), 10);
    clock.setImmediate(() => expect.unreachable());
    clock.stop();
    clock.setImmediate(() => expect.unreachable());
    await time.run(20);
  });

  it("runs until a promise settles, and says when none of its timers will settle it", async () => {
    const { time } = timeline();
    const clock = time.clock();
    const slow = new Promise<string>((resolve) => clock.setTimeout(() => resolve("done"), 500));
    expect(await time.until(slow, 1_000)).toBe("done");
    expect(time.elapsedMs).toBe(500);
    await expect(time.until(new Promise(() => {}), 1_000)).rejects.toThrow("did not come to an end");
  });

  it("reports what a callback throws, and goes on", async () => {
    const { time, errors } = timeline();
    const clock = time.clock();
    let after = false;
    clock.setTimeout(() => {
      throw new Error("broken");
    }, 1);
    clock.setTimeout(() => {
      after = true;
    }, 2);
    await time.run(2);
    expect(errors).toHaveLength(1);
    expect(after).toBe(true);
  });
});
