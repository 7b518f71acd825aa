import { type HookName, type KernelState, TidemarkError } from "@tidemark/plugin-api";

/** One thing that is wrong with the settings. */
export interface SettingsProblem {
  /** Where: `replication.pageRecords`, `plugins.backoff.settings.delayMs`. */
  readonly path: string;
  /** Why, without the value, which may be a secret. */
  readonly reason: string;
  /** The valid key that was probably meant. */
  readonly nearest?: string | undefined;
  readonly kind: "unknown-key" | "invalid-value";
}

/** Every error of the kernel, with its stable code. */
export const kernelErrors = {
  // Configuration

  /** `TIDEMARK_CONFIG_UNKNOWN_KEY` if the first problem is a key that nobody knows, else `TIDEMARK_CONFIG_INVALID_VALUE`. */
  invalidSettings: ({
    source,
    problems,
  }: {
    /** Where the settings come from: "The settings", `The overlay file "…"`. */
    readonly source: string;
    readonly problems: readonly SettingsProblem[];
  }) =>
    new TidemarkError({
      code: problems[0]?.kind === "unknown-key" ? "TIDEMARK_CONFIG_UNKNOWN_KEY" : "TIDEMARK_CONFIG_INVALID_VALUE",
      what: `${source} can't be used`,
      why: problems.map(describeProblem).join("; "),
      advice: problems.length === 1 ? "Correct it and start again" : "Correct them and start again",
      details: { problems },
    }),
  unknownPlugin: ({
    id,
    source,
    nearest,
    installed,
  }: {
    readonly id: string;
    readonly source: string;
    readonly nearest: string | undefined;
    readonly installed: readonly string[];
  }) =>
    new TidemarkError({
      code: "TIDEMARK_CONFIG_UNKNOWN_PLUGIN",
      what: `${source} can't be used`,
      why: `it names the plugin "${id}", which is not installed`,
      advice: `${suggestion(nearest)}${
        installed.length === 0
          ? "No plugin is installed: pass them to createTidemark in `plugins`"
          : `Installed are ${list(installed)}; others are passed to createTidemark in \`plugins\``
      }`,
      details: { id, nearest, installed },
    }),
  overlayUnreadable: ({ file, cause }: { readonly file: string; readonly cause: unknown }) =>
    new TidemarkError({
      code: "TIDEMARK_CONFIG_OVERLAY_UNREADABLE",
      what: `The overlay file "${file}" can't be read`,
      why: messageOf(cause),
      advice: "Make it readable for this user, or remove it: a missing file is fine",
      details: { file },
      cause,
    }),
  overlayNotJson: ({
    file,
    line,
    column,
    cause,
  }: {
    readonly file: string;
    readonly line: number;
    readonly column: number;
    readonly cause: unknown;
  }) =>
    new TidemarkError({
      code: "TIDEMARK_CONFIG_OVERLAY_NOT_JSON",
      what: `The overlay file "${file}" can't be used`,
      why: `it is not valid JSON at line ${line}, column ${column}`,
      advice: "Correct it there; JSON knows no comments, no single quotes and no comma after the last entry",
      details: { file, line, column },
      cause,
    }),
  invalidEnvironment: ({
    name,
    why,
    advice,
  }: {
    readonly name: string;
    readonly why: string;
    readonly advice: string;
  }) =>
    new TidemarkError({
      code: "TIDEMARK_CONFIG_INVALID_ENV",
      what: `The environment variable ${name} can't be used`,
      why,
      advice,
      details: { name },
    }),
  invalidOptions: ({ why, advice }: { readonly why: string; readonly advice: string }) =>
    new TidemarkError({
      code: "TIDEMARK_OPTIONS_INVALID",
      what: "createTidemark can't use its options",
      why,
      advice,
    }),

  // Plugins, before any of their code runs

  invalidPlugin: ({
    plugin,
    why,
    advice,
  }: {
    readonly plugin: string;
    readonly why: string;
    readonly advice: string;
  }) =>
    new TidemarkError({
      code: "TIDEMARK_PLUGIN_INVALID",
      what: `${plugin} can't be installed`,
      why,
      advice,
      details: { plugin },
    }),
  doubledPlugin: ({ id }: { readonly id: string }) =>
    new TidemarkError({
      code: "TIDEMARK_PLUGIN_DOUBLED",
      what: `The plugin "${id}" can't be installed twice`,
      why: "two plugins with this id were passed to createTidemark",
      advice: "Remove one of them from `plugins`, or give it another id",
      details: { id },
    }),
  incompatiblePlugin: ({
    id,
    pluginApi,
    kernelApi,
  }: {
    readonly id: string;
    readonly pluginApi: string;
    readonly kernelApi: string;
  }) =>
    new TidemarkError({
      code: "TIDEMARK_PLUGIN_INCOMPATIBLE",
      what: `The plugin "${id}" can't run`,
      why: `it was written against version ${pluginApi} of the plugin API, and this kernel implements ${kernelApi}`,
      advice: `Install a version of it for ${kernelApi}, or update @tidemark/core; or turn it off: plugins: { "${id}": false }`,
      details: { id, pluginApi, kernelApi },
    }),
  missingDependency: ({
    id,
    dependency,
    nearest,
  }: {
    readonly id: string;
    readonly dependency: string;
    readonly nearest: string | undefined;
  }) =>
    new TidemarkError({
      code: "TIDEMARK_PLUGIN_DEPENDENCY_MISSING",
      what: `The plugin "${id}" can't run`,
      why: `it needs the plugin "${dependency}", which is not installed`,
      advice: `${suggestion(nearest)}Pass "${dependency}" to createTidemark in \`plugins\`, or turn "${id}" off`,
      details: { id, dependency },
    }),
  disabledDependency: ({
    id,
    dependency,
    disabledBy,
  }: {
    readonly id: string;
    readonly dependency: string;
    /** Where it was turned off, for people. */
    readonly disabledBy: string;
  }) =>
    new TidemarkError({
      code: "TIDEMARK_PLUGIN_DEPENDENCY_DISABLED",
      what: `The plugin "${id}" can't run`,
      why: `it needs the plugin "${dependency}", which is turned off by ${disabledBy}`,
      advice: `Enable "${dependency}" there, or turn "${id}" off as well`,
      details: { id, dependency },
    }),
  failedDependency: ({
    id,
    dependency,
    cause,
  }: {
    readonly id: string;
    readonly dependency: string;
    readonly cause: unknown;
  }) =>
    new TidemarkError({
      code: "TIDEMARK_PLUGIN_DEPENDENCY_FAILED",
      what: `The plugin "${id}" can't run`,
      why: `it needs the plugin "${dependency}", which has failed: ${messageOf(cause)}`,
      advice: `Mend "${dependency}" first, or turn both off`,
      details: { id, dependency },
      cause,
    }),
  dependencyCycle: ({ path }: { readonly path: readonly string[] }) =>
    new TidemarkError({
      code: "TIDEMARK_PLUGIN_DEPENDENCY_CYCLE",
      what: "The plugins can't be put in an order",
      why: `they wait for each other: ${path.join(" → ")}`,
      advice: "Turn one of them off, or remove one of these dependencies or optional dependencies",
      details: { path },
    }),

  // Plugins, while they run

  activationFailed: ({ id, cause }: { readonly id: string; readonly cause: unknown }) =>
    new TidemarkError({
      code: "TIDEMARK_PLUGIN_ACTIVATION_FAILED",
      what: `The plugin "${id}" can't be activated`,
      why: messageOf(cause),
      advice: `Mend what it says, turn it off with plugins: { "${id}": false }, or start without it when it fails: onActivationFailure: "continue"`,
      details: { id },
      cause,
    }),
  activationTimedOut: ({ id, timeoutMs }: { readonly id: string; readonly timeoutMs: number }) =>
    new TidemarkError({
      code: "TIDEMARK_PLUGIN_ACTIVATION_TIMED_OUT",
      what: `The plugin "${id}" can't be activated`,
      why: `its activate has not finished within ${timeoutMs} ms`,
      advice:
        "Let activate only register things and return; what takes long belongs behind a hook, an event or a service",
      details: { id, timeoutMs },
    }),
  pluginStopped: ({ id, member }: { readonly id: string; readonly member: string }) =>
    new TidemarkError({
      code: "TIDEMARK_PLUGIN_STOPPED",
      what: `The plugin "${id}" can't use ${member}`,
      why: "it has been stopped, and its context with it",
      advice: "End what it still does when context.signal is aborted",
      details: { id, member },
    }),
  entitiesClosed: ({ id }: { readonly id: string }) =>
    new TidemarkError({
      code: "TIDEMARK_PLUGIN_ENTITIES_CLOSED",
      what: `The plugin "${id}" can't register an entity now`,
      why: "entities are collected during activate, before the data source opens",
      advice: "Register it before activate returns, or resolves",
      details: { id },
    }),
  transportsClosed: ({ name, by }: { readonly name: string; readonly by: string }) =>
    new TidemarkError({
      code: "TIDEMARK_TRANSPORT_TOO_LATE",
      what: `The plugin "${by}" can't register the transport "${name}" now`,
      why: "transports are collected during activate, and have been handed over",
      advice: "Register it before activate returns, or resolves",
      details: { name, by },
    }),
  doubledTransport: ({ name, by, first }: { readonly name: string; readonly by: string; readonly first: string }) =>
    new TidemarkError({
      code: "TIDEMARK_TRANSPORT_DOUBLED",
      what: `The plugin "${by}" can't register the transport "${name}"`,
      why: `the plugin "${first}" has registered one of that name`,
      advice: "Give each transport a name of its own",
      details: { name, by, first },
    }),
  invalidTap: ({
    id,
    hook,
    why,
    advice,
  }: {
    readonly id: string;
    readonly hook: HookName;
    readonly why: string;
    readonly advice: string;
  }) =>
    new TidemarkError({
      code: "TIDEMARK_HOOK_INVALID_TAP",
      what: `The plugin "${id}" can't tap ${hook}`,
      why,
      advice,
      details: { pluginId: id, hook },
    }),

  // Hooks

  hookFailed: ({ id, hook, cause }: { readonly id: string; readonly hook: HookName; readonly cause: unknown }) =>
    new TidemarkError({
      code: "TIDEMARK_HOOK_FAILED",
      what: `The plugin "${id}" has failed in ${hook}`,
      why: messageOf(cause),
      advice: `If it goes on, turn the plugin off: plugins: { "${id}": false }`,
      details: { pluginId: id, hook },
      cause,
    }),
  hookTimedOut: ({
    id,
    hook,
    timeoutMs,
  }: {
    readonly id: string;
    readonly hook: HookName;
    readonly timeoutMs: number;
  }) =>
    new TidemarkError({
      code: "TIDEMARK_HOOK_TIMED_OUT",
      what: `The plugin "${id}" has failed in ${hook}`,
      why: `its handler has taken longer than ${timeoutMs} ms`,
      advice: "Let the handler do less, or allow it more with `timeoutMs` where it taps the hook",
      details: { pluginId: id, hook, timeoutMs },
    }),
  hookAnswer: ({ id, hook, why }: { readonly id: string; readonly hook: HookName; readonly why: string }) =>
    new TidemarkError({
      code: "TIDEMARK_HOOK_INVALID_ANSWER",
      what: `The answer of the plugin "${id}" to ${hook} can't be used`,
      why,
      advice: `Return what the types of ${hook} ask for, or nothing`,
      details: { pluginId: id, hook },
    }),
  unaccounted: ({
    id,
    why,
    operations,
  }: {
    readonly id: string;
    readonly why: string;
    readonly operations: readonly number[];
  }) =>
    new TidemarkError({
      code: "TIDEMARK_HOOK_UNACCOUNTED",
      what: `The batch that the plugin "${id}" returned from beforeApplyBatch can't be applied`,
      why,
      advice:
        "Return every operation once: among `operations`, changed in nothing but the resolution of references, or by id in `deferred` or `rejected` with a reason",
      details: { pluginId: id, hook: "beforeApplyBatch", operations },
    }),
  hooksStopped: ({ hook }: { readonly hook: HookName }) =>
    new TidemarkError({
      code: "TIDEMARK_HOOK_STOPPED",
      what: `${hook} can't be run`,
      why: "the kernel is stopping",
      advice: "Nothing is lost: what was under way is fetched again after the next start",
      details: { hook },
    }),

  // Services

  missingService: ({
    service,
    why,
    advice,
  }: {
    readonly service: string;
    readonly why: string;
    readonly advice: string;
  }) =>
    new TidemarkError({
      code: "TIDEMARK_SERVICE_MISSING",
      what: `There is no service "${service}"`,
      why,
      advice,
      details: { service },
    }),
  doubledService: ({ service, by, first }: { readonly service: string; readonly by: string; readonly first: string }) =>
    new TidemarkError({
      code: "TIDEMARK_SERVICE_DOUBLED",
      what: `The service "${service}" can't be provided by ${by}`,
      why: `${first} provides it already`,
      advice: "Turn one of the two off",
      details: { service, by, first },
    }),
  undeclaredService: ({ service, id }: { readonly service: string; readonly id: string }) =>
    new TidemarkError({
      code: "TIDEMARK_SERVICE_UNDECLARED",
      what: `The plugin "${id}" can't provide the service "${service}"`,
      why: "its manifest does not say so",
      advice: `Add "${service}" to \`provides\` of the manifest, so that others can be told whom to enable`,
      details: { service, id },
    }),

  // Life cycle

  wrongState: ({ action, state }: { readonly action: string; readonly state: KernelState }) =>
    new TidemarkError({
      code: "TIDEMARK_KERNEL_STATE",
      what: `The kernel can't ${action}`,
      why: `it is ${state}`,
      advice:
        state === "stopped" || state === "failed" || state === "stopping"
          ? "A kernel lives once: make a new one with createTidemark"
          : "Await start() first",
      details: { action, state },
    }),
  serviceNotRunning: () =>
    new TidemarkError({
      code: "TIDEMARK_NOT_STARTED",
      what: "A kernel service can't answer",
      why: "Tidemark is not running",
      advice: "Ask after start(): from a hook, an event, or a timer",
    }),
};

function describeProblem({ path, reason, nearest }: SettingsProblem): string {
  return `"${path}" ${reason}${nearest === undefined ? "" : ` (did you mean "${nearest}"?)`}`;
}

function suggestion(nearest: string | undefined): string {
  return nearest === undefined ? "" : `Did you mean "${nearest}"? `;
}

function list(names: readonly string[]): string {
  return names.map((name) => `"${name}"`).join(", ");
}

/** What an unknown thrown value says. A Tidemark error's own reason, without what failed, which the wrapping says. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
