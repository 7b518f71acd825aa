// Makes of what a schema says about settings what a person needs: the path of the key, the reason, and the nearest valid
// key. Values are never repeated: one of them is a secret.

import type { StandardIssue, StandardResult, StandardSchema } from "@tidemark/plugin-api";
import { nearestOf } from "../registry/nearest.js";
import type { SettingsProblem } from "./errors.js";
import { isPlainObject, type KnownKeys, knownKeysOf } from "./settings-keys.js";

type Path = readonly string[];

/**
 * All that is wrong with `input`, keys that the schema would silently drop included; empty when it is fine. `at` is the
 * path of `input` itself.
 */
export function problemsOf({
  schema,
  input,
  result,
  at = [],
}: {
  readonly schema: StandardSchema;
  readonly input: unknown;
  readonly result: StandardResult<unknown>;
  readonly at?: Path;
}): readonly SettingsProblem[] {
  const keys = knownKeysOf(schema, result.issues === undefined ? result.value : undefined);
  const problems = new Map<string, SettingsProblem>();
  const add = (problem: SettingsProblem): void => {
    if (!problems.has(problem.path)) problems.set(problem.path, problem);
  };
  const unknownKey = (path: Path, key: string, candidates: readonly string[]): void => {
    add({
      kind: "unknown-key",
      path: [...at, ...path, key].join("."),
      reason: "is not a known setting",
      nearest: nearestOf(key, candidates),
    });
  };

  for (const issue of (result.issues ?? []).flatMap(closest)) {
    const path = pathOf(issue);
    const unknown = unknownKeysOf(issue);
    const known = path.reduce<KnownKeys>((node, key) => node.at(key), keys);
    for (const key of unknown) unknownKey(path, key, known.names);
    if (unknown.length > 0) continue;
    add({ kind: "invalid-value", path: [...at, ...path].join("."), reason: `is not valid: ${issue.message}` });
  }
  const lookForDropped = (value: unknown, known: KnownKeys, path: Path): void => {
    if (!isPlainObject(value)) return;
    for (const [key, inner] of Object.entries(value)) {
      if (!known.open && !known.names.includes(key)) unknownKey(path, key, known.names);
      else lookForDropped(inner, known.at(key), [...path, key]);
    }
  };
  lookForDropped(input, keys, []);
  // A misspelt key often makes a value missing: it comes first, because mending it mends both.
  return [...problems.values()].sort((a, b) => Number(b.kind === "unknown-key") - Number(a.kind === "unknown-key"));
}

/**
 * Of a value that fits none of several alternatives, zod tells what each of them minds. What minds something inside the
 * value was meant; where none does, the value as a whole is wrong.
 */
function closest(issue: StandardIssue): readonly StandardIssue[] {
  const { code, errors = [] } = issue as {
    readonly code?: unknown;
    readonly errors?: readonly (readonly StandardIssue[])[];
  };
  if (code !== "invalid_union") return [issue];
  const inside = errors.find((issues) => issues.length > 0 && issues.every(({ path = [] }) => path.length > 0));
  if (inside === undefined) return [issue];
  return inside.flatMap((inner) => closest({ ...inner, path: [...(issue.path ?? []), ...(inner.path ?? [])] }));
}

function pathOf({ path = [] }: StandardIssue): Path {
  return path.map((part) => String(typeof part === "object" ? part.key : part));
}

/** The keys that zod says it does not know; other libraries name each in a path of its own. */
function unknownKeysOf(issue: StandardIssue): readonly string[] {
  const { code, keys } = issue as { readonly code?: unknown; readonly keys?: unknown };
  return code === "unrecognized_keys" && Array.isArray(keys) ? keys.map(String) : [];
}
