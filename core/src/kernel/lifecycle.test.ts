import { describe, expect, it } from "vitest";
import { Lifecycle, type LifecycleSteps } from "./lifecycle.js";

/** A life cycle that notes its steps and its states; `said` replaces steps. */
function lifecycleOf(said: Partial<LifecycleSteps> = {}) {
  const log: string[] = [];
  const step = (name: keyof LifecycleSteps) => async () => {
    log.push(name);
    await said[name]?.();
  };
  const lifecycle = new Lifecycle({
    steps: { start: step("start"), pause: step("pause"), resume: step("resume"), stop: step("stop") },
    onChange: ({ previous, state, reason }) => log.push(`${previous} → ${state}${reason ? ` (${reason})` : ""}`),
  });
  return { lifecycle, log };
}

const fails = async (): Promise<never> => {
  throw new Error("no disk");
};

describe("the life cycle", () => {
  it("goes from created to stopped, with pauses", async () => {
    const { lifecycle, log } = lifecycleOf();
    await lifecycle.start();
    await lifecycle.pause();
    await lifecycle.resume();
    await lifecycle.stop();
    expect(log).toEqual([
      "created → starting",
      "start",
      "starting → running",
      "pause",
      "running → paused",
      "resume",
      "paused → running",
      "running → stopping",
      "stop",
      "stopping → stopped",
    ]);
  });

  it("runs each step once, however many ask for it at the same time, and in the order asked for", async () => {
    const { lifecycle, log } = lifecycleOf();
    await Promise.all([
      lifecycle.start(),
      lifecycle.start(),
      lifecycle.pause(),
      lifecycle.pause(),
      lifecycle.resume(),
      lifecycle.resume(),
      lifecycle.stop(),
      lifecycle.stop(),
    ]);
    expect(log.filter((line) => !line.includes("→"))).toEqual(["start", "pause", "resume", "stop"]);
    await lifecycle.stop();
    expect(lifecycle.state).toBe("stopped");
  });

  it("stops what a failed start has left, and gives every caller the reason", async () => {
    const { lifecycle, log } = lifecycleOf({ start: fails, stop: fails });
    const outcomes = await Promise.allSettled([lifecycle.start(), lifecycle.start(), lifecycle.stop()]);
    expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "rejected", "fulfilled"]);
    expect(log).toEqual(["created → starting", "start", "stop", "starting → failed (no disk)"]);
    expect(lifecycle.reason).toBe("no disk");
    await expect(lifecycle.pause()).rejects.toMatchObject({ code: "TIDEMARK_KERNEL_STATE" });
  });

  it("stops without a step when it was never started, and can't be started then", async () => {
    const { lifecycle, log } = lifecycleOf();
    await lifecycle.stop();
    expect(log).toEqual(["created → stopped"]);
    await expect(lifecycle.start()).rejects.toMatchObject({
      code: "TIDEMARK_KERNEL_STATE",
      why: "it is stopped",
      advice: "A kernel lives once: make a new one with createTidemark",
    });
  });

  it("does not start again once stop has been asked for", async () => {
    const { lifecycle, log } = lifecycleOf();
    const started = lifecycle.start();
    const stopped = lifecycle.stop();
    await expect(lifecycle.start()).rejects.toMatchObject({ code: "TIDEMARK_KERNEL_STATE", why: "it is stopping" });
    await started;
    await stopped;
    expect(log.filter((line) => line === "start")).toHaveLength(1);
    expect(lifecycle.state).toBe("stopped");
  });

  it("has failed when a step of the stop fails, and says so to every caller", async () => {
    const { lifecycle } = lifecycleOf({ stop: fails });
    await lifecycle.start();
    await expect(lifecycle.stop()).rejects.toThrow("no disk");
    await expect(lifecycle.stop()).rejects.toThrow("no disk");
    expect(lifecycle.state).toBe("failed");
  });

  it.each(["pause", "resume"] as const)("stays as it was when %s fails", async (name) => {
    const { lifecycle } = lifecycleOf({ [name]: fails });
    await lifecycle.start();
    if (name === "resume") await lifecycle.pause();
    const { state } = lifecycle;
    await expect(lifecycle[name]()).rejects.toThrow("no disk");
    expect(lifecycle.state).toBe(state);
  });

  it("refuses to pause, to resume and to serve before the start", async () => {
    const { lifecycle } = lifecycleOf();
    const refusal = { code: "TIDEMARK_KERNEL_STATE", why: "it is created", advice: "Await start() first" };
    await expect(lifecycle.pause()).rejects.toMatchObject(refusal);
    await expect(lifecycle.resume()).rejects.toMatchObject(refusal);
    expect(() => lifecycle.requireStarted("make a digest")).toThrow(expect.objectContaining(refusal));
  });
});
