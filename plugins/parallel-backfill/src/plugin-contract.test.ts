import { testPluginContract } from "@tidemark/core/testing";
import { describe, it } from "vitest";
import { parallelBackfill } from "./index.js";

testPluginContract({ plugin: parallelBackfill, runner: { describe, it } });
