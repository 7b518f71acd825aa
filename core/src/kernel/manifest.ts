// Whether something is a plugin that could run at all, judged before any of its code runs.

import { type AnyPlugin, isPlugin } from "@tidemark/plugin-api";
import { kernelErrors } from "./errors.js";

const ID = /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/;
const API = /^\d+\.\d+$/;

/**
 * Throws `TIDEMARK_PLUGIN_INVALID` for what is no plugin or has a manifest that can't be used, `TIDEMARK_PLUGIN_DOUBLED`
 * for two of one id.
 */
export function checkPlugins(plugins: readonly unknown[]): readonly AnyPlugin[] {
  const ids = new Set<string>();
  return plugins.map((plugin, index) => {
    checkPlugin(plugin, `plugins[${index}]`);
    const { id } = plugin.manifest;
    if (ids.has(id)) throw kernelErrors.doubledPlugin({ id });
    ids.add(id);
    return plugin;
  });
}

/** Throws `TIDEMARK_PLUGIN_INVALID`; `place` names what has no usable id. */
export function checkPlugin(plugin: unknown, place: string): asserts plugin is AnyPlugin {
  if (!isPlugin(plugin)) {
    throw kernelErrors.invalidPlugin({
      plugin: place,
      why: "it is not a plugin",
      advice: "Make it with definePlugin; of a module, pass the plugin that it exports",
    });
  }
  const manifest = plugin.manifest as { readonly [Key in keyof AnyPlugin["manifest"]]?: unknown };
  const { id } = manifest;
  if (typeof id !== "string" || !ID.test(id)) {
    throw kernelErrors.invalidPlugin({
      plugin: place,
      why: `its id is ${typeof id === "string" ? `"${id}"` : "not a text"}`,
      advice: "Write lower-case words joined by dashes, such as fk-batching",
    });
  }
  const refuse = (why: string, advice: string): never => {
    throw kernelErrors.invalidPlugin({ plugin: `The plugin "${id}"`, why, advice });
  };
  if (typeof manifest.version !== "string" || manifest.version === "") {
    refuse("its manifest has no version", "Write that of its package");
  }
  if (typeof manifest.apiVersion !== "string" || !API.test(manifest.apiVersion)) {
    refuse("its apiVersion is not of the form major.minor", "Write API_VERSION of @tidemark/plugin-api");
  }
  for (const key of ["dependencies", "optionalDependencies", "provides"] as const) {
    const value = manifest[key];
    if (value !== undefined && !(Array.isArray(value) && value.every((item) => typeof item === "string"))) {
      refuse(`\`${key}\` of its manifest is not a list of texts`, "Write a list of ids, or leave it out");
    }
  }
  const schema = manifest.configuration as { readonly "~standard"?: { readonly validate?: unknown } } | undefined;
  if (schema !== undefined && typeof schema?.["~standard"]?.validate !== "function") {
    refuse("`configuration` of its manifest is not a Standard Schema", "Use zod 4, valibot, arktype, or leave it out");
  }
  if (typeof plugin.activate !== "function") refuse("it has no activate function", "Make it with definePlugin");
}
