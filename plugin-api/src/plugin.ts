import type { Clock, Random } from "./clock.js";
import type { Subscription } from "./disposable.js";
import type { EntityContributions } from "./entities.js";
import type { Events } from "./events.js";
import type { Hooks } from "./hooks.js";
import type { Logger } from "./logger.js";
import type { Meter } from "./meter.js";
import type { Services } from "./services.js";
import type { SchemaOutput, StandardSchema } from "./standard-schema.js";

/** What is known of a plugin before any of its code runs. */
export interface PluginManifest<Schema extends StandardSchema<unknown, unknown> = StandardSchema<unknown, unknown>> {
  /** Lower-case words joined by dashes, e.g. `fk-batching`; the key in config. */
  readonly id: string;
  /** The plugin's own version. */
  readonly version: string;
  /** The version of this contract that it was written against: `API_VERSION` of the package it was built with. */
  readonly apiVersion: string;
  /** Ids of plugins that must be active before it. */
  readonly dependencies?: readonly string[];
  /** Ids of plugins that, if active, are activated before it. */
  readonly optionalDependencies?: readonly string[];
  /** Ids of the services that it provides, so that an error can say whom to enable. */
  readonly provides?: readonly string[];
  /** Validates its settings and fills in defaults; any Standard Schema. Absent: it has no settings. */
  readonly configuration?: Schema;
}

/** All that a plugin may touch. Frozen. What it registers is given back, last first, when it stops. */
export interface PluginContext<Config = unknown> {
  readonly id: string;
  /** The validated settings. */
  readonly config: Config;
  readonly hooks: Hooks;
  readonly events: Events;
  readonly services: Services;
  readonly entities: EntityContributions;
  readonly logger: Logger;
  readonly meter: Meter;
  readonly clock: Clock;
  readonly random: Random;
  /** Aborted when the plugin stops. */
  readonly signal: AbortSignal;
  /**
   * Add here what is to be disposed of when the plugin stops. A promise that `dispose` returns is waited for, at most 5
   * seconds.
   */
  readonly subscriptions: { push(...items: Subscription[]): unknown };
}

/** A plugin: plain data and one function. */
export interface Plugin<Schema extends StandardSchema<unknown, unknown> = StandardSchema<unknown, unknown>> {
  readonly $$type: "tidemark.plugin";
  readonly manifest: PluginManifest<Schema>;
  activate(context: PluginContext<SchemaOutput<Schema>>): void | Promise<void>;
}

/** Any plugin, whatever its settings. */
export interface AnyPlugin {
  readonly $$type: "tidemark.plugin";
  readonly manifest: PluginManifest;
  activate(context: PluginContext<never>): void | Promise<void>;
}

/** Settings by plugin id. Plugins augment it, so that `defineConfig` knows the keys of theirs. */
// biome-ignore lint/suspicious/noEmptyInterface: filled by declaration merging
export interface PluginSettings {}

/**
 * Defines a plugin.
 *
 * @example
 * export default definePlugin({
 *   manifest: { id: "batch-log", version: "1.0.0", apiVersion: API_VERSION },
 *   activate({ hooks, logger }) {
 *     hooks.afterBatch.tap((batch) => logger.info("applied", { rows: batch.counts.applied }));
 *   },
 * });
 */
export function definePlugin<Schema extends StandardSchema<unknown, unknown>>(definition: {
  readonly manifest: PluginManifest<Schema>;
  activate(context: PluginContext<SchemaOutput<Schema>>): void | Promise<void>;
}): Plugin<Schema> {
  return Object.freeze({
    $$type: "tidemark.plugin" as const,
    manifest: Object.freeze({ ...definition.manifest }),
    activate: definition.activate,
  });
}

/** Whether `value` is a plugin, whichever copy of this package defined it. */
export function isPlugin(value: unknown): value is AnyPlugin {
  return typeof value === "object" && value !== null && (value as Partial<AnyPlugin>).$$type === "tidemark.plugin";
}
