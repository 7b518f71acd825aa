import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { Child, type ProcessScript } from "./processes/child.js";
import type { DeviceCommands } from "./processes/device-commands.js";
import type { MessageCommands } from "./processes/message-commands.js";
import type { RowsCommands } from "./processes/rows-commands.js";
import type { CommandTable } from "./processes/serve.js";

/** How large the work is: as the targets ask, small for a look, or just enough to try the harness itself. */
export type Scale = "full" | "quick" | "tiny";

export interface BenchOptions {
  readonly scale: Scale;
  /** Runs of each pair of work and baseline. */
  readonly runs: number;
  /** Must exist, and be removed by whoever made it. */
  readonly workDirectory: string;
  readonly profileDirectory: string | null;
  readonly say: (what: string) => void;
}

/** What the cases share: sizes, a place for files, processes, and experiments that feed several figures. */
export class Bench {
  readonly scale: Scale;
  readonly runs: number;
  readonly say: (what: string) => void;
  readonly #options: BenchOptions;
  readonly #shared = new Map<string, Promise<unknown>>();
  readonly #children = new Set<Child<never>>();
  #places = 0;
  #names = 0;

  constructor(options: BenchOptions) {
    this.#options = options;
    this.scale = options.scale;
    this.runs = options.runs;
    this.say = options.say;
  }

  pick<T>(sizes: Readonly<Record<Scale, T>>): T {
    return sizes[this.scale];
  }

  /** Runs `work` the first time that `name` is asked for, and gives the same result to whoever asks later. */
  once<T>(name: string, work: () => Promise<T>): Promise<T> {
    let result = this.#shared.get(name);
    if (result === undefined) {
      result = work();
      this.#shared.set(name, result);
    }
    return result as Promise<T>;
  }

  /** A new, empty directory. */
  async place(): Promise<string> {
    this.#places += 1;
    const path = join(this.#options.workDirectory, String(this.#places));
    await mkdir(path);
    return path;
  }

  device(name: string): Child<DeviceCommands> {
    return this.#child("device-process", name);
  }

  rows(name = "rows"): Child<RowsCommands> {
    return this.#child("rows-process", name);
  }

  messages(name: string): Child<MessageCommands> {
    return this.#child("message-process", name);
  }

  /** Ends whatever still runs, when a case has failed or the benchmark is interrupted. */
  async endAll(): Promise<void> {
    await Promise.all([...this.#children].map((child) => child.kill()));
    this.#children.clear();
  }

  #child<T extends CommandTable<T>>(script: ProcessScript, name: string): Child<T> {
    this.#names += 1;
    const child = new Child<T>({
      script,
      name: `${this.#names}-${name}`,
      profileDirectory: this.#options.profileDirectory,
    });
    this.#children.add(child as unknown as Child<never>);
    return child;
  }
}
