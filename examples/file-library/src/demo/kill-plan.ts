import type { Clock, Subscription } from "@tidemark/plugin-api";
import { SeededRandom } from "../mutations/seeded-random.js";
import type { DeviceName } from "./messages.js";

/**
 * Kills a process at a random moment of each phase: after so many of its messages or so many milliseconds, whichever
 * comes first, so that short phases are hit as well as long ones. The moments follow from the seed, as far as the timing
 * of two processes can follow from anything.
 */
export interface Kill {
  readonly phase: string;
  readonly device: DeviceName;
}

export interface KillPlanOptions {
  readonly seed: string;
  readonly clock: Pick<Clock, "setTimeout">;
  /** Kills the device's process. False when there was none to kill. */
  readonly kill: (device: DeviceName) => boolean;
  readonly onKilled: (kill: Kill) => void;
}

interface Armed {
  readonly phase: string;
  readonly device: DeviceName;
  messagesLeft: number;
  readonly timer: Subscription;
}

export class KillPlan {
  readonly #options: KillPlanOptions;
  readonly #random: SeededRandom;
  readonly #kills: Kill[] = [];
  #armed: Armed | null = null;

  constructor(options: KillPlanOptions) {
    this.#options = options;
    this.#random = new SeededRandom(`kills ${options.seed}`);
  }

  /** The kills so far, in order. */
  get kills(): readonly Kill[] {
    return this.#kills;
  }

  /** A phase begins: one kill will come in it, unless it is over before. */
  enter(phase: string): void {
    this.leave();
    const device = this.#random.next() < 0.5 ? "A" : "B";
    // Small numbers are likelier, because some phases are over after a few messages; large ones let phases get going.
    const messagesLeft = Math.floor(40 ** this.#random.next());
    const delayMs = 50 + this.#random.int(3_000);
    this.#armed = { phase, device, messagesLeft, timer: this.#options.clock.setTimeout(() => this.#fire(), delayMs) };
  }

  /** A device has said something. */
  onMessage(device: DeviceName): void {
    if (this.#armed?.device === device && --this.#armed.messagesLeft <= 0) this.#fire();
  }

  /** The phase is over. */
  leave(): void {
    this.#armed?.timer.dispose();
    this.#armed = null;
  }

  #fire(): void {
    const armed = this.#armed;
    if (armed === null) return;
    this.leave();
    if (!this.#options.kill(armed.device)) return;
    const kill: Kill = { phase: armed.phase, device: armed.device };
    this.#kills.push(kill);
    this.#options.onKilled(kill);
  }
}
