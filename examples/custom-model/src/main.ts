import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { accountOf } from "./account.js";
import { findingsOf } from "./findings.js";
import { paintFor } from "./paint.js";
import { runTwoDevices } from "./two-devices.js";

/** `npm run notes`: runs the example in a folder of its own, tells what happens, and removes it. Exits 0 if all holds. */

const TIME_LIMIT_MS = 60_000;

const interruption = new AbortController();
process.once("SIGINT", () => interruption.abort()).once("SIGTERM", () => interruption.abort());

const paint = paintFor(process.stdout);
const say = (text: string): void => {
  process.stdout.write(`${text}\n`);
};

const directory = await mkdtemp(join(tmpdir(), "tidemark-notes-"));
try {
  const outcome = await runTwoDevices({
    directory,
    // All devices of a library know it. A real app lets its user carry it over, as a QR code for example.
    secret: randomBytes(24).toString("base64url"),
    overlayFile: process.env.NOTES_OVERLAY ?? "tidemark.json",
    tell: say,
    signal: AbortSignal.any([AbortSignal.timeout(TIME_LIMIT_MS), interruption.signal]),
  });
  const findings = findingsOf(outcome);
  say(`\n${accountOf({ outcome, findings, paint })}`);
  process.exitCode = findings.every(({ holds }) => holds) ? 0 : 1;
} catch (error) {
  say(`\n${paint("red", error instanceof Error ? error.message : String(error))}`);
  process.exitCode = 1;
} finally {
  await rm(directory, { recursive: true, force: true });
}
