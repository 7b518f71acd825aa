import type { PluginSettings } from "@tidemark/plugin-api";
import { expect, expectTypeOf, it } from "vitest";
import { type FkBatchingSettings, fkBatchingSettings } from "./settings.js";

it("has the defaults that the README names", () => {
  expect(fkBatchingSettings.parse({})).toEqual({ chunkRecords: 5_000, maxWaitMs: 2_000 });
});

it.each([
  [{ chunkRecords: 0 }, "chunkRecords"],
  [{ chunkRecords: 5_001 }, "chunkRecords"],
  [{ chunkRecords: 1.5 }, "chunkRecords"],
  [{ maxWaitMs: 0 }, "maxWaitMs"],
  [{ maxWaitMs: 60_001 }, "maxWaitMs"],
  [{ chunk: 1 }, ""],
])("refuses %j, naming the key", (settings, path) => {
  expect(fkBatchingSettings.safeParse(settings).error?.issues.map((issue) => issue.path.join("."))).toEqual([path]);
});

it("makes its settings known to defineConfig", () => {
  expectTypeOf<PluginSettings["fk-batching"]>().toEqualTypeOf<FkBatchingSettings>();
});
