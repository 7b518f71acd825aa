// What a kernel says about itself, for people and for programs: facts only, in the words of the public types.

import type { KernelState } from "@tidemark/plugin-api";
import type { PluginReport } from "./plugin-host.js";

/** A kernel and its plugins, as they are at one moment. */
export interface TidemarkReport {
  /** Of `@tidemark/core`. */
  readonly version: string;
  /** Of the plugin API that it implements. */
  readonly apiVersion: string;
  readonly state: KernelState;
  /** Why the kernel has failed; `null` if it has not. */
  readonly reason: string | null;
  readonly library: string;
  readonly device: string;
  /** All installed plugins, those that are off included, in the order in which they were passed. */
  readonly plugins: readonly PluginReport[];
  /** The names of the transports that plugins have registered. */
  readonly transports: readonly string[];
}
