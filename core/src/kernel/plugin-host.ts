// Activates plugins in order and stops them in reverse. It isolates a plugin's failures, undoes what a failed one had
// registered, and keeps account of all for the report. It never looks at what plugins do while they run: that is the
// hook runner's business.

import {
  type AnyPlugin,
  API_VERSION,
  type Clock,
  type EntityDeclaration,
  isApiCompatible,
  type Logger,
  type Meter,
  type PluginContext,
  type PluginManifest,
  type PluginState,
  type Random,
  type TidemarkError,
} from "@tidemark/plugin-api";
import { nearestOf } from "../registry/nearest.js";
import { activationOrder } from "./activation-order.js";
import { kernelErrors, messageOf } from "./errors.js";
import type { EventBus } from "./event-bus.js";
import type { HookReport, HookRunner } from "./hook-runner.js";
import { inject, injectable, kernelTokens } from "./injection.js";
import { createPluginContext } from "./plugin-context.js";
import { PluginScope } from "./plugin-scope.js";
import type { ResolvedPlugin, SettingSource } from "./resolved-settings.js";
import type { ServiceContainer } from "./service-container.js";
import { withTimeLimit } from "./time-limit.js";
import type { TransportCollection } from "./transport-collection.js";

const ACTIVATION_TIMEOUT_MS = 10_000;

/** What has become of one installed plugin. */
export interface PluginReport {
  readonly id: string;
  readonly version: string;
  readonly state: PluginState;
  /** Where it was said last that the plugin is on or off; `null` before the settings have been resolved. */
  readonly enabledBy: SettingSource | null;
  /** Why it has failed; `null` if it has not. */
  readonly error: string | null;
  /** How long its activate took, in milliseconds; `null` if it has not run. */
  readonly activationMs: number | null;
  readonly hooks: readonly HookReport[];
  /** Ids of the services that it provides now. */
  readonly services: readonly string[];
}

/** An entity that a plugin has brought. */
interface ContributedEntity {
  readonly declaration: EntityDeclaration;
  readonly pluginId: string;
}

interface Installed {
  readonly plugin: AnyPlugin;
  state: PluginState;
  setting: ResolvedPlugin | undefined;
  error: TidemarkError | undefined;
  activationMs: number | undefined;
  scope: PluginScope | undefined;
}

@injectable()
export class PluginHost {
  readonly #installed: ReadonlyMap<string, Installed>;
  readonly #hooks: HookRunner;
  readonly #events: EventBus;
  readonly #services: ServiceContainer;
  readonly #transports: TransportCollection;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #logger: Logger;
  readonly #meter: Meter;
  /** In the order of activation. */
  readonly #active: Installed[] = [];

  constructor(
    @inject(kernelTokens.plugins) plugins: readonly AnyPlugin[],
    @inject(kernelTokens.hooks) hooks: HookRunner,
    @inject(kernelTokens.events) events: EventBus,
    @inject(kernelTokens.services) services: ServiceContainer,
    @inject(kernelTokens.transports) transports: TransportCollection,
    @inject(kernelTokens.clock) clock: Clock,
    @inject(kernelTokens.random) random: Random,
    @inject(kernelTokens.logger) logger: Logger,
    @inject(kernelTokens.meter) meter: Meter,
  ) {
    this.#installed = new Map(
      plugins.map((plugin) => [
        plugin.manifest.id,
        {
          plugin,
          state: "registered",
          setting: undefined,
          error: undefined,
          activationMs: undefined,
          scope: undefined,
        },
      ]),
    );
    this.#hooks = hooks;
    this.#events = events;
    this.#services = services;
    this.#transports = transports;
    this.#clock = clock;
    this.#random = random;
    this.#logger = logger;
    this.#meter = meter;
    services.explainMissingBy((id) => this.#explainMissing(id));
  }

  /**
   * Activates all enabled plugins. What can be seen from manifests alone is an error before any plugin's code runs. When
   * a plugin whose failure aborts the start fails, rejects with its error; those that are active stay so, for `stop`.
   */
  async activate(settings: ReadonlyMap<string, ResolvedPlugin>): Promise<void> {
    const enabled: Installed[] = [];
    for (const [id, setting] of settings) {
      const installed = this.#installed.get(id);
      if (installed === undefined) continue;
      installed.setting = setting;
      if (setting.enabled) enabled.push(installed);
      else this.#setState(installed, "disabled", `turned off by ${describeSource(setting.enabledBy)}`);
    }
    const runnable = enabled.filter((installed) => {
      const error = this.#unmet(installed.plugin.manifest);
      if (error !== undefined) this.#fail(installed, error);
      return error === undefined;
    });
    for (const { id } of activationOrder(runnable.map(({ plugin }) => plugin.manifest))) {
      await this.#activateOne(this.#installed.get(id)!);
    }
  }

  /** Stops all active plugins, the last activated first. Never rejects: what fails on the way is logged. */
  async stop(reason: string): Promise<void> {
    for (const installed of this.#active.splice(0).reverse()) {
      await installed.scope?.close(
        kernelErrors.pluginStopped({ id: installed.plugin.manifest.id, member: "its signal" }),
      );
      this.#setState(installed, "stopped", reason);
    }
  }

  /** The entities of the active plugins, in the order of activation. */
  entities(): readonly ContributedEntity[] {
    return this.#active.flatMap(({ plugin, scope }) =>
      (scope?.entities ?? []).map((declaration) => ({ declaration, pluginId: plugin.manifest.id })),
    );
  }

  /** All installed plugins, in the order in which they were passed. */
  report(): readonly PluginReport[] {
    return [...this.#installed].map(([id, { plugin, state, setting, error, activationMs }]) => ({
      id,
      version: plugin.manifest.version,
      state,
      enabledBy: setting?.enabledBy ?? null,
      error: error?.message ?? null,
      activationMs: activationMs ?? null,
      hooks: this.#hooks.reportOf(id),
      services: this.#services.providedBy(id),
    }));
  }

  async #activateOne(installed: Installed): Promise<void> {
    const { plugin, setting } = installed;
    const { manifest } = plugin;
    const { id } = manifest;
    const failed = manifest.dependencies?.find((dependency) => this.#installed.get(dependency)?.state !== "active");
    if (failed !== undefined) {
      const cause = this.#installed.get(failed)?.error;
      return this.#fail(installed, kernelErrors.failedDependency({ id, dependency: failed, cause }));
    }
    const logger = this.#logger.child({ plugin: id });
    const scope = new PluginScope({ pluginId: id, clock: this.#clock, logger: this.#logger });
    const context = createPluginContext({
      manifest,
      config: setting?.settings,
      position: this.#active.length,
      scope,
      logger,
      parts: {
        hooks: this.#hooks,
        events: this.#events,
        services: this.#services,
        transports: this.#transports,
        clock: this.#clock,
        random: this.#random,
        meter: this.#meter,
      },
    });
    const startedMs = this.#clock.monotonicMs();
    let error: TidemarkError | undefined;
    try {
      await withTimeLimit({
        pending: run(plugin, context),
        timeoutMs: ACTIVATION_TIMEOUT_MS,
        clock: this.#clock,
        timedOut: () => {
          error = kernelErrors.activationTimedOut({ id, timeoutMs: ACTIVATION_TIMEOUT_MS });
          return error;
        },
      });
    } catch (cause) {
      error ??= kernelErrors.activationFailed({ id, cause });
    }
    installed.activationMs = this.#clock.monotonicMs() - startedMs;
    if (error !== undefined) {
      await scope.close(error);
      return this.#fail(installed, error);
    }
    scope.endActivation();
    installed.scope = scope;
    this.#active.push(installed);
    this.#setState(installed, "active");
  }

  /** Why a plugin can't run, as far as manifests and settings say it. */
  #unmet({ id, apiVersion, dependencies = [] }: PluginManifest): TidemarkError | undefined {
    if (!isApiCompatible({ pluginApi: apiVersion, kernelApi: API_VERSION })) {
      return kernelErrors.incompatiblePlugin({ id, pluginApi: apiVersion, kernelApi: API_VERSION });
    }
    for (const dependency of dependencies) {
      const setting = this.#installed.get(dependency)?.setting;
      if (setting === undefined) {
        const nearest = nearestOf(dependency, this.#installed.keys());
        return kernelErrors.missingDependency({ id, dependency, nearest });
      }
      if (!setting.enabled) {
        const disabledBy = describeSource(setting.enabledBy);
        return kernelErrors.disabledDependency({ id, dependency, disabledBy });
      }
    }
    return undefined;
  }

  /** Records a failure; throws it unless the kernel is to start without the plugin. */
  #fail(installed: Installed, error: TidemarkError): void {
    installed.error = error;
    this.#setState(installed, "failed", error.message);
    if (installed.setting?.onActivationFailure !== "continue") throw error;
    this.#logger.error("a plugin has failed; the kernel starts without it", {
      plugin: installed.plugin.manifest.id,
      error,
    });
  }

  #setState(installed: Installed, state: PluginState, reason?: string): void {
    installed.state = state;
    const pluginId = installed.plugin.manifest.id;
    this.#events.emit("pluginStateChanged", { pluginId, state, ...(reason !== undefined && { reason }) });
  }

  #explainMissing(serviceId: string): { readonly why: string; readonly advice: string } {
    for (const [id, { plugin, state, setting, error }] of this.#installed) {
      if (!plugin.manifest.provides?.includes(serviceId)) continue;
      const why = `the plugin "${id}" would provide it`;
      switch (state) {
        case "disabled":
          return {
            why: `${why}, and is turned off by ${describeSource(setting?.enabledBy ?? "config")}`,
            advice: `Enable "${id}" there`,
          };
        case "failed":
          return { why: `${why}, and has failed: ${messageOf(error)}`, advice: `Mend "${id}" first` };
        case "registered":
          return {
            why: `${why}, and is not active yet`,
            advice: `Name "${id}" among the dependencies (or optionalDependencies) of whoever asks for it`,
          };
        case "stopped":
          return { why: `${why}, and has stopped`, advice: "Ask for it while the kernel runs" };
        case "active":
          return { why: `${why}, and has not done so`, advice: `Look at the settings of "${id}", or ask its author` };
      }
    }
    const nearest = nearestOf(serviceId, this.#declaredServices());
    return {
      why: "no installed plugin provides it",
      advice: `${nearest === undefined ? "" : `Did you mean "${nearest}"? `}Install a plugin that provides it, or use find, which allows for its absence`,
    };
  }

  #declaredServices(): readonly string[] {
    return [...this.#installed.values()].flatMap(({ plugin }) => plugin.manifest.provides ?? []);
  }
}

/** Where a plugin was turned on or off, for people. */
function describeSource(source: SettingSource): string {
  switch (source) {
    case "default":
      return "default";
    case "config":
      return "the config";
    case "overlay":
      return "the overlay file";
    case "env":
      return "TIDEMARK_PLUGINS_DISABLE";
  }
}

/** Turns a throw of activate into a rejection. */
async function run(plugin: AnyPlugin, context: PluginContext): Promise<void> {
  // The settings were validated by the plugin's own schema, so they are what its activate takes.
  await plugin.activate(context as PluginContext<never>);
}
