// Builds a kernel: checks at once what can be checked at once, and puts the steps of its life in their order. It knows
// neither SQL nor messages; those are the engine's.

import { readFile } from "node:fs/promises";
import {
  API_VERSION,
  type Authenticator,
  type EntityDeclaration,
  logMaintenance,
  noopLogger,
  noopMeter,
  recordKeys,
  syncFigures,
} from "@tidemark/plugin-api";
import { EntityDeclarations } from "../registry/declarations.js";
import { sharedSecretAuthenticator } from "../transport/shared-secret.js";
import { shapeSettings } from "./define-config.js";
import type { Engine, EngineFactory } from "./engine.js";
import { kernelErrors } from "./errors.js";
import { createKernelParts } from "./kernel-parts.js";
import { Lifecycle } from "./lifecycle.js";
import { checkPlugins } from "./manifest.js";
import { offeredServices } from "./offered-services.js";
import type { TidemarkOptions } from "./options.js";
import { renderReport } from "./render-report.js";
import type { TidemarkReport } from "./report.js";
import { resolveConfig } from "./resolve-config.js";
import { systemClock } from "./system-clock.js";
import { systemRandom } from "./system-random.js";
import type { Tidemark } from "./tidemark.js";
import { CORE_VERSION } from "./version.js";

export type CreateTidemark = (options: TidemarkOptions) => Tidemark;

/** `createTidemark` on an engine of one's choice. */
export function createTidemarkWith(createEngine: EngineFactory): CreateTidemark {
  return (options) => createKernel(options, createEngine);
}

function createKernel(options: TidemarkOptions, createEngine: EngineFactory): Tidemark {
  const {
    dataSource,
    entities = [],
    settings,
    logger = noopLogger,
    meter = noopMeter,
    clock = systemClock,
    random = systemRandom,
    env = process.env,
  } = options;
  if (typeof dataSource?.initialize !== "function") {
    throw kernelErrors.invalidOptions({
      why: "`dataSource` is not a TypeORM data source",
      advice: "Pass one made with `new DataSource(tidemarkDataSourceOptions({ … }))`",
    });
  }
  const shaped = shapeSettings(settings);
  const plugins = checkPlugins(options.plugins ?? []);
  const authenticator: Authenticator =
    options.authenticator ?? sharedSecretAuthenticator({ secret: shaped.library.secret });
  const declarations = new EntityDeclarations();
  for (const { entity, ...entityOptions } of entities) declarations.register(entity, entityOptions);

  const identity = { library: shaped.library.id, device: shaped.device.id };
  const { events, hooks, services, transports, host } = createKernelParts({
    identity,
    plugins,
    clock,
    random,
    logger,
    meter,
  });
  const publicServices: Tidemark["services"] = Object.freeze({
    get: (token) => services.get(token),
    find: (token) => services.find(token),
  } satisfies Tidemark["services"]);

  let engine: Engine | undefined;
  // Plugins may ask for these while they are activated, and use them once the kernel runs.
  // As the start resolves it; until then as it was passed.
  let { maxOfflineMs } = shaped.membership;
  const offered = offeredServices({ current: () => engine?.services, maxOfflineMs: () => maxOfflineMs });
  services.provide({ token: recordKeys, service: offered.recordKeys, by: "kernel" });
  services.provide({ token: logMaintenance, service: offered.logMaintenance, by: "kernel" });
  services.provide({ token: syncFigures, service: offered.syncFigures, by: "kernel" });
  const lifecycle = new Lifecycle({
    onChange: (change) => events.emit("kernelStateChanged", change),
    steps: {
      async start() {
        const resolved = await resolveConfig({ settings, plugins, env, readFile: readText });
        maxOfflineMs = resolved.membership.maxOfflineMs;
        await host.activate(resolved.plugins);
        for (const { declaration, pluginId } of host.entities()) {
          const { entity, ...entityOptions } = declaration;
          declarations.register(entity, entityOptions, `the plugin "${pluginId}"`);
        }
        const frozen: readonly EntityDeclaration[] = declarations.freeze();
        engine = createEngine({
          dataSource,
          declarations: frozen,
          settings: resolved,
          hooks,
          events,
          logger,
          meter,
          clock,
          random,
          authenticator,
          transports: transports.close(),
          services: publicServices,
        });
        await engine.start();
      },
      pause: () => started("pause").pause(),
      resume: () => started("resume").resume(),
      async stop() {
        // Handlers first, so that no plugin holds up the engine; plugins last, so that transports are not pulled from
        // under it.
        hooks.stop();
        try {
          await engine?.stop();
        } finally {
          await host.stop("the kernel has stopped");
        }
      },
    },
  });
  const started = (action: string): Engine => {
    lifecycle.requireStarted(action);
    return engine!;
  };
  const report = (): TidemarkReport => ({
    version: CORE_VERSION,
    apiVersion: API_VERSION,
    state: lifecycle.state,
    reason: lifecycle.reason ?? null,
    ...identity,
    plugins: host.report(),
    transports: transports.list().map(({ name }) => name),
  });

  return Object.freeze({
    get state() {
      return lifecycle.state;
    },
    events: Object.freeze({
      on: (name, listener) => events.on(name, listener),
      once: (name, listener) => events.once(name, listener),
    } satisfies Tidemark["events"]),
    services: publicServices,
    start: () => lifecycle.start(),
    pause: () => lifecycle.pause(),
    resume: () => lifecycle.resume(),
    stop: () => lifecycle.stop(),
    report,
    renderReport: () => renderReport(report()),
    digest: async (model) => started("make a digest").digest(model),
    verify: async (peer, options) => started("compare with a peer").verify(peer, options),
    doctor: async () => started("look for faults").doctor(),
    status: async () => ({ ...(await started("say its status").status()), state: lifecycle.state }),
    journal: async (query) => started("read the journal").journal(query),
    removeMember: async (member) => started("remove a member").removeMember(member),
    resetSyncState: async (options) => started("reset the sync state").resetSyncState(options),
    async uninstall() {
      await started("uninstall").uninstall();
      await lifecycle.stop();
    },
    [Symbol.asyncDispose]: () => lifecycle.stop(),
  } satisfies Tidemark);
}

function readText(path: string): Promise<string> {
  return readFile(path, "utf8");
}
