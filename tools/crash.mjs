// `npm run crash -- --kills 2000 --wals 10000`: kills real processes at random moments and damages write-ahead logs, and
// checks after each that nothing is lost that was acknowledged, and that the devices come into step. `--seed N` for other
// moments. What is drawn comes from the seed; when a process dies is up to the machine.

import { parseArgs } from "node:util";
import { damageRuns, killRuns } from "@tidemark/core/testing";

const { kills, wals, seed } = readArguments();
let failed = false;
if (kills > 0) {
  const startedMs = performance.now();
  const { kills: scenes, committed, problems } = await killRuns({ kills, seed, onProgress: say });
  const counts = Object.entries(scenes).map(([scene, count]) => `${count} during ${scene}`);
  report(`${kills} kills (${counts.join(", ")}), ${committed} changes committed`, problems, startedMs);
}
if (wals > 0) {
  const startedMs = performance.now();
  const { truncated, flipped, torn, compared, regressed, problems } = await damageRuns({ wals, seed, onProgress: say });
  const kinds = `${truncated} cut off, ${torn} torn, ${flipped} with a flipped byte`;
  report(
    `${wals} damaged logs (${kinds}); ${compared} synced with a peer, ${regressed} had gone back in time`,
    problems,
    startedMs,
  );
}
process.exitCode = failed ? 1 : 0;

function report(what, problems, startedMs) {
  say(`${what}: ${problems.length} problems, ${((performance.now() - startedMs) / 1000).toFixed(1)} s.`);
  for (const problem of problems) say(problem);
  failed ||= problems.length > 0;
}

function say(text) {
  process.stdout.write(`${text}\n`);
}

function readArguments() {
  let values;
  try {
    const number = (fallback) => ({ type: "string", default: fallback });
    values = parseArgs({ options: { kills: number("50"), wals: number("200"), seed: number("1") } }).values;
  } catch (error) {
    refuse(`${error.message}\nKnown are --kills N, --wals N and --seed N`);
  }
  for (const [name, value] of Object.entries(values)) {
    if (!/^\d+$/.test(value)) refuse(`--${name} must be a whole number, and "${value}" is none`);
  }
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, Number(value)]));
}

function refuse(message) {
  process.stderr.write(`${message}\n`);
  process.exit(2);
}
