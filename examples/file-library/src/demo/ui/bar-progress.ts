import type { Clock } from "@tidemark/plugin-api";
import cliProgress from "cli-progress";
import type { Colours } from "./colours.js";
import { formatCount } from "./format.js";
import type { ProgressDisplay, TaskProgress } from "./progress.js";
import { Rate } from "./rate.js";

/** Progress as bars that stay in place, for terminals. */
export class BarProgress implements ProgressDisplay {
  readonly #options: BarProgressOptions;
  #bars: cliProgress.MultiBar | null = null;
  #tasks = new Map<string, { readonly bar: cliProgress.SingleBar; readonly rate: Rate }>();

  constructor(options: BarProgressOptions) {
    this.#options = options;
  }

  phase(title: string): void {
    this.stop();
    this.#options.stream.write(`\n${this.#options.colours.bold(title)}\n`);
    this.#bars = new cliProgress.MultiBar({
      format: (_, { value, total, progress }, payload: Payload) => this.#render(value, total, progress, payload),
      stream: this.#options.stream,
      hideCursor: true,
      fps: 10,
      // Longer lines would wrap and spoil the drawing.
      linewrap: false,
      // How the demo ends on Ctrl-C is its own business.
      gracefulExit: false,
    });
  }

  update({ name, unit, done, total }: TaskProgress): void {
    if (this.#bars === null) return;
    let task = this.#tasks.get(name);
    if (task === undefined) {
      const rate = new Rate(this.#options);
      task = { rate, bar: this.#bars.create(total, done, { name, unit, rate: 0 } satisfies Payload) };
      this.#tasks.set(name, task);
    }
    task.bar.setTotal(total);
    task.bar.update(done, { name, unit, rate: task.rate.at(done) } satisfies Payload);
  }

  note(text: string): void {
    const line = `  ${this.#options.colours.dim(text)}\n`;
    if (this.#bars?.isActive) this.#bars.log(line);
    else this.#options.stream.write(line);
  }

  stop(): void {
    this.#bars?.stop();
    this.#bars = null;
    this.#tasks = new Map();
  }

  #render(value: number, total: number, progress: number, { name, unit, rate }: Payload): string {
    const { colours } = this.#options;
    const filled = Math.round(Math.min(1, total > 0 ? progress : 0) * BAR_CHARACTERS);
    const bar = colours.cyan("█".repeat(filled)) + colours.dim("░".repeat(BAR_CHARACTERS - filled));
    const count = `${formatCount(value)}/${formatCount(total)}`.padStart(17);
    return `  ${name.padEnd(NAME_CHARACTERS)} ${bar} ${count} ${unit.padEnd(8)} ${`${formatCount(rate)}/s`.padStart(10)}`;
  }
}

const BAR_CHARACTERS = 24;
const NAME_CHARACTERS = 20;

interface Payload {
  readonly name: string;
  readonly unit: string;
  readonly rate: number;
}

export interface BarProgressOptions {
  readonly stream: NodeJS.WritableStream;
  readonly colours: Colours;
  readonly clock: Pick<Clock, "monotonicMs">;
}
