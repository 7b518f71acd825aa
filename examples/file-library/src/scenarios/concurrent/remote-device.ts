import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Clock } from "@tidemark/plugin-api";
import { fileLibraryErrors } from "../../errors.js";
import type { ConcurrentDevice, ConcurrentProgress } from "./device.js";

/**
 * A device in a process of its own, and how the two ends talk: calls by name, one answer each, and progress in between.
 * Both ends are of one build and one machine, so what they say is not checked beyond its shape.
 */
export type ToDevice = { readonly id: number; readonly method: keyof ConcurrentDevice; readonly argument: unknown };
export type FromDevice =
  | { readonly kind: "result"; readonly id: number; readonly result: unknown }
  | { readonly kind: "failure"; readonly id: number; readonly code: string; readonly message: string }
  | { readonly kind: "progress"; readonly progress: ConcurrentProgress };

interface Pending {
  readonly method: string;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
}

const CLOSE_TIMEOUT_MS = 10_000;
const LAST_WORDS_CHARACTERS = 4_000;

export class RemoteDevice implements ConcurrentDevice {
  readonly #name: string;
  readonly #clock: Clock;
  readonly #child: ChildProcess;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;
  #lastWords = "";
  #ended = false;

  constructor({
    name,
    clock,
    onProgress,
  }: {
    readonly name: string;
    readonly clock: Clock;
    readonly onProgress: (progress: ConcurrentProgress) => void;
  }) {
    this.#name = name;
    this.#clock = clock;
    this.#child = fork(fileURLToPath(new URL("./device-process.js", import.meta.url)), [], {
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#lastWords = (this.#lastWords + text).slice(-LAST_WORDS_CHARACTERS);
    });
    this.#child.on("message", (message: FromDevice) => {
      if (message.kind === "progress") onProgress(message.progress);
      else this.#answered(message);
    });
    this.#child.on("exit", (code, signal) => this.#exited(signal ?? `code ${code}`));
    this.#child.on("error", (error) => this.#failAll(error));
  }

  readonly open: ConcurrentDevice["open"] = (setup) => this.#call("open", setup);
  readonly index: ConcurrentDevice["index"] = (command) => this.#call("index", command);
  readonly status: ConcurrentDevice["status"] = () => this.#call("status");
  readonly compare: ConcurrentDevice["compare"] = () => this.#call("compare");
  readonly figures: ConcurrentDevice["figures"] = () => this.#call("figures");

  /** Ends the process, orderly if it answers in time. */
  async close(): Promise<void> {
    if (this.#ended) return;
    const exited = new Promise<void>((resolve) => this.#child.once("exit", () => resolve()));
    const timer = this.#clock.setTimeout(() => this.#child.kill("SIGKILL"), CLOSE_TIMEOUT_MS);
    this.#call("close").catch(() => undefined);
    await exited;
    timer.dispose();
  }

  #call<Result>(method: keyof ConcurrentDevice, argument?: unknown): Promise<Result> {
    if (this.#ended) return Promise.reject(this.#endedError("it was called after its end"));
    const id = this.#nextId++;
    return new Promise<Result>((resolve, reject) => {
      this.#pending.set(id, { method, resolve: (result) => resolve(result as Result), reject });
      // A send that fails is followed by `exit`, which is what rejects.
      this.#child.send({ id, method, argument } satisfies ToDevice, () => undefined);
    });
  }

  #answered(message: Exclude<FromDevice, { readonly kind: "progress" }>): void {
    const pending = this.#pending.get(message.id);
    this.#pending.delete(message.id);
    if (message.kind === "result") pending?.resolve(message.result);
    else {
      pending?.reject(
        fileLibraryErrors.deviceFailed({
          device: this.#name,
          command: pending.method,
          message: message.message,
          code: message.code,
        }),
      );
    }
  }

  #exited(how: string): void {
    this.#ended = true;
    this.#failAll(this.#endedError(`it ended with ${how}`));
  }

  #endedError(how: string) {
    return fileLibraryErrors.deviceEnded({ device: this.#name, how, output: this.#lastWords.trim() });
  }

  #failAll(error: unknown): void {
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject } of pending) reject(error);
  }
}
