import type { Bench } from "../bench.js";

/** One after the other, never side by side: they would share the machine. */
export async function repeat<T>(bench: Bench, what: string, once: (run: number) => Promise<T>): Promise<readonly T[]> {
  const results: T[] = [];
  for (let run = 1; run <= bench.runs; run++) {
    bench.say(`${what}, run ${run} of ${bench.runs}`);
    results.push(await once(run));
  }
  return results;
}
