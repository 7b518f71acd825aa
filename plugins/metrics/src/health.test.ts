import { API_VERSION, definePlugin } from "@tidemark/plugin-api";
import { afterEach, describe, expect, it } from "vitest";
import { type HealthFigures, judge } from "./health.js";
import { Folder, Gate, TestLibrary } from "./library.test-support.js";
import { metricsSettings } from "./settings.js";

const thresholds = metricsSettings.parse({}).health;
const WELL: HealthFigures = {
  waitingMs: { value: 0 },
  saturation: { value: 0 },
  lagMs: { value: 0 },
  parkedMs: { value: 0 },
  pruningBlockedMs: { value: 0 },
  escalationShare: { value: 0 },
};

describe("judging", () => {
  it("finds nothing while every figure is at most at its threshold", () => {
    const figures = Object.fromEntries(
      Object.entries(thresholds).map(([code, { degraded }]) => [code, { value: degraded ?? 0 }]),
    ) as unknown as HealthFigures; // The thresholds have the same keys.
    expect(judge(figures, thresholds)).toEqual({ status: "ok", reasons: [] });
  });

  for (const code of Object.keys(WELL) as (keyof HealthFigures)[]) {
    it(`is degraded above the threshold of ${code}, and names it`, () => {
      const { degraded } = thresholds[code];
      const value = degraded! * 1.01;
      const { status, reasons } = judge({ ...WELL, [code]: { value, who: "Attic" } }, thresholds);
      expect(status).toBe("degraded");
      expect(reasons).toMatchObject([{ code, status: "degraded", value, threshold: degraded }]);
    });
  }

  it("is failing when one reason is, and puts it first", () => {
    const figures = { ...WELL, saturation: { value: 0.9 }, lagMs: { value: 2 * 3_600_000, who: "Attic" } };
    expect(judge(figures, thresholds)).toMatchObject({
      status: "failing",
      reasons: [
        { code: "lagMs", status: "failing", text: "Attic lags 7200 s behind" },
        { code: "saturation", status: "degraded", text: "90 % of the connections are lent" },
      ],
    });
  });

  it("leaves out what the settings set to null", () => {
    const { health } = metricsSettings.parse({ health: { saturation: { degraded: null } } });
    expect(judge({ ...WELL, saturation: { value: 1 } }, health).status).toBe("ok");
  });
});

describe("in a kernel", () => {
  let library: TestLibrary;
  afterEach(() => library.dispose());

  it("goes from ok to degraded to failing and back while somebody waits for a connection", async () => {
    library = new TestLibrary();
    const gate = new Gate();
    const a = await library.device("a", {
      gate,
      metrics: { sampleMs: 1_000 },
      settings: { pool: { size: 2, acquireTimeoutMs: 60_000 } },
    });
    gate.shut();
    const digests = [a.tidemark.digest("Folder"), a.tidemark.digest("Note")];
    await library.clock.advance(500);
    expect(a.reader.health()).toEqual({ status: "ok", reasons: [] });
    await library.clock.advance(1_000);
    expect(a.reader.health()).toMatchObject({ status: "degraded", reasons: [{ code: "waitingMs" }] });
    await library.clock.advance(15_000);
    expect(a.reader.health()).toMatchObject({ status: "failing", reasons: [{ code: "waitingMs", threshold: 15_000 }] });

    gate.open();
    await Promise.all(digests);
    await library.clock.advance(1_000);
    expect(a.reader.health()).toEqual({ status: "ok", reasons: [] });
    expect(a.reader.history().map(({ health }) => health)).toEqual(
      expect.arrayContaining(["ok", "degraded", "failing"]),
    );
    expect(a.logger.lines.map(({ message }) => message).filter((message) => message.startsWith("Health"))).toEqual([
      "Health is degraded",
      "Health is failing",
      "Health is ok again",
    ]);
  });

  it("names the member that keeps others from pruning", async () => {
    library = new TestLibrary();
    const a = await library.device("a", {
      metrics: { sampleMs: 60_000, health: { pruningBlockedMs: { degraded: 10 * 60_000 } } },
    });
    const b = await library.device("b", { dial: ["a"] });
    await library.inStep(a, b);
    await library.shutDown(b);
    await a.dataSource.getRepository(Folder).save({ uuid: "f", name: "f" });
    await library.clock.advance(5 * 60_000);
    expect(a.reader.health().status).toBe("ok");
    await library.clock.advance(10 * 60_000);
    const { status, reasons } = a.reader.health();
    expect(status).toBe("degraded");
    expect(reasons).toMatchObject([{ code: "pruningBlockedMs", text: expect.stringContaining("Device b has kept") }]);
  });

  it("counts escalations per round, and forgets them once they have left the history", async () => {
    library = new TestLibrary();
    let failures = 0;
    const troublemaker = definePlugin({
      manifest: { id: "troublemaker", version: "1.0.0", apiVersion: API_VERSION },
      activate({ hooks }) {
        hooks.beforeApplyBatch.tap(() => {
          if (failures-- > 0) throw new Error("a batch can't be looked at");
        });
        hooks.onCatchUpFailure.tap(() => ({ action: "full-backfill" as const, delayMs: 100 }));
      },
    });
    const a = await library.device("a");
    const b = await library.device("b", {
      dial: ["a"],
      plugins: [troublemaker],
      metrics: { sampleMs: 1_000, historySamples: 20 },
    });
    await library.inStep(a, b);
    expect(b.reader.health().status).toBe("ok");
    failures = 1;
    await a.dataSource.getRepository(Folder).save({ uuid: "f", name: "f" });
    await library.until("b has escalated", () => b.recordedOf("catchUpDecided").length > 0);
    expect(b.reader.health().reasons).toMatchObject([{ code: "escalationShare" }]);
    await library.inStep(a, b);
    await library.clock.advance(25_000);
    expect(b.reader.health()).toEqual({ status: "ok", reasons: [] });
  });
});
