import type { PluginSettings } from "@tidemark/plugin-api";
import { expect, expectTypeOf, it } from "vitest";
import { type ParallelBackfillSettings, parallelBackfillSettings } from "./settings.js";

it("has the defaults that the README names", () => {
  expect(parallelBackfillSettings.parse({})).toEqual({
    concurrency: 4,
    concurrencyPerPeer: 4,
    maxBytesInFlight: 16_777_216,
  });
});

it.each([
  [{ concurrency: 0 }, "concurrency"],
  [{ concurrency: 65 }, "concurrency"],
  [{ concurrency: 1.5 }, "concurrency"],
  [{ concurrencyPerPeer: 0 }, "concurrencyPerPeer"],
  [{ concurrencyPerPeer: 11 }, "concurrencyPerPeer"],
  [{ maxBytesInFlight: 1_048_575 }, "maxBytesInFlight"],
  [{ maxBytesInFlight: 2 ** 30 + 1 }, "maxBytesInFlight"],
  [{ peers: 2 }, ""],
])("refuses %j, naming the key", (settings, path) => {
  expect(parallelBackfillSettings.safeParse(settings).error?.issues.map((issue) => issue.path.join("."))).toEqual([
    path,
  ]);
});

it("makes its settings known to defineConfig", () => {
  expectTypeOf<PluginSettings["parallel-backfill"]>().toEqualTypeOf<ParallelBackfillSettings>();
});
