// The settings as an application writes them: typed while they are written, checked before they are used.

import { kernelErrors } from "./errors.js";
import type { TidemarkSettings } from "./settings.js";
import { problemsOf } from "./settings-problems.js";
import { type ShapedSettings, settingsShape } from "./settings-shape.js";

/**
 * Returns `settings` as they are, once their shape has been checked. What plugins make of their own settings is checked
 * when the kernel starts, because their schemas may be asynchronous.
 *
 * Throws `TIDEMARK_CONFIG_UNKNOWN_KEY` and `TIDEMARK_CONFIG_INVALID_VALUE`, which say where, why, and the nearest valid key.
 *
 * @example
 * export default defineConfig({
 *   library: { id: "photos", secret: process.env.PHOTOS_SECRET ?? "", role: "found" },
 *   device: { id: "laptop", name: "Laptop" },
 *   plugins: { metrics: false, backoff: { settings: { firstDelayMs: 5_000 } } },
 *   pool: { size: 10 },
 * });
 */
export function defineConfig<Settings extends TidemarkSettings>(settings: Settings): Settings {
  shapeSettings(settings);
  return settings;
}

/** The settings with the kernel's defaults filled in. Throws as {@link defineConfig} does. */
export function shapeSettings(settings: unknown): ShapedSettings {
  const result = settingsShape.safeParse(settings);
  if (result.success) return result.data;
  const problems = problemsOf({ schema: settingsShape, input: settings, result: { issues: result.error.issues } });
  throw kernelErrors.invalidSettings({ source: "The settings", problems });
}
