// Makes the settings that a kernel runs with of all that was said: the config, over it the overlay file, over it the
// environment. It remembers who had the last word on each plugin.

import type { AnyPlugin, StandardResult } from "@tidemark/plugin-api";
import { nearestOf } from "../registry/nearest.js";
import { shapeSettings } from "./define-config.js";
import { kernelErrors, type SettingsProblem } from "./errors.js";
import { readOverlay, sourceOf } from "./overlay-file.js";
import type { ResolvedPlugin, ResolvedSettings, SettingSource } from "./resolved-settings.js";
import { isPlainObject } from "./settings-keys.js";
import { problemsOf } from "./settings-problems.js";
import { POOL_SIZE, type WrittenPluginSetting } from "./settings-shape.js";

const DISABLE = "TIDEMARK_PLUGINS_DISABLE";
const SIZE = "TIDEMARK_DB_POOL_SIZE";

type Environment = Readonly<Record<string, string | undefined>>;

/** How a plugin is set after the layers looked at so far. */
interface Merged {
  readonly enabled: boolean;
  readonly enabledBy: SettingSource;
  readonly onActivationFailure: "abort" | "continue";
  readonly settings: unknown;
}

/**
 * Resolves the settings. Rejects with `TIDEMARK_CONFIG_…` errors: unknown plugins, unknown keys and invalid values with
 * their paths, an overlay file that is not JSON with the position, environment variables that say nothing usable.
 * The settings of plugins that are turned off are not looked at: turning one off is also the way out of wrong ones.
 */
export async function resolveConfig({
  settings,
  plugins,
  env,
  readFile,
}: {
  /** Of a `TidemarkSettings`; checked again, because it may not have come through `defineConfig`. */
  readonly settings: unknown;
  readonly plugins: readonly AnyPlugin[];
  readonly env: Environment;
  /** Reads a text file; rejects with the code `ENOENT` when there is none. */
  readonly readFile: (path: string) => Promise<string>;
}): Promise<ResolvedSettings> {
  const { overlayFile, plugins: written, ...shaped } = shapeSettings(settings);
  const installed = new Map(plugins.map((plugin) => [plugin.manifest.id, plugin]));
  const assertInstalled = (id: string, source: string): void => {
    if (installed.has(id)) return;
    const ids = [...installed.keys()];
    throw kernelErrors.unknownPlugin({ id, source, nearest: nearestOf(id, ids), installed: ids });
  };

  const merged = new Map<string, Merged>();
  const lay = (id: string, over: WrittenPluginSetting, source: SettingSource): void => {
    const under = merged.get(id) ?? UNSAID;
    const said = typeof over === "boolean" ? { enabled: over } : over;
    merged.set(id, {
      enabled: said.enabled ?? under.enabled,
      enabledBy: said.enabled === undefined ? under.enabledBy : source,
      onActivationFailure: said.onActivationFailure ?? under.onActivationFailure,
      settings: layOver(under.settings, said.settings),
    });
  };
  for (const [id, setting] of Object.entries(written)) {
    assertInstalled(id, "The settings");
    lay(id, setting, "config");
  }
  if (overlayFile !== undefined) {
    for (const [id, setting] of await readOverlay({ file: overlayFile, readFile })) {
      assertInstalled(id, sourceOf(overlayFile));
      lay(id, setting, "overlay");
    }
  }
  for (const id of listOf(env[DISABLE])) {
    assertInstalled(id, `The environment variable ${DISABLE}`);
    lay(id, false, "env");
  }

  const resolved = new Map<string, ResolvedPlugin>();
  const problems: SettingsProblem[] = [];
  for (const id of new Set([...merged.keys(), ...installed.keys()])) {
    const { settings: own, ...rest } = merged.get(id) ?? UNSAID;
    const judged = rest.enabled ? await judge(installed.get(id)!, own) : { value: undefined, problems: [] };
    problems.push(...judged.problems);
    resolved.set(id, { id, ...rest, settings: judged.value });
  }
  if (problems.length > 0) throw kernelErrors.invalidSettings({ source: "The settings", problems });

  return {
    ...shaped,
    plugins: resolved,
    pool: { ...shaped.pool, size: poolSizeOf(env) ?? shaped.pool.size },
  };
}

/** An installed plugin that nobody mentions runs. */
const UNSAID: Merged = { enabled: true, enabledBy: "default", onActivationFailure: "abort", settings: undefined };

/** `over` laid over `under`: objects key by key, all else as a whole. */
function layOver(under: unknown, over: unknown): unknown {
  if (over === undefined) return under;
  if (!isPlainObject(under) || !isPlainObject(over)) return over;
  // `fromEntries` defines keys instead of assigning them, so that a "__proto__" in a file is a key like any other.
  return Object.fromEntries([
    ...Object.entries(under),
    ...Object.entries(over).map(([key, value]) => [
      key,
      layOver(Object.hasOwn(under, key) ? under[key] : undefined, value),
    ]),
  ]);
}

/** What the plugin's own schema makes of its settings. */
async function judge(
  { manifest: { id, configuration } }: AnyPlugin,
  written: unknown,
): Promise<{ readonly value: unknown; readonly problems: readonly SettingsProblem[] }> {
  const at = ["plugins", id, "settings"];
  if (configuration === undefined) {
    const empty = written === undefined || (isPlainObject(written) && Object.keys(written).length === 0);
    if (empty) return { value: undefined, problems: [] };
    const reason = "is not valid: the plugin has no settings";
    return { value: undefined, problems: [{ kind: "invalid-value", path: at.join("."), reason }] };
  }
  const input = written ?? {};
  let result: StandardResult<unknown>;
  try {
    result = await configuration["~standard"].validate(input);
  } catch (error) {
    const reason = `could not be checked, because the plugin's schema has thrown: ${String(error)}`;
    return { value: undefined, problems: [{ kind: "invalid-value", path: at.join("."), reason }] };
  }
  const problems = problemsOf({ schema: configuration, input, result, at });
  return { value: result.issues === undefined ? result.value : undefined, problems };
}

function listOf(value: string | undefined): readonly string[] {
  return (value ?? "")
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "");
}

function poolSizeOf(env: Environment): number | undefined {
  const value = env[SIZE]?.trim();
  if (value === undefined || value === "") return undefined;
  const size = /^\d+$/.test(value) ? Number(value) : Number.NaN;
  if (POOL_SIZE.safeParse(size).success) return size;
  throw kernelErrors.invalidEnvironment({
    name: SIZE,
    why: `"${value}" is not a whole number from 2 to 1,000`,
    advice: "Set it to the most database connections to use at once, or unset it for the configured number",
  });
}
