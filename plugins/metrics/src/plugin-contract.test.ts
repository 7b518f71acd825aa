import { testPluginContract } from "@tidemark/core/testing";
import { describe, it } from "vitest";
import { metrics } from "./index.js";

testPluginContract({ plugin: metrics, runner: { describe, it } });
testPluginContract({
  plugin: metrics,
  settings: { prometheus: { port: 0 }, openTelemetry: true, sampleMs: 100, historySamples: 2 },
  runner: { describe, it },
});
