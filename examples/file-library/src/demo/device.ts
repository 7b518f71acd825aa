import type { Clock, Logger, Random } from "@tidemark/plugin-api";
import { nodeFileSystem } from "../indexer/file-system.js";
import { indexLocation } from "../indexer/index-location.js";
import { registerLocation } from "../indexer/location-registry.js";
import { makeRound } from "../mutations/round.js";
import { buildScratchTree } from "../mutations/scratch-tree.js";
import { Library } from "./library.js";
import type { CommandKind, Commands, DeviceMessage, DeviceSetup, Results } from "./messages.js";
import { throttled } from "./throttle.js";

/**
 * What a device does: carries out commands, one after the other (only the status and the report may be asked at any time,
 * because they read alone), and tells how far it is. Knows nothing of processes.
 */
export interface DeviceDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly send: (message: DeviceMessage) => void;
}

const PROGRESS_INTERVAL_MS = 100;
const REPORT_INTERVAL_MS = 500;
/** Counting a large library takes long; this part of the time it may take. */
const REPORT_SHARE = 0.05;

export class Device {
  readonly #deps: DeviceDeps;
  #library: Library | null = null;
  #setup: DeviceSetup | null = null;
  #turn: Promise<unknown> = Promise.resolve();
  /** Ends what is under way, because nobody waits for it any more. */
  readonly #ending = new AbortController();
  #closed = false;

  constructor(deps: DeviceDeps) {
    this.#deps = deps;
  }

  /** Carries out a command. Rejects with what went wrong. */
  handle<Kind extends CommandKind>(request: { readonly kind: Kind } & Commands[Kind]): Promise<Results[Kind]> {
    const handler = this.#handlers[request.kind] as (command: Commands[Kind]) => Promise<Results[Kind]>;
    if (request.kind === "status" || request.kind === "report") return handler(request);
    if (request.kind === "close") this.#ending.abort(new Error("the device is closing"));
    const outcome = this.#turn.then(() => handler(request));
    this.#turn = outcome.catch(() => undefined);
    return outcome;
  }

  /** Breaks off what is under way and closes the database; used when there is nobody left to send commands. */
  close(): Promise<null> {
    return this.handle({ kind: "close" });
  }

  readonly #handlers: { readonly [Kind in CommandKind]: (command: Commands[Kind]) => Promise<Results[Kind]> } = {
    open: async ({ setup }) => {
      const { logger, clock, send } = this.#deps;
      const onNotice = (text: string) => send({ kind: "notice", text });
      this.#setup = setup;
      this.#library = await Library.open({ setup, logger, clock, onNotice });
      const url = setup.online ? await this.#library.goOnline() : null;
      this.#reportAgainAndAgain();
      return { url };
    },

    online: async () => ({ url: await this.#opened().goOnline() }),

    offline: async () => {
      await this.#opened().goOffline();
      return null;
    },

    index: async ({ root, label, skip, maxFiles }) => {
      const { dataSource } = this.#opened();
      const { deviceId } = this.#setup!;
      const location = await registerLocation({ dataSource, deviceId, name: label, path: root });
      const progress = this.#progress(`index ${label}`, "files");
      const result = await indexLocation({
        dataSource,
        fs: nodeFileSystem,
        clock: this.#deps.clock,
        random: this.#deps.random,
        locationId: location.id,
        root,
        skip,
        ...(maxFiles === null ? {} : { maxFiles }),
        onProgress: progress.offer,
        signal: this.#ending.signal,
      });
      progress.flush();
      return result;
    },

    scratch: async ({ root, seed, files }) => {
      await buildScratchTree({ root, seed, files });
      return null;
    },

    round: async ({ root, seed, round, fileChanges, recordChanges }) => {
      const progress = this.#progress(`changes ${round}`, "changes");
      await makeRound({
        dataSource: this.#opened().dataSource,
        deviceId: this.#setup!.deviceId,
        scratchRoot: root,
        seed,
        round,
        fileChanges,
        recordChanges,
        nextTurn: () => new Promise((resolve) => void this.#deps.clock.setImmediate(resolve)),
        onProgress: progress.offer,
        signal: this.#ending.signal,
      });
      progress.flush();
      return null;
    },

    forget: async ({ patienceMs }) => this.#opened().untilForgotten(patienceMs, this.#ending.signal),

    status: async () => this.#opened().status(),

    report: async () => this.#opened().report(),

    compare: async () => this.#opened().compare(this.#ending.signal),

    close: async () => {
      this.#closed = true;
      await this.#library?.close();
      this.#library = null;
      return null;
    },
  };

  #opened(): Library {
    if (this.#library === null) throw new Error("the database is not open");
    return this.#library;
  }

  #progress(task: string, unit: string) {
    return throttled<{ readonly done: number; readonly total: number }>({
      clock: this.#deps.clock,
      intervalMs: PROGRESS_INTERVAL_MS,
      send: ({ done, total }) => this.#deps.send({ kind: "progress", task, unit, done, total }),
    });
  }

  /** Tells now and then how many records are here and what has been counted, so that a person sees them arrive. */
  #reportAgainAndAgain(): void {
    const { clock, logger, send } = this.#deps;
    const report = async () => {
      const library = this.#library;
      if (this.#closed || library === null) return;
      const startedMs = clock.monotonicMs();
      try {
        send({ kind: "report", report: await library.report() });
      } catch (error) {
        // Only a display: the device may be going offline, or the database may be closing.
        logger.debug("could not report", { error });
      }
      const tookMs = clock.monotonicMs() - startedMs;
      clock.setTimeout(report, Math.max(REPORT_INTERVAL_MS, tookMs / REPORT_SHARE));
    };
    void report();
  }
}
