// The settings of the plugin, with their defaults and limits.

import { isTidemarkError } from "@tidemark/plugin-api";
import { z } from "zod";
import { parsePeerUrl } from "./peer-url.js";

/** The longest delay that Node's timers can wait; a longer one would fire at once. */
export const MAX_DELAY_MS = 2 ** 31 - 1;

const delayMs = z.int().min(1).max(MAX_DELAY_MS);

const peerUrl = z.string().superRefine((text, context) => {
  try {
    parsePeerUrl(text);
  } catch (error) {
    if (!isTidemarkError(error)) throw error;
    context.addIssue({ code: "custom", message: error.message });
  }
});

export const websocketSettings = z.strictObject({
  /** Where to accept connections. Absent: nowhere, this device only dials. */
  listen: z
    .strictObject({
      /** An address or name of this machine. Default `127.0.0.1`: reachable from this machine alone. */
      host: z.string().min(1).default("127.0.0.1"),
      /** 0 takes any free port; the service `websocketAddress` tells which. Default 0. */
      port: z.int().min(0).max(65_535).default(0),
      /** The path that a dialler must ask for. Default `/`. */
      path: z
        .string()
        .regex(/^\/[\w\-.~!$&'()*+,;=:@%/]*$/, "must begin with / and hold only characters that a URL path may hold")
        .default("/"),
    })
    .optional(),
  /** The peers to dial: `ws://` or `wss://` URLs. Default none. */
  peers: z.array(peerUrl).default([]),
  /** When to dial again after a failed attempt, or a connection that was lost without a word from either kernel. */
  reconnect: z
    .strictObject({
      /** The first delay, in milliseconds. Default 500. */
      minMs: delayMs.default(500),
      /** The longest delay, in milliseconds; a connection that lasted this long resets the delay. Default 30,000. */
      maxMs: delayMs.default(30_000),
      /** What each delay is multiplied by to get the next, 1–10. Default 2. */
      factor: z.number().min(1).max(10).default(2),
      /** The share of a delay by which chance may lengthen or shorten it, 0–1. Default 0.2. */
      jitter: z.number().min(0).max(1).default(0.2),
    })
    .refine(({ minMs, maxMs }) => minMs <= maxMs, { message: "minMs must not exceed maxMs", path: ["minMs"] })
    .prefault({}),
  /** How long either side may take until the connection is open, in milliseconds. Default 10,000. */
  handshakeTimeoutMs: delayMs.default(10_000),
  /**
   * How often a silent peer is asked for a sign of life, in milliseconds; one that gives none until the next time is
   * lost. Default 30,000.
   */
  pingIntervalMs: delayMs.default(30_000),
  /** Bytes that may wait in the send buffer of one connection; one that exceeds it is lost. Default 64 MiB. */
  maxBufferedBytes: z
    .int()
    .min(1_024)
    .default(64 * 1_048_576),
  /** Connections that may be accepted at the same time, and as many again that are still shaking hands. Default 64. */
  maxConnections: z.int().min(1).max(10_000).default(64),
});

/** What an operator writes. */
export type WebsocketSettings = z.input<typeof websocketSettings>;
/** The settings with all defaults filled in. */
export type ResolvedWebsocketSettings = z.output<typeof websocketSettings>;

declare module "@tidemark/plugin-api" {
  interface PluginSettings {
    readonly websocket: WebsocketSettings;
  }
}
