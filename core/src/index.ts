/**
 * `@tidemark/core`: the kernel. What plugins need stands in `@tidemark/plugin-api`; what tests need in
 * `@tidemark/core/testing`.
 */
export { createTidemark } from "./kernel/compose.js";
export { defineConfig } from "./kernel/define-config.js";
export type {
  JournalEntry,
  JournalQuery,
  ModelDigest,
  PeerStatus,
  RemovalStatus,
  SyncStatus,
} from "./kernel/engine.js";
export type { DiagnosticsMessage, KernelIdentity } from "./kernel/event-bus.js";
export type { HookReport } from "./kernel/hook-runner.js";
export type { TidemarkOptions } from "./kernel/options.js";
export type { PluginReport } from "./kernel/plugin-host.js";
export type { TidemarkReport } from "./kernel/report.js";
export type { ResetOptions } from "./kernel/reset-options.js";
export type { PluginSetting, TidemarkSettings } from "./kernel/settings.js";
export type { Tidemark } from "./kernel/tidemark.js";
export type {
  DifferingRange,
  ModelVerification,
  RecordDifference,
  Repair,
  Verification,
  VerifyOptions,
} from "./kernel/verification.js";
export { Synced } from "./registry/synced.js";
export { tidemarkDataSourceOptions } from "./storage/data-source-options.js";
