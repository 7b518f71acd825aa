import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { CommandTable, Reply } from "./serve.js";

/** The benchmark's end of the talk with one of its processes. */
export interface ChildOptions {
  /** The main file, beside this one, without its ending. */
  readonly script: ProcessScript;
  /** For error messages and for the name of its profile. */
  readonly name: string;
  /** Where a CPU profile of the process is to be written when it ends. */
  readonly profileDirectory: string | null;
}

export type ProcessScript = "device-process" | "rows-process" | "message-process";

const LAST_WORDS_CHARACTERS = 4_000;

export class Child<T extends CommandTable<T>> {
  readonly #name: string;
  readonly #process: ChildProcess;
  readonly #pending = new Map<number, { resolve(result: unknown): void; reject(error: unknown): void }>();
  readonly #ended: Promise<void>;
  #nextId = 1;
  #lastWords = "";

  constructor({ script, name, profileDirectory }: ChildOptions) {
    this.#name = name;
    const profile =
      profileDirectory === null
        ? []
        : ["--cpu-prof", `--cpu-prof-dir=${profileDirectory}`, `--cpu-prof-name=${name}.cpuprofile`];
    // From the compiled sources, wherever this file runs from: a test runs the sources themselves.
    const path = fileURLToPath(new URL(`../../dist/processes/${script}.js`, import.meta.url));
    this.#process = fork(path, [], { stdio: ["ignore", "ignore", "pipe", "ipc"], execArgv: profile });
    this.#process.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#lastWords = (this.#lastWords + text).slice(-LAST_WORDS_CHARACTERS);
    });
    this.#process.on("message", (reply: Reply) => this.#receive(reply));
    this.#process.on("error", (error) => this.#failAll(error));
    this.#ended = new Promise((resolve) => {
      this.#process.once("exit", (code, signal) => {
        this.#failAll(this.#failure(`it ended (${signal ?? `code ${code}`})`));
        resolve();
      });
    });
  }

  /** Rejects with what went wrong in the process, and when it ends before it has answered. */
  ask<Name extends keyof T & string>(command: Name, input: T[Name]["input"]): Promise<T[Name]["output"]> {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve: (result) => resolve(result as T[Name]["output"]), reject });
      this.#process.send({ id, command, input }, (error) => {
        if (error) this.#settle(id)?.reject(this.#failure(`${command} could not be asked: ${error.message}`));
      });
    });
  }

  /** Lets the process go, which is what makes it write its profile. Resolves when it has ended. */
  async end(): Promise<void> {
    if (this.#process.connected) this.#process.disconnect();
    await this.#ended;
  }

  async kill(): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#ended;
  }

  #receive(reply: Reply): void {
    const pending = this.#settle(reply.id);
    if ("error" in reply) pending?.reject(this.#failure(reply.error));
    else pending?.resolve(reply.result);
  }

  #settle(id: number) {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    return pending;
  }

  #failAll(error: unknown): void {
    for (const id of [...this.#pending.keys()]) this.#settle(id)?.reject(error);
  }

  #failure(what: string): Error {
    const words = this.#lastWords.trim();
    return new Error(`process ${this.#name}: ${what}${words === "" ? "" : `\nits last words:\n${words}`}`);
  }
}
