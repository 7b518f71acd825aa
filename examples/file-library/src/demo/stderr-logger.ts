import type { Logger } from "@tidemark/plugin-api";

/** Warnings and errors of a device's process as lines of JSON; its parent shows them when something goes wrong. */
export function stderrLogger(bound: Readonly<Record<string, unknown>> = {}): Logger {
  const write = (level: string, message: string, fields: Readonly<Record<string, unknown>> = {}) => {
    const line = JSON.stringify({ level, message, ...bound, ...fields }, (_, value: unknown) =>
      value instanceof Error ? `${value.name}: ${value.message}` : typeof value === "bigint" ? String(value) : value,
    );
    process.stderr.write(`${line}\n`);
  };
  return {
    debug: () => undefined,
    info: () => undefined,
    warn: (message, fields) => write("warn", message, fields),
    error: (message, fields) => write("error", message, fields),
    child: (fields) => stderrLogger({ ...bound, ...fields }),
  };
}
