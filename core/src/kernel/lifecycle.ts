// The kernel's states and the steps between them: created → starting → running ⇄ paused → stopping → stopped, or failed.
// One step at a time, whoever calls; what the steps do is not known here.

import type { KernelEvents, KernelState } from "@tidemark/plugin-api";
import { kernelErrors, messageOf } from "./errors.js";

export interface LifecycleSteps {
  start(): Promise<void>;
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Gives back everything, also after a start that failed half-way. */
  stop(): Promise<void>;
}

type LifecycleChange = KernelEvents["kernelStateChanged"];

export class Lifecycle {
  readonly #steps: LifecycleSteps;
  readonly #onChange: (change: LifecycleChange) => void;
  #state: KernelState = "created";
  #reason: string | undefined;
  /** Settles when the step that was asked for last is over, well or not. */
  #last: Promise<void> = Promise.resolve();
  #starting: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;

  constructor({
    steps,
    onChange,
  }: {
    readonly steps: LifecycleSteps;
    readonly onChange: (change: LifecycleChange) => void;
  }) {
    this.#steps = steps;
    this.#onChange = onChange;
  }

  get state(): KernelState {
    return this.#state;
  }

  /** Why the kernel has failed; `undefined` if it has not. */
  get reason(): string | undefined {
    return this.#reason;
  }

  /** Every call gets the outcome of the one start. After `stop`, throws `TIDEMARK_KERNEL_STATE`. */
  start(): Promise<void> {
    if (this.#stopping !== undefined) {
      const state = this.#state === "stopped" ? "stopped" : "stopping";
      return Promise.reject(kernelErrors.wrongState({ action: "start", state }));
    }
    this.#starting ??= this.#enqueue(() => this.#start());
    return this.#starting;
  }

  pause(): Promise<void> {
    return this.#enqueue(async () => {
      if (this.#state === "paused") return;
      this.#require("pause", ["running"]);
      await this.#steps.pause();
      this.#change("paused");
    });
  }

  resume(): Promise<void> {
    return this.#enqueue(async () => {
      if (this.#state === "running") return;
      this.#require("resume", ["paused"]);
      await this.#steps.resume();
      this.#change("running");
    });
  }

  /** Waits for a step that is under way. Every call gets the outcome of the one stop; never refused. */
  stop(): Promise<void> {
    this.#stopping ??= this.#enqueue(() => this.#stop());
    return this.#stopping;
  }

  /** Throws `TIDEMARK_KERNEL_STATE` unless the kernel runs or is paused. */
  requireStarted(action: string): void {
    this.#require(action, ["running", "paused"]);
  }

  async #start(): Promise<void> {
    this.#change("starting");
    try {
      await this.#steps.start();
    } catch (error) {
      // What the start has left behind goes first; whatever that meets, the reason is the failed start.
      await this.#steps.stop().catch(() => {});
      this.#change("failed", messageOf(error));
      throw error;
    }
    this.#change("running");
  }

  async #stop(): Promise<void> {
    if (this.#state === "failed") return;
    if (this.#state === "created") return this.#change("stopped");
    this.#change("stopping");
    try {
      await this.#steps.stop();
    } catch (error) {
      this.#change("failed", messageOf(error));
      throw error;
    }
    this.#change("stopped");
  }

  #enqueue(step: () => Promise<void>): Promise<void> {
    const running = this.#last.then(step);
    this.#last = running.catch(() => {});
    return running;
  }

  #require(action: string, states: readonly KernelState[]): void {
    if (!states.includes(this.#state)) throw kernelErrors.wrongState({ action, state: this.#state });
  }

  #change(state: KernelState, reason?: string): void {
    const previous = this.#state;
    this.#state = state;
    this.#reason = reason;
    this.#onChange({ state, previous, ...(reason !== undefined && { reason }) });
  }
}
