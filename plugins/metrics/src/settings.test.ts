import { describe, expect, it } from "vitest";
import { metricsSettings } from "./settings.js";

describe("the settings", () => {
  it("have defaults for everything", () => {
    expect(metricsSettings.parse({})).toEqual({
      sampleMs: 15_000,
      historySamples: 240,
      health: {
        waitingMs: { degraded: 1_000, failing: 15_000 },
        saturation: { degraded: 0.8, failing: null },
        lagMs: { degraded: 300_000, failing: 3_600_000 },
        parkedMs: { degraded: 3_600_000, failing: null },
        pruningBlockedMs: { degraded: 604_800_000, failing: null },
        escalationShare: { degraded: 0.01, failing: 0.1 },
      },
      waitWarning: { afterMs: 250, everyMs: 60_000 },
      poolAdvice: { maxSliceRecords: 100, pauseMs: 20, maxConcurrency: 1 },
      progressRecords: 10_000,
      openTelemetry: false,
    });
  });

  it.each([
    [{ sampleMs: 10 }, "sampleMs"],
    [{ historySamples: 1 }, "historySamples"],
    [{ health: { lagMs: { degraded: 10, failing: 5 } } }, "health.lagMs.degraded"],
    [{ health: { saturation: { degraded: 80 } } }, "health.saturation.degraded"],
    [{ prometheus: { port: 70_000 } }, "prometheus.port"],
    [{ prometheus: { host: "0.0.0.0" } }, "prometheus.host"],
    [{ waitWarning: { afterMs: 0 } }, "waitWarning.afterMs"],
    [{ progresRecords: 5 }, ""],
  ])("refuse %j", (settings, path) => {
    const { error } = metricsSettings.safeParse(settings);
    expect(error?.issues.map((issue) => issue.path.join("."))).toContain(path);
  });
});
