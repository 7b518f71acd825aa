// `npm run simulate -- --seeds 1000 --from 1`, `-- --seed 106` to replay one, `-- --profile crash` for one kind of fault:
// random work and faults on real kernels, from seeds. A failing seed prints the shortest beginning that still fails and
// what was done in it; with TIDEMARK_TRACE=1 also what the kernels and the network said.

import { parseArgs } from "node:util";
import { PROFILE_NAMES, profileOfSeed, shortestFailure, simulate } from "@tidemark/core/testing";

const { from, count, profile } = readArguments();
const startedMs = performance.now();
const failed = [];
const crashes = new Map();
let writes = 0;
let virtualMs = 0;
for (let seed = from; seed < from + count; seed++) {
  const result = await simulate({ seed, profile: profile ?? profileOfSeed(seed) });
  writes += result.writes;
  virtualMs += result.virtualMs;
  for (const [where, times] of result.crashes) crashes.set(where, (crashes.get(where) ?? 0) + times);
  if (result.violation !== null) {
    failed.push(result);
    await report(result);
  }
  if ((seed - from + 1) % 100 === 0 && count > 100) say(`${seed - from + 1} of ${count}, ${failed.length} failed`);
}
const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
const kills = [...crashes.values()].reduce((sum, times) => sum + times, 0);
say(
  `${count} seeds from ${from}, ${profile ?? "all profiles in turn"}: ${failed.length} failed. ` +
    `${writes} changes, ${kills} crashes at ${crashes.size} places, ${(virtualMs / 3_600_000).toFixed(1)} hours of virtual time, ${seconds} s.`,
);
for (const { seed, profile: name, violation } of failed)
  say(`--seed ${seed} --profile ${name}: ${violation.invariant}`);
process.exitCode = failed.length > 0 ? 1 : 0;

async function report(result) {
  const shortest = await shortestFailure(result);
  const { seed, profile: name, steps, violation, trace, story } = shortest;
  say(`seed ${seed}, profile ${name}, after ${steps} of ${result.steps} steps`);
  say(process.env.TIDEMARK_TRACE ? trace.join("\n") : story.join("\n"));
  say(violation.message);
  say(`replay: npm run simulate -- --seed ${seed} --profile ${name}\n`);
}

function say(text) {
  process.stdout.write(`${text}\n`);
}

function readArguments() {
  let values;
  try {
    const text = (fallback) => ({ type: "string", ...(fallback !== undefined && { default: fallback }) });
    const options = { seed: text(), seeds: text("100"), from: text("1"), profile: text() };
    values = parseArgs({ options }).values;
  } catch (error) {
    refuse(`${error.message}\nKnown are --seed N, --seeds N, --from N and --profile NAME`);
  }
  const [from, count] = values.seed === undefined ? [values.from, values.seeds] : [values.seed, "1"];
  for (const [name, value] of Object.entries({ seed: from, seeds: count })) {
    if (!/^\d+$/.test(value) || (name === "seeds" && Number(value) === 0)) {
      refuse(`--${name} must be a whole number, and "${value}" is none`);
    }
  }
  if (values.profile !== undefined && !PROFILE_NAMES.includes(values.profile)) {
    refuse(`--profile must be one of ${PROFILE_NAMES.join(", ")}, and "${values.profile}" is none`);
  }
  return { from: Number(from), count: Number(count), profile: values.profile };
}

function refuse(message) {
  process.stderr.write(`${message}\n`);
  process.exit(2);
}
