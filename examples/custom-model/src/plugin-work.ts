import { ackPruningControl } from "@tidemark/plugin-ack-pruning";
import { referenceResolver } from "@tidemark/plugin-fk-batching";
import { metricsReader } from "@tidemark/plugin-metrics";
import type { NotesApp } from "./notes-app.js";
import { until } from "./until.js";

/**
 * What the plugins did, in words, read from the services that they provide. A plugin that is turned off provides none,
 * and nothing else changes: that is what `find` is for.
 */
export async function workOfPlugins({
  laptop,
  phone,
  signal,
}: {
  readonly laptop: NotesApp;
  readonly phone: NotesApp;
  readonly signal: AbortSignal;
}): Promise<readonly string[]> {
  const lines: string[] = [];
  const resolver = phone.tidemark.services.find(referenceResolver);
  if (resolver !== undefined) {
    const { references, queries } = resolver.stats();
    lines.push(`fk-batching resolved ${references} references on the phone with ${queries} queries.`);
  }

  const devices = [laptop, phone];
  if (devices.every(({ tidemark }) => tidemark.services.find(ackPruningControl) !== undefined)) {
    const logEntries = async () => {
      const [one, other] = await Promise.all([laptop.tidemark.status(), phone.tidemark.status()]);
      return one.logEntries + other.logEntries;
    };
    const holds = async () => (await logEntries()) === 0;
    await until({ what: "both logs are empty", holds, devices, signal });
    lines.push("ack-pruning emptied both logs: each device knows that the other one has everything.");
  }

  const health = laptop.tidemark.services.find(metricsReader)?.health();
  if (health !== undefined) {
    const reasons = health.reasons.map(({ text }) => `: ${text}`).join("");
    lines.push(`metrics calls the laptop ${health.status}${reasons}.`);
  }
  return lines;
}
