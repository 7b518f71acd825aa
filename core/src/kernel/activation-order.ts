// Puts plugins in an order in which each comes after those that it needs.

import type { PluginManifest } from "@tidemark/plugin-api";
import { kernelErrors } from "./errors.js";

/**
 * The same manifests, dependencies first (optional ones too, where they are among them), else in the order given. Ids that
 * are not among them are ignored. Throws `TIDEMARK_PLUGIN_DEPENDENCY_CYCLE` with the path of the cycle.
 */
export function activationOrder(manifests: readonly PluginManifest[]): readonly PluginManifest[] {
  const byId = new Map(manifests.map((manifest) => [manifest.id, manifest]));
  const ordered = new Set<PluginManifest>();
  const path: string[] = [];
  const visit = (manifest: PluginManifest): void => {
    if (ordered.has(manifest)) return;
    const { id, dependencies = [], optionalDependencies = [] } = manifest;
    const entered = path.indexOf(id);
    if (entered >= 0) throw kernelErrors.dependencyCycle({ path: [...path.slice(entered), id] });
    path.push(id);
    for (const dependency of [...dependencies, ...optionalDependencies]) {
      const needed = byId.get(dependency);
      if (needed !== undefined) visit(needed);
    }
    path.pop();
    ordered.add(manifest);
  };
  for (const manifest of manifests) visit(manifest);
  return [...ordered];
}
