import { createHash } from "node:crypto";
import type { SyncRegistry } from "../registry/model.js";

const fingerprints = new WeakMap<SyncRegistry, Readonly<Record<string, string>>>();

/** What a model looks like on the wire, by wire name; peers compare it to tell that their versions differ. */
export function schemaFingerprints(registry: SyncRegistry): Readonly<Record<string, string>> {
  let known = fingerprints.get(registry);
  if (known === undefined) {
    known = Object.fromEntries(
      registry.models.map((model) => {
        const columns = model.columns.map(({ name, reference }) => [name, reference?.target.name ?? null]).sort();
        const text = JSON.stringify([model.ownership.kind, columns]);
        return [model.name, createHash("sha256").update(text).digest("hex").slice(0, 16)];
      }),
    );
    fingerprints.set(registry, known);
  }
  return known;
}
