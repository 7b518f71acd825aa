import { testPluginContract } from "@tidemark/core/testing";
import { describe, it } from "vitest";
import { fkBatching } from "./index.js";

testPluginContract({ plugin: fkBatching, runner: { describe, it } });
