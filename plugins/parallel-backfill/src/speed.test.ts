import { afterEach, beforeEach, expect, it } from "vitest";
import { type DeviceOptions, Library, servedTo } from "./library.test-support.js";

/** Time is that of the manual clock: only round trips cost any. */
const ONE_WAY_MS = 25;
const SIZE = { entries: 1_600, folders: 4, tags: 2 };

let library: Library;
beforeEach(() => {
  library = new Library();
});
afterEach(() => library.dispose());

/** How long a device that joins takes for its backfill. */
async function backfillMs(name: string, from: readonly string[], plugin: DeviceOptions["plugin"]): Promise<number> {
  for (const peer of from) library.latency(peer, name, ONE_WAY_MS);
  const device = await library.device(name, { dial: from, ...(plugin !== undefined && { plugin }) });
  await library.until("the backfill", () => device.recordedOf("backfillCompleted").length > 0, 1);
  return device.recordedOf("backfillCompleted")[0]!.durationMs;
}

it("is at least three times as fast as page after page on a link of 50 ms", async () => {
  const [server] = await library.servers(["a"], SIZE);
  const sequential = await backfillMs("b", ["a"], null);
  const pages = servedTo("b", server!).length;
  const parallel = await backfillMs("c", ["a"], {});
  // Page after page is a round trip each.
  expect(sequential).toBeGreaterThanOrEqual(pages * 2 * ONE_WAY_MS);
  expect(sequential / parallel).toBeGreaterThanOrEqual(3);
});
