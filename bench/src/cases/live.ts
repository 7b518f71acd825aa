import type { Bench } from "../bench.js";
import { type BenchCase, type Run, ratioAtMost } from "../case.js";
import { emptyPlace } from "../experiments/databases.js";
import { Pair } from "../experiments/pair.js";
import { repeat } from "../experiments/repeat.js";
import type { EvenChanges } from "../processes/device-commands.js";

/** How long after its commit on one device a change is in the tables of the other. */
export const live: BenchCase = {
  name: "live",
  work: "1,000 changes a second from commit to applied; baseline: a bare WebSocket message and a durable insert each",
  parts: [
    { name: "p50", unit: "ms", target: ratioAtMost(3) },
    { name: "p99", unit: "ms", target: ratioAtMost(5) },
    { name: "lost", unit: "changes", target: { text: "none", met: ({ value }) => value === 0 } },
  ],
  run: (bench) => repeat(bench, "1,000 changes a second", () => changesAndMessages(bench)),
};

async function changesAndMessages(bench: Bench): Promise<Run> {
  const even: EvenChanges = { changes: bench.pick({ full: 30_000, quick: 3_000, tiny: 100 }), perSecond: 1_000 };
  const messages = await bareMessages(bench, even);
  const changes = await liveChanges(bench, even);
  return {
    p50: { value: percentile(changes.delays, 50), baseline: percentile(messages.delays, 50) },
    p99: { value: percentile(changes.delays, 99), baseline: percentile(messages.delays, 99) },
    lost: { value: changes.lost, baseline: even.changes },
  };
}

interface Delays {
  readonly delays: readonly number[];
  readonly lost: number;
}

async function liveChanges(bench: Bench, even: EvenChanges): Promise<Delays> {
  const pair = await Pair.open(bench, {
    entries: bench.pick({ full: 20_000, quick: 2_000, tiny: 100 }),
    ids: "time-ordered",
  });
  await pair.join();
  await pair.receiver.ask("watchChanges", null);
  const { atMs: sent } = await pair.server.ask("writeEvenly", even);
  // The log is empty only when the other device has everything.
  await pair.settle();
  const { atMs: applied } = await pair.receiver.ask("watched", { changes: even.changes });
  await pair.compare();
  await pair.end();
  return delaysOf(sent, applied);
}

async function bareMessages(bench: Bench, even: EvenChanges): Promise<Delays> {
  const receiver = bench.messages("bare-receiver");
  const sender = bench.messages("bare-sender");
  const { url } = await receiver.ask("listen", { file: await emptyPlace(bench) });
  const { atMs: sent } = await sender.ask("send", { ...even, url });
  const { atMs: received } = await receiver.ask("received", { messages: even.changes });
  await sender.end();
  await receiver.end();
  return delaysOf(sent, received);
}

function delaysOf(sent: readonly number[], there: readonly (number | null)[]): Delays {
  const delays = sent.flatMap((atMs, index) => {
    const thereMs = there[index];
    return thereMs === null || thereMs === undefined ? [] : [thereMs - atMs];
  });
  return { delays, lost: sent.length - delays.length };
}

function percentile(numbers: readonly number[], percent: number): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * percent) / 100))] ?? Number.NaN;
}
