// What happened in a run, in words, in its order. The same seed must give the same words; the hash says whether it did.

import { createHash } from "node:crypto";

/** What a line tells: what was done to the library, what a kernel says of itself, or what crossed the network. */
export type TraceKind = "deed" | "event" | "frame";

export class Trace {
  readonly lines: string[] = [];
  /** The lines without events and frames: what was done, and what came of it. */
  readonly story: string[] = [];
  readonly #hash = createHash("sha256");
  readonly #nowMs: () => number;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** Something that a person would want to read. */
  say(who: string, what: string, kind: TraceKind = "deed"): void {
    const line = `${this.#nowMs().toFixed(1).padStart(9)} ${who.padEnd(2)} ${what}`;
    this.lines.push(line);
    if (kind === "deed") this.story.push(line);
    this.#hash.update(line).update("\n");
  }

  /** Something that only has to be the same the next time. */
  note(what: string | Uint8Array): void {
    this.#hash.update(what);
  }

  /** Of everything so far. */
  get hash(): string {
    return this.#hash.copy().digest("hex").slice(0, 16);
  }
}

/** A violated invariant, or a run that came to no end. */
export class Violation extends Error {
  constructor(
    /** The invariant, in a few words that stay the same from run to run. */
    readonly invariant: string,
    what: string,
  ) {
    super(`${invariant}: ${what}`);
    this.name = "Violation";
  }
}
