import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { renderReport } from "./render-report.js";
import type { TidemarkReport } from "./report.js";
import { CORE_VERSION } from "./version.js";

const report: TidemarkReport = {
  version: "0.1.0",
  apiVersion: "1.0",
  state: "running",
  reason: null,
  library: "photos",
  device: "laptop",
  plugins: [
    {
      id: "metrics",
      version: "1.2.3",
      state: "active",
      enabledBy: "default",
      error: null,
      activationMs: 1.25,
      hooks: [
        { hook: "afterBatch", order: "normal", calls: 12, failures: 3, timeouts: 1, totalMs: 40, quarantined: true },
        { hook: "onPoolPressure", order: "pre", calls: 0, failures: 0, timeouts: 0, totalMs: 0, quarantined: false },
      ],
      services: ["metrics.snapshot"],
    },
    {
      id: "backoff",
      version: "1.0.0",
      state: "disabled",
      enabledBy: "env",
      error: null,
      activationMs: null,
      hooks: [],
      services: [],
    },
    {
      id: "ws",
      version: "1.0.0",
      state: "failed",
      enabledBy: "overlay",
      error: "the port is in use",
      activationMs: 3,
      hooks: [],
      services: [],
    },
  ],
  transports: ["memory"],
};

describe("the report as text", () => {
  it("is an aligned table, with the errors in full below", () => {
    expect(renderReport(report).split("\n")).toEqual([
      "Tidemark 0.1.0 (plugin API 1.0) is running",
      "library photos, device laptop, transports: memory",
      "",
      "plugin   version  state     said by       activation  hooks                                                    services",
      "metrics  1.2.3    active    default       1.3 ms      afterBatch 12 (3 failed, quarantined), onPoolPressure 0  metrics.snapshot",
      "backoff  1.0.0    disabled  environment   -           -                                                        -",
      "ws       1.0.0    failed    overlay file  3.0 ms      -                                                        -",
      "",
      "ws: the port is in use",
    ]);
  });

  it("says why the kernel has failed, and that there are no plugins", () => {
    expect(renderReport({ ...report, state: "failed", reason: "no disk", plugins: [], transports: [] })).toBe(
      "Tidemark 0.1.0 (plugin API 1.0) is failed: no disk\nlibrary photos, device laptop, transports: none\nno plugins",
    );
  });

  it("carries the version of the package", () => {
    const manifest = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
    expect(CORE_VERSION).toBe(manifest.version);
  });
});
