import { defineConfig, type TidemarkSettings } from "@tidemark/core";
import { ackPruning } from "@tidemark/plugin-ack-pruning";
import type { AnyPlugin } from "@tidemark/plugin-api";
import { backoff } from "@tidemark/plugin-backoff";
import { fkBatching } from "@tidemark/plugin-fk-batching";
import { metrics } from "@tidemark/plugin-metrics";
import { parallelBackfill } from "@tidemark/plugin-parallel-backfill";
import { websocket } from "@tidemark/plugin-websocket";

/** What differs from device to device. */
export interface NotesDevice {
  readonly id: string;
  readonly name: string;
  /** One device founds the library; all others join. */
  readonly role: "found" | "join";
  /** The same on all devices: 16 characters or more, and random. */
  readonly secret: string;
  /** Where to listen for others; 0 takes any free port. */
  readonly listenPort?: number;
  /** Whom to dial, such as `ws://127.0.0.1:4711`. */
  readonly peers?: readonly string[];
  /** A JSON file in which an operator may say otherwise, without a new build. It need not exist. */
  readonly overlayFile?: string;
}

/** The plugins that are installed. Which of them run, and how, is said below. */
export const plugins: readonly AnyPlugin[] = [websocket, fkBatching, ackPruning, backoff, parallelBackfill, metrics];

/** How Tidemark runs on a device. Compiled with the app like any other module; your editor knows all keys. */
export function tidemarkConfig({ id, name, role, secret, listenPort, peers, overlayFile }: NotesDevice) {
  return defineConfig({
    library: { id: "notes", secret, role },
    device: { id, name },
    plugins: {
      websocket: {
        settings: {
          ...(listenPort !== undefined && { listen: { port: listenPort } }),
          ...(peers !== undefined && { peers: [...peers] }),
        },
      },
      // `true` is what a plugin does anyway when nothing is said of it; `false` turns it off.
      "fk-batching": true,
      "ack-pruning": { settings: { acknowledgeDelayMs: 200, pruneDelayMs: 200 } },
      backoff: { settings: { baseMs: 2_000, failuresBeforeBackfill: 8 } },
      // Off: notes are few, and one page after the other is soon done.
      "parallel-backfill": false,
      // Notes without figures are better than no notes.
      metrics: { onActivationFailure: "continue", settings: { sampleMs: 5_000 } },
    },
    ...(overlayFile !== undefined && { overlayFile }),
  }) satisfies TidemarkSettings;
}
