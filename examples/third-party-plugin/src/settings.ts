// What the plugin can be told. Any Standard Schema would do; this one is written with zod.

import { z } from "zod";

export const settingsShape = z.strictObject({
  /** Where the recording is written, as JSON lines. Without it, only the service has it. */
  file: z.string().min(1).optional(),
  /** How many entries of each kind are kept. */
  keep: z.number().int().min(1).max(100_000).default(500),
  /** A call of a hook that takes this long, in milliseconds, is kept as an entry of its own. */
  slowHookMs: z.number().min(0).default(50),
});

/** The plugin's settings, as an operator writes them. */
export type FlightRecorderSettings = z.input<typeof settingsShape>;

declare module "@tidemark/plugin-api" {
  interface PluginSettings {
    "flight-recorder": FlightRecorderSettings;
  }
}
