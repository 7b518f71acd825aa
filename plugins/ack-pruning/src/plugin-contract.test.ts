import { testPluginContract } from "@tidemark/core/testing";
import { describe, it } from "vitest";
import { ackPruning } from "./index.js";

testPluginContract({ plugin: ackPruning, runner: { describe, it } });
