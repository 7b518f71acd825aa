// Stands in for a device's process in tests of the demo's course: does nothing, says all that a device says, and
// remembers in its "database" what it was asked.
import { appendFileSync } from "node:fs";

let file;
let received = 0;
let plugins = [];
const rows = { tag: 3, entry: 7 };
const results = {
  open: () => ({ url: "ws://127.0.0.1:4711/" }),
  online: () => ({ url: null }),
  offline: () => null,
  scratch: () => null,
  round: () => null,
  index: () => ({
    added: 5,
    changed: 1,
    moved: 0,
    deleted: 0,
    unchanged: 1,
    filesHashed: 6,
    bytesHashed: 100,
    problemCount: 1,
    problems: [{ path: "secret", reason: "no permission to read it" }],
  }),
  status: () => ({
    idle: true,
    readyPeers: 1,
    backfilling: false,
    outbox: 0,
    logEntries: 4,
    syncTableBytes: 5_000,
    parked: { hidden: 0, dead: 0, quarantined: 0, deferred: 0, foreign: 0 },
    rows,
  }),
  report: () => ({
    records: 10,
    plugins,
    figures: {
      received,
      references: { lookups: 1, spared: 10, queries: 2 },
      log: { largestEntries: 9, largestBytes: 9_000, prunedEntries: 5, erasedRecords: 0 },
      catchUps: {
        failed: 0,
        decidedByBackoff: 0,
        decidedByKernel: 0,
        fullBackfills: 0,
        givenUp: 0,
        longestDelayMs: 0,
      },
      backfill: { pages: 0, records: 0, durationMs: 0 },
      pool: null,
      health: null,
    },
  }),
  forget: () => ({ logEntries: 0, heldBackBy: [] }),
  compare: () => ({ models: { Tag: { rows: 3, digest: "d", independentDigest: "i" } }, foreignKeyViolations: 0 }),
  close: () => null,
};

process.on("message", async (request) => {
  const { id, kind } = request;
  if (kind === "open") {
    file = request.setup.databaseFile;
    const { without } = request.setup;
    plugins = ["fk-batching", "ack-pruning", "backoff", "metrics", "parallel-backfill"].filter(
      (name) => !without.includes(name),
    );
  }
  appendFileSync(file, `${JSON.stringify(request)}\n`);
  if (kind === "index" || kind === "round") {
    for (let done = 0; done <= 20; done++) {
      await new Promise((resolve) => setImmediate(resolve));
      process.send({ kind: "progress", task: kind, unit: "items", done, total: 20 });
    }
    process.send({ kind: "report", report: results.report() });
    // Told only when it is asked for.
    received += 10;
  }
  process.send({ kind: "result", id, result: results[kind]() });
  if (kind === "close") process.disconnect();
});
