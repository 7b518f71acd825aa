import { type BenchCase, ratioAtMost } from "../case.js";
import { backfillRuns } from "../experiments/backfill-runs.js";
import { largeLibrary } from "../experiments/large-library.js";

/** What travels, counted at the socket. */
export const wire: BenchCase = {
  name: "wire",
  work: "bytes that both devices send in a backfill, per row; baseline: pages of JSON objects, gzipped",
  parts: [{ name: "row", unit: "B", target: ratioAtMost(0.6) }],
  run: async (bench) => {
    const library = largeLibrary(bench);
    const process = bench.rows("json");
    const json = await process.ask("gzippedJson", library);
    await process.end();
    return (await backfillRuns(bench, library)).map(({ server, receiver }) => ({
      row: { value: (server.sentBytes + receiver.sentBytes) / json.rows, baseline: json.bytes / json.rows },
    }));
  },
};
