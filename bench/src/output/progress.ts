import type { Clock } from "@tidemark/plugin-api";
import type { Colours } from "./colours.js";

/** Says what is being done: on a terminal in one line that is written over, elsewhere in a line each. */
export class Progress {
  readonly #stream: { readonly isTTY?: boolean; write(text: string): unknown };
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #colours: Colours;
  readonly #startedMs: number;

  constructor({
    stream,
    clock,
    colours,
  }: {
    readonly stream: { readonly isTTY?: boolean; write(text: string): unknown };
    readonly clock: Pick<Clock, "monotonicMs">;
    readonly colours: Colours;
  }) {
    this.#stream = stream;
    this.#clock = clock;
    this.#colours = colours;
    this.#startedMs = clock.monotonicMs();
  }

  say(what: string): void {
    const seconds = ((this.#clock.monotonicMs() - this.#startedMs) / 1_000).toFixed(0).padStart(4);
    const line = this.#colours.dim(`${seconds} s  ${what}`);
    this.#stream.write(this.#stream.isTTY ? `\r\x1b[K${line}` : `${line}\n`);
  }

  /** Leaves the terminal's line free for what comes next. */
  done(): void {
    if (this.#stream.isTTY) this.#stream.write("\r\x1b[K");
  }
}
