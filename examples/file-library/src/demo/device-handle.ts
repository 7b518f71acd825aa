import { type ChildProcess, fork } from "node:child_process";
import type { Clock } from "@tidemark/plugin-api";
import { fileLibraryErrors } from "../errors.js";
import {
  type CommandKind,
  type Commands,
  type DeviceMessage,
  type DeviceSetup,
  parseMessage,
  parseResult,
  type Results,
} from "./messages.js";

/**
 * The demo's end of one device process. Gives commands and waits for their results; when the process was killed on
 * purpose, starts it again, on the same database, and gives the command again. A process that ends by itself is an error.
 */
export interface DeviceHandleOptions {
  readonly setup: DeviceSetup;
  /** The script of the process. */
  readonly script: string;
  readonly clock: Clock;
  readonly onMessage: (message: DeviceMessage) => void;
  /** The process was killed. It is started again. */
  readonly onKilled: () => void;
  /** It has been. */
  readonly onRestarted: () => void;
}

interface Pending {
  readonly kind: CommandKind;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** The reason why a command's process is gone: it was our own doing. */
const KILLED = Symbol("killed on purpose");
const LAST_WORDS_CHARACTERS = 4_000;

export class DeviceHandle {
  readonly #options: DeviceHandleOptions;
  #setup: DeviceSetup;
  #child: ChildProcess | null = null;
  /** Settles when the present process has opened its database. */
  #opening: Promise<unknown> | null = null;
  #pending = new Map<number, Pending>();
  #nextId = 1;
  #killing = false;
  #closing = false;
  #wasKilled = false;
  #lastWords = "";
  /** Set when the process ended by itself: it is not started again. */
  #failure: unknown = null;

  constructor(options: DeviceHandleOptions) {
    this.#options = options;
    this.#setup = options.setup;
  }

  get name(): DeviceSetup["name"] {
    return this.#setup.name;
  }

  /** Starts the process, if it does not run, and waits until its database is open. */
  async open(): Promise<void> {
    for (;;) {
      try {
        await this.#up();
        return;
      } catch (error) {
        if (error !== KILLED) throw error;
      }
    }
  }

  /** @throws FILE_LIBRARY_DEVICE_FAILED, FILE_LIBRARY_DEVICE_ENDED, FILE_LIBRARY_INVALID_MESSAGE */
  async request<Kind extends CommandKind>(kind: Kind, command: Commands[Kind]): Promise<Results[Kind]> {
    for (;;) {
      try {
        await this.#up();
        const result = await this.#ask(kind, command);
        if (kind === "online" || kind === "offline") this.#setup = { ...this.#setup, online: kind === "online" };
        return result;
      } catch (error) {
        if (error !== KILLED) throw error;
      }
    }
  }

  /** The address at which the device listens. Stays the same over restarts. */
  get url(): string | null {
    return this.#setup.listenPort ? `ws://127.0.0.1:${this.#setup.listenPort}` : null;
  }

  /** Whom to dial. Takes effect with the next start of the process. */
  setPeers(peers: readonly string[]): void {
    this.#setup = { ...this.#setup, peers };
  }

  /**
   * Kills the process without warning (SIGKILL). Whatever was asked of it is asked again of its successor. False when
   * there is none to kill.
   */
  kill(): boolean {
    if (this.#child === null || this.#closing || this.#killing) return false;
    this.#killing = this.#child.kill("SIGKILL");
    return this.#killing;
  }

  /** Ends the process, whatever it is doing: orderly if it is done in time. */
  async close({ graceMs }: { readonly graceMs: number }): Promise<void> {
    this.#closing = true;
    const child = this.#child;
    if (child === null) return;
    const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    const timer = this.#options.clock.setTimeout(() => child.kill("SIGKILL"), graceMs);
    if (child.connected) child.send({ id: this.#nextId++, kind: "close" }, () => undefined);
    else child.kill("SIGKILL");
    await ended;
    timer.dispose();
  }

  #up(): Promise<unknown> {
    this.#opening ??= this.#start();
    return this.#opening;
  }

  async #start(): Promise<void> {
    if (this.#failure !== null) throw this.#failure;
    if (this.#closing)
      throw fileLibraryErrors.deviceEnded({ device: this.name, how: "the demo has ended it", output: "" });
    const child = fork(this.#options.script, [], { stdio: ["ignore", "ignore", "pipe", "ipc"] });
    this.#child = child;
    this.#killing = false;
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#lastWords = (this.#lastWords + text).slice(-LAST_WORDS_CHARACTERS);
    });
    child.on("message", (value) => {
      // What a killed process has said may arrive when its successor speaks already.
      if (this.#child === child) this.#receive(value);
    });
    // `exit` says that the process is gone, so its locks and its port are free.
    child.on("exit", (code, signal) => this.#ended(code, signal));
    child.on("error", (error) => this.#failAll(error));
    const { url } = await this.#ask("open", { setup: this.#setup });
    // Others know the address by now, so a successor must listen there too.
    if (url !== null) this.#setup = { ...this.#setup, listenPort: Number(new URL(url).port) };
    if (this.#wasKilled) this.#options.onRestarted();
    this.#wasKilled = false;
  }

  #ask<Kind extends CommandKind>(kind: Kind, command: Commands[Kind]): Promise<Results[Kind]> {
    const id = this.#nextId++;
    const answer = new Promise<unknown>((resolve, reject) => this.#pending.set(id, { kind, resolve, reject }));
    // A send that fails is followed by `exit`, which is what rejects.
    this.#child?.send({ id, ...command, kind }, () => undefined);
    return answer.then((result) => parseResult(kind, result, `device ${this.name}`));
  }

  #receive(value: unknown): void {
    try {
      const message = parseMessage(value, `device ${this.name}`);
      this.#options.onMessage(message);
      if (message.kind !== "result" && message.kind !== "failure") return;
      const pending = this.#pending.get(message.id);
      this.#pending.delete(message.id);
      if (message.kind === "result") pending?.resolve(message.result);
      else {
        const { code, message: text } = message;
        pending?.reject(
          fileLibraryErrors.deviceFailed({ device: this.name, command: pending.kind, message: text, code }),
        );
      }
    } catch (error) {
      this.#failAll(error);
    }
  }

  #ended(code: number | null, signal: NodeJS.Signals | null): void {
    this.#child = null;
    this.#opening = null;
    if (this.#closing) {
      const output = this.#lastWords.trim();
      this.#failAll(fileLibraryErrors.deviceEnded({ device: this.name, how: "the demo has ended it", output }));
    } else if (this.#killing) {
      this.#wasKilled = true;
      this.#options.onKilled();
      this.#failAll(KILLED);
      // At once, also when nothing is asked of it: the other device may be waiting for it. A failure comes up with the
      // next command.
      this.open().catch(() => undefined);
    } else {
      const how = signal ? `it was ended by ${signal}` : `it ended with code ${code}`;
      this.#failure = fileLibraryErrors.deviceEnded({ device: this.name, how, output: this.#lastWords.trim() });
      this.#failAll(this.#failure);
    }
  }

  #failAll(error: unknown): void {
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject } of pending) reject(error);
  }
}
