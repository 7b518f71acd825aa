import { describe, it } from "node:test";
import { testPluginContract } from "@tidemark/core/testing";
import flightRecorder from "./index.js";

testPluginContract({ plugin: flightRecorder, runner: { describe, it } });
