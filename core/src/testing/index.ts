// What `@tidemark/core/testing` offers to tests, of this repository and of third parties.
export * from "../transport/in-memory.js";
export * from "./crashes/damage-runs.js";
export * from "./crashes/kill-runs.js";
export * from "./manual-clock.js";
export * from "./plugin-contract.js";
export * from "./recording-logger.js";
export * from "./seeded-random.js";
export * from "./simulator/profiles.js";
export * from "./simulator/simulate.js";
export * from "./test-kernel.js";
export * from "./transport-contract.js";
export * from "./transport-probe.js";
