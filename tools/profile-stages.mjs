// Where the time of a backfill goes, stage by stage, from the CPU profiles that `npm run bench -- --only backfill --runs 1
// --profile <directory>` writes: `node tools/profile-stages.mjs <directory>`. A sample belongs to the innermost function
// that names a stage. Only the time from the first page to the last counts; profiling itself takes a part of it.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Function names by stage; the first stage that a name belongs to counts. */
const STAGES = {
  receiver: [
    ["idle", ["(idle)"]],
    ["collecting garbage", ["(garbage collector)"]],
    ["inserting rows", ["#insertMany"]],
    ["looking up targets", ["localKeys"]],
    ["taking in messages: inflating, unpacking, checking", ["#onFrame", "checkServedPage", "decodeRecords"]],
    ["applying beside the inserts", ["applyBlock", "apply"]],
    ["committing, and the rest of a slice", ["#runTransaction"]],
    ["hooks and events, plugins included", ["transformBatch", "observeBatch", "emit"]],
  ],
  server: [
    ["idle", ["(idle)"]],
    ["collecting garbage", ["(garbage collector)"]],
    ["reading rows", ["readPage"]],
    ["deflating", ["deflated"]],
    ["packing and encoding", ["encodeMessage", "encodeRecords", "withBlock", "blockOf"]],
    ["stamps and parked records of the range", ["readBackfillPage"]],
    ["hooks and events, plugins included", ["emit"]],
  ],
};
/** What marks the time of a backfill in each process. */
const MARKS = { receiver: "applyServedPage", server: "readBackfillPage" };

const directory = process.argv[2];
if (directory === undefined) {
  process.stderr.write("Say where the profiles are: node tools/profile-stages.mjs <directory>\n");
  process.exit(2);
}
for (const name of readdirSync(directory).filter((file) => file.endsWith(".cpuprofile"))) {
  const role = Object.keys(STAGES).find((it) => name.includes(it));
  if (role !== undefined) show(name, role, stagesOf(JSON.parse(readFileSync(join(directory, name), "utf8")), role));
}

function stagesOf({ nodes, samples, timeDeltas }, role) {
  const nodeById = new Map(nodes.map((node) => [node.id, node]));
  const parentOf = new Map(nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id])));
  const namesOf = (id) => {
    const names = [];
    for (let at = id; at !== undefined; at = parentOf.get(at)) names.push(nodeById.get(at).callFrame.functionName);
    return names;
  };
  const names = new Map(nodes.map(({ id }) => [id, namesOf(id)]));
  const marked = samples.flatMap((id, index) => (names.get(id).includes(MARKS[role]) ? [index] : []));
  const stageOf = (id) => {
    for (const name of names.get(id)) {
      const stage = STAGES[role].find(([, functions]) => functions.includes(name));
      if (stage !== undefined) return stage[0];
    }
    return "everything else";
  };
  const stages = new Map(STAGES[role].map(([stage]) => [stage, 0]));
  for (let index = marked[0] ?? 0; index <= (marked.at(-1) ?? -1); index++) {
    const stage = stageOf(samples[index]);
    stages.set(stage, (stages.get(stage) ?? 0) + timeDeltas[index] / 1_000);
  }
  return stages;
}

function show(name, role, stages) {
  const total = [...stages.values()].reduce((sum, ms) => sum + ms, 0);
  process.stdout.write(`${role} (${name}), ${total.toFixed(0)} ms\n`);
  for (const [stage, ms] of [...stages].sort(([, one], [, other]) => other - one)) {
    const share = `${((100 * ms) / total).toFixed(1)} %`;
    process.stdout.write(`  ${`${ms.toFixed(0)} ms`.padStart(8)} ${share.padStart(7)}  ${stage}\n`);
  }
}
