// A frame in a few words, for a trace that a person reads.

/** Never throws: what a frame holds may have been cut off. */
export function describeFrame(frame: Uint8Array): string {
  const text = Buffer.from(frame).toString("utf8");
  if (!text.startsWith("{")) return `${frame.byteLength} bytes`;
  try {
    return describe(JSON.parse(text) as Readonly<Record<string, unknown>>);
  } catch {
    return `${frame.byteLength} bytes, cut off`;
  }
}

function describe(message: Readonly<Record<string, unknown>>): string {
  const words = [String(message.t)];
  for (const key of ["n", "request", "model", "after", "upTo", "position", "floor", "code", "reason", "retryMs"]) {
    if (message[key] !== undefined) words.push(`${key}=${String(message[key])}`);
  }
  const { records } = message as { readonly records?: unknown };
  if (isRecords(records)) {
    for (const { m, r } of records.groups) words.push(`${m}: ${r.map(([identity]) => String(identity)).join(", ")}`);
  } else if (Array.isArray(records)) words.push(records.join(", "));
  if (message.end != null || message.vector !== undefined) {
    const { vector } = (message.end ?? message) as { readonly vector: Readonly<Record<string, number>> };
    const entries = Object.entries(vector).map(([origin, hlc]) => `${origin.slice(0, 4)}:${hlc}`);
    words.push(`${message.end == null ? "vector" : "end"} ${entries.join(" ")}`);
  }
  return words.join(" ");
}

function isRecords(records: unknown): records is { groups: readonly { m: string; r: readonly unknown[][] }[] } {
  return Array.isArray((records as { groups?: unknown } | undefined)?.groups);
}
