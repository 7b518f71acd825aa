import type { EvenChanges } from "./device-commands.js";

/** What the processes without Tidemark do that only pass messages on: the baseline of live changes. */
export interface MessageCommands {
  /** Listens, and inserts each message durably into a table of the file. */
  readonly listen: { readonly input: { readonly file: string }; readonly output: { readonly url: string } };
  /** Connects, and sends messages at an even pace; resolves with the machine's time of each. */
  readonly send: {
    readonly input: EvenChanges & { readonly url: string };
    readonly output: { readonly atMs: readonly number[] };
  };
  /** Waits for so many messages; the machine's time at which each was inserted. */
  readonly received: {
    readonly input: { readonly messages: number };
    readonly output: { readonly atMs: readonly number[] };
  };
}
