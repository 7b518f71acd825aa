import type { Clock } from "@tidemark/plugin-api";
import type { Colours } from "./colours.js";
import { formatCount } from "./format.js";
import type { ProgressDisplay, TaskProgress } from "./progress.js";
import { Rate } from "./rate.js";

/** Progress as plain lines, for logs and pipes: one when a task ends, and one every few seconds before. */
export class LineProgress implements ProgressDisplay {
  readonly #options: LineProgressOptions;
  #tasks = new Map<string, { readonly rate: Rate; lastLineMs: number; lastCompleteMs: number; lastCount: string }>();

  constructor(options: LineProgressOptions) {
    this.#options = options;
  }

  phase(title: string): void {
    this.#tasks = new Map();
    this.#line(this.#options.colours.bold(title));
  }

  update({ name, unit, done, total }: TaskProgress): void {
    const { clock, intervalMs = 2_000 } = this.#options;
    const now = clock.monotonicMs();
    let task = this.#tasks.get(name);
    if (task === undefined) {
      task = { rate: new Rate({ clock }), lastLineMs: now, lastCompleteMs: Number.NEGATIVE_INFINITY, lastCount: "" };
      this.#tasks.set(name, task);
    }
    const rate = task.rate.at(done);
    const complete = total > 0 && done >= total;
    // Records are complete again and again while more of them come.
    const ends = complete && now - task.lastCompleteMs >= intervalMs;
    if (complete) task.lastCompleteMs = now;
    if (!ends && now - task.lastLineMs < intervalMs) return;
    task.lastLineMs = now;
    const count = `${formatCount(done)} of ${formatCount(total)} ${unit}`;
    if (count === task.lastCount) return;
    task.lastCount = count;
    const share = total > 0 ? `${Math.floor((done / total) * 100)} %` : "";
    const speed = rate > 0 ? `, ${formatCount(rate)}/s` : "";
    this.#line(`  ${name}: ${count} ${share}${speed}`);
  }

  note(text: string): void {
    this.#line(`  ${this.#options.colours.dim(text)}`);
  }

  stop(): void {
    this.#tasks.clear();
  }

  #line(text: string): void {
    this.#options.stream.write(`${text}\n`);
  }
}

export interface LineProgressOptions {
  readonly stream: { write(text: string): unknown };
  readonly colours: Colours;
  readonly clock: Pick<Clock, "monotonicMs">;
  /** Shortest time between two lines of a task that goes on. Default 2,000. */
  readonly intervalMs?: number;
}
