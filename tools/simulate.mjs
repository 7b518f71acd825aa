// `npm run simulate -- --seeds 500 --from 1000`, or `-- --seed 106` to replay one: random work, cut links, restarts and
// pruning on real kernels, from seeds. A failing seed prints what was done.

import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";

const values = readArguments();
const [from, count] = values.seed === undefined ? [values.from, values.seeds] : [values.seed, "1"];
for (const [name, value] of Object.entries({ seed: from, seeds: count })) {
  if (!/^\d+$/.test(value) || (name === "seeds" && Number(value) === 0)) {
    process.stderr.write(`--${name} must be a whole number, and "${value}" is none\n`);
    process.exit(2);
  }
}
const { status } = spawnSync("npx", ["vitest", "run", "core/src/e2e/convergence.test.ts"], {
  stdio: "inherit",
  env: { ...process.env, TIDEMARK_SEED: from, TIDEMARK_SEEDS: count },
});
process.exit(status ?? 1);

function readArguments() {
  const number = (fallback) => ({ type: "string", ...(fallback !== undefined && { default: fallback }) });
  try {
    return parseArgs({ options: { seed: number(), seeds: number("100"), from: number("1") } }).values;
  } catch (error) {
    process.stderr.write(`${error.message}\nKnown are --seed N, --seeds N and --from N\n`);
    process.exit(2);
  }
}
