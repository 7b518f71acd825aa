import { testPluginContract } from "@tidemark/core/testing";
import { describe, it } from "vitest";
import { backoff } from "./index.js";

testPluginContract({ plugin: backoff, runner: { describe, it } });
