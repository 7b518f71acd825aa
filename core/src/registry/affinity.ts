import type { Affinity } from "./model.js";

/**
 * Column affinity from a declared type, by SQLite's own rules in SQLite's own order (https://sqlite.org/datatype3.html,
 * section 3.1). The order matters: `CHARINT` is an integer, `FLOATING POINT` (…INT) too.
 */
export function affinityOf({
  declaredType,
  strict,
}: {
  readonly declaredType: string;
  readonly strict: boolean;
}): Affinity {
  const type = declaredType.toUpperCase();
  // A STRICT table knows six types, and its ANY keeps every value as it came.
  if (strict && type === "ANY") return "none";
  if (type.includes("INT")) return "integer";
  if (type.includes("CHAR") || type.includes("CLOB") || type.includes("TEXT")) return "text";
  if (type === "" || type.includes("BLOB")) return "none";
  if (type.includes("REAL") || type.includes("FLOA") || type.includes("DOUB")) return "real";
  return "numeric";
}
