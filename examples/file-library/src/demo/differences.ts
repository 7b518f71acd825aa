import type { Comparison, ModelDigest } from "./messages.js";

/**
 * Tells in plain words in which models two comparisons differ, and by whose account: where only one of the two digests
 * does, either the engine or the demo's own SQL sees something that the other does not. Empty when they are equal.
 */
export function differencesBetween(a: Comparison, b: Comparison): readonly string[] {
  const names = [...new Set([...Object.keys(a.models), ...Object.keys(b.models)])].sort();
  return names.flatMap((name) => {
    const difference = differenceOf(a.models[name], b.models[name]);
    return difference === null ? [] : [`${name}: ${difference}`];
  });
}

function differenceOf(a: ModelDigest | undefined, b: ModelDigest | undefined): string | null {
  if (a === undefined || b === undefined) return `only on ${a === undefined ? "B" : "A"}`;
  if (a.rows !== b.rows) return `${a.rows} and ${b.rows} rows`;
  const unlike: string[] = [];
  if (a.digest === "" || b.digest === "") unlike.push("without a digest by Tidemark");
  else if (a.digest !== b.digest) unlike.push("unlike by Tidemark's digest");
  if (a.independentDigest !== b.independentDigest) unlike.push("unlike by plain SQL");
  return unlike.length === 0 ? null : `${a.rows} rows each, ${unlike.join(" and ")}`;
}
