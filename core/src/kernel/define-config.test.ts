import { describe, expect, it } from "vitest";
import { defineConfig, shapeSettings } from "./define-config.js";
import type { TidemarkSettings } from "./settings.js";

const settings: TidemarkSettings = {
  library: { id: "library", secret: "0123456789abcdef", role: "found" },
  device: { id: "device", name: "Device" },
};

describe("defineConfig", () => {
  it("returns what it is given, and keeps its type", () => {
    const config = defineConfig({ ...settings, pool: { size: 7 } });
    const size: number = config.pool.size;
    expect(size).toBe(7);
    expect(config).toEqual({ ...settings, pool: { size: 7 } });
  });

  it("knows every setting and its default", () => {
    expect(shapeSettings(settings)).toEqual({
      ...settings,
      plugins: {},
      pool: { size: 30, acquireTimeoutMs: 30_000 },
      replication: {
        pageRecords: 2_000,
        windowBytes: 8_388_608,
        maxFrameBytes: 16_777_216,
        requestTimeoutMs: 30_000,
        retryDelayMs: 5_000,
        heartbeatMs: 60_000,
      },
      clock: { maxDriftMs: 300_000 },
      membership: { maxOfflineMs: 30 * 24 * 3_600_000, onReturn: "reissue" },
      storage: { sliceMs: 5, pollMs: 250 },
    });
  });

  it.each([
    [{ plugin: {} }, "plugin", "plugins"],
    [{ pool: { sise: 3 } }, "pool.sise", "size"],
    [{ library: { ...settings.library, secrt: "x" } }, "library.secrt", "secret"],
    [{ replication: { pageRecord: 3 } }, "replication.pageRecord", "pageRecords"],
    [{ plugins: { metrics: { enbled: true } } }, "plugins.metrics.enbled", "enabled"],
    [{ zzz: 1 }, "zzz", undefined],
  ])("refuses a key that nobody knows, and names the nearest: %o", (said, path, nearest) => {
    const problem = { kind: "unknown-key", path, reason: "is not a known setting", nearest };
    expect(() => defineConfig({ ...settings, ...said } as never)).toThrow(
      expect.objectContaining({
        code: "TIDEMARK_CONFIG_UNKNOWN_KEY",
        why: `"${path}" is not a known setting${nearest === undefined ? "" : ` (did you mean "${nearest}"?)`}`,
        details: { problems: [problem] },
      }),
    );
  });

  it.each([
    [{ pool: { size: 1 } }, "pool.size"],
    [{ pool: { size: 1_001 } }, "pool.size"],
    [{ pool: { size: 2.5 } }, "pool.size"],
    [{ replication: { pageRecords: 0 } }, "replication.pageRecords"],
    [{ replication: { retryDelayMs: Number.NaN } }, "replication.retryDelayMs"],
    [{ replication: { heartbeatMs: "60s" } }, "replication.heartbeatMs"],
    [{ storage: { sliceMs: 0 } }, "storage.sliceMs"],
    [{ device: { id: "", name: "x" } }, "device.id"],
    [{ library: { ...settings.library, role: "lead" } }, "library.role"],
    [{ plugins: { metrics: "on" } }, "plugins.metrics"],
    [{ plugins: { metrics: { onActivationFailure: "ignore" } } }, "plugins.metrics.onActivationFailure"],
    [{ overlayFile: "" }, "overlayFile"],
    [{ device: undefined }, "device"],
  ])("refuses a value that can't be: %o", (said, path) => {
    expect(() => defineConfig({ ...settings, ...said } as never)).toThrow(
      expect.objectContaining({
        code: "TIDEMARK_CONFIG_INVALID_VALUE",
        details: { problems: [expect.objectContaining({ kind: "invalid-value", path })] },
      }),
    );
  });

  it("names everything that is wrong, unknown keys first", () => {
    expect(() => defineConfig({ ...settings, pool: { sise: 3, acquireTimeoutMs: 0 } } as never)).toThrow(
      expect.objectContaining({ why: expect.stringMatching(/^"pool\.sise" .*; "pool\.acquireTimeoutMs" /) }),
    );
  });

  it("never repeats the secret", () => {
    const secret = "short secret";
    try {
      defineConfig({ ...settings, library: { ...settings.library, secret } });
      expect.unreachable();
    } catch (error) {
      expect(String(error)).toContain("library.secret");
      expect(JSON.stringify([String(error), (error as { details?: unknown }).details])).not.toContain(secret);
    }
  });

  it.each([[undefined], [null], ["settings"], [[]]])("refuses what are no settings: %o", (nothing) => {
    expect(() => defineConfig(nothing as never)).toThrow(
      expect.objectContaining({ code: "TIDEMARK_CONFIG_INVALID_VALUE" }),
    );
  });
});
