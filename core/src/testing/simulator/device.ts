// One device of a simulated library: a real kernel on a real file, in a process that can end at any statement and start
// again on what it has left. Its clock, its disk and its place in the network belong to the machine and outlive it.

import { copyFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { AnyPlugin, KernelEvents, LogFields, Logger, Random } from "@tidemark/plugin-api";
import Database from "better-sqlite3";
import type { TidemarkSettings } from "../../kernel/settings.js";
import type { InMemoryNetwork } from "../../transport/in-memory.js";
import { createTestKernel, type TestKernel } from "../test-kernel.js";
import { CommitWatch } from "./commit-watch.js";
import type { Ledger } from "./ledger.js";
import { declarationsOf, emptyDatabase, entitiesOf, modelsOf, type SchemaVersion } from "./library-model.js";
import { type Crash, SimulatedDisk } from "./simulated-disk.js";
import type { DeviceClock, Timeline } from "./timeline.js";
import { type Trace, Violation } from "./trace.js";

/** What all devices of a run share. */
export interface DeviceSurroundings {
  readonly timeline: Timeline;
  readonly network: InMemoryNetwork;
  readonly trace: Trace;
  readonly ledger: Ledger;
  /** Where database files are made. */
  readonly directory: string;
  /** The watches of all devices but this one. */
  readonly otherWatches: (name: string) => readonly CommitWatch[];
  /** An invariant was violated where nothing can be thrown. */
  readonly fail: (violation: Violation) => void;
  readonly onCrash: (crash: Crash) => void;
}

export interface DeviceOptions {
  readonly name: string;
  /** Whom it dials. The founder dials nobody, perhaps. */
  readonly dial: readonly string[];
  readonly role: "found" | "join";
  readonly random: () => Random;
  readonly settings: Pick<TidemarkSettings, "replication" | "storage" | "clock" | "pool" | "membership">;
  readonly schema: SchemaVersion;
  /** Whether the write-ahead log is emptied into the database now and then. */
  readonly checkpoints: boolean;
  readonly plugins: () => readonly AnyPlugin[];
}

/**
 * - `running`: started, perhaps paused.
 * - `off`: not started yet, or stopped in good order, or its start has failed.
 * - `crashed`: its process has ended in the midst of something.
 */
export type DeviceState = "off" | "running" | "crashed";

const START_LIMIT_MS = 120_000;

const TRACED: readonly (keyof KernelEvents)[] = [
  "hookHandlerQuarantined",
  "captureGap",
  "changeRefused",
  "peerConnected",
  "peerDisconnected",
  "peerStateChanged",
  "peerRefused",
  "memberJoined",
  "batchApplied",
  "roundCompleted",
  "catchUpFailed",
  "catchUpDecided",
  "backfillStarted",
  "backfillCompleted",
  "clockDrift",
  "journalEntryAdded",
  "recordHealed",
  "logPruned",
  "memberRemoved",
  "removalSettled",
  "memberReturned",
  "unsentReissued",
  "changesFolded",
];

export class SimulatedDevice {
  readonly name: string;
  readonly watch: CommitWatch;
  /** What the application does on this device and has not finished. */
  readonly tasks = new Set<Promise<void>>();
  state: DeviceState = "off";
  paused = false;
  /** Whether an application transaction is open. There is one connection, so all work goes into it. */
  inTransaction = false;
  schema: SchemaVersion;
  #clock: DeviceClock;
  #disk: SimulatedDisk | null = null;
  #kernel: TestKernel | null = null;
  #files = 0;
  #everStarted = false;
  #durableLogBytes = 0;
  /** The file that it starts on next, in place of its own. */
  #image: string | null = null;
  #onCrashed: (() => void) | null = null;
  readonly #options: DeviceOptions;
  readonly #around: DeviceSurroundings;

  constructor(options: DeviceOptions, around: DeviceSurroundings) {
    this.name = options.name;
    this.schema = options.schema;
    this.#options = options;
    this.#around = around;
    this.#clock = around.timeline.clock();
    this.watch = new CommitWatch({
      device: options.name,
      models: () => modelsOf(this.schema),
      ledger: around.ledger,
      others: () => around.otherWatches(this.name),
    });
  }

  /** The wall clock of the machine. */
  get clock(): DeviceClock {
    return this.#clock;
  }

  get disk(): SimulatedDisk {
    if (this.#disk === null) throw new Error(`${this.name} has never been started`);
    return this.#disk;
  }

  get kernel(): TestKernel {
    if (this.#kernel === null) throw new Error(`${this.name} is not running`);
    return this.#kernel;
  }

  /** How much of the write-ahead log a loss of power can't take; it only grows where there are no checkpoints. */
  get durableLogBytes(): number {
    return this.#durableLogBytes;
  }

  get everStarted(): boolean {
    return this.#everStarted;
  }

  /** Starts the process on what is there; false if it could not, or did not get through. */
  async start({ prepare }: { readonly prepare?: (disk: SimulatedDisk) => void } = {}): Promise<boolean> {
    const { timeline, network, trace } = this.#around;
    const powerLoss = this.#image === null && (this.#disk?.crash?.powerLoss ?? false);
    const offsetMs = this.#clock.offsetMs;
    this.#clock = timeline.clock();
    this.#clock.set(offsetMs);
    await this.#openDisk();
    const disk = this.disk;
    this.#everStarted = true;
    const { name, dial, role, random, settings, plugins } = this.#options;
    const kernel = await createTestKernel({
      device: name,
      database: disk.path,
      entities: [...entitiesOf(this.schema)],
      declarations: declarationsOf(this.schema),
      network,
      dial,
      role,
      settings,
      plugins: plugins(),
      clock: this.#clock,
      random: random(),
      logger: this.#logger(),
      synchronize: this.schema > 1,
      dataSourceOptions: { driver: disk.driver, timeout: 1 } as object,
    });
    this.#kernel = kernel;
    this.state = "running";
    this.paused = false;
    this.inTransaction = false;
    const crashed = new Promise<void>((resolve) => {
      this.#onCrashed = resolve;
    });
    // TypeORM waits for the file system, which knows no virtual time: nothing else happens meanwhile.
    await kernel.dataSource.initialize();
    this.watch.recovered(disk, { powerLoss });
    this.#listen(kernel, disk);
    prepare?.(disk);
    trace.say(name, "starts");
    let failure: unknown = null;
    const started = kernel.tidemark.start().catch((error: unknown) => {
      failure = error;
    });
    await timeline.until(Promise.race([started, crashed]), START_LIMIT_MS);
    if (disk.crash !== null) return false;
    if (failure !== null) {
      trace.say(name, `could not start: ${(failure as Error).message}`);
      this.state = "off";
      await this.#release(kernel);
      return false;
    }
    return true;
  }

  /** Stops the process in good order. */
  async stop(): Promise<void> {
    const { trace } = this.#around;
    await this.finishTasks();
    if (this.state !== "running") return;
    trace.say(this.name, "stops");
    const kernel = this.kernel;
    await this.#through(kernel.tidemark.stop());
    if (this.disk.crash !== null) return;
    this.state = "off";
    await this.#release(kernel);
  }

  async pause(): Promise<void> {
    this.#around.trace.say(this.name, "pauses");
    this.paused = true;
    await this.#through(this.kernel.tidemark.pause());
  }

  async resume(): Promise<void> {
    const { trace } = this.#around;
    trace.say(this.name, "goes on");
    try {
      await this.#through(this.kernel.tidemark.resume());
      this.paused = false;
    } catch (error) {
      // The disk may be unwell; it stays paused, and can be asked again.
      trace.say(this.name, `  could not: ${(error as Error).message}`);
    }
  }

  /** Copies the database of a stopped device to `path`. */
  copyDatabase(path: string): void {
    this.disk.copyTo(path);
  }

  /** Lets the device, which does not run, start on a copy of that file the next time, in place of what it had. */
  replaceDatabase(image: string): void {
    this.#image = image;
    this.watch.replaced();
  }

  /** Ends the process now, between two statements. */
  crash(where: string): void {
    this.disk.end(where);
  }

  /** Waits for what the application has begun. */
  async finishTasks(): Promise<void> {
    await this.#through(Promise.all(this.tasks));
  }

  /** Something the application does by and by; it ends with the process. */
  begin(work: () => Promise<void>): void {
    const task = work()
      .catch((error: unknown) => {
        if (this.state === "crashed") return;
        this.#around.fail(
          error instanceof Violation ? error : new Violation("the application can work", String(error)),
        );
      })
      .finally(() => this.tasks.delete(task));
    this.tasks.add(task);
  }

  /** Runs SQL of the application; false if it was refused. */
  async execute(sql: string, parameters: readonly unknown[] = []): Promise<boolean> {
    const { trace } = this.#around;
    trace.say(this.name, `${sql} ${parameters.length > 0 ? JSON.stringify(parameters) : ""}`);
    const { disk } = this;
    try {
      await this.kernel.dataSource.query(sql, [...parameters]);
      return true;
    } catch (error) {
      if (disk.crash !== null) throw error;
      trace.say(this.name, `  refused: ${(error as Error).message}`);
      return false;
    }
  }

  /** Runs SQL in another process, which has the file open only for it. */
  executeElsewhere(sql: string, parameters: readonly unknown[]): void {
    const { trace } = this.#around;
    trace.say(this.name, `elsewhere: ${sql} ${JSON.stringify(parameters)}`);
    const connection = new Database(this.disk.path, { timeout: 0 });
    try {
      connection.pragma("synchronous = OFF");
      connection.pragma("foreign_keys = ON");
      connection.pragma("recursive_triggers = ON");
      connection.prepare(sql).run(...parameters);
    } catch (error) {
      trace.say(this.name, `  refused: ${(error as Error).message}`);
    } finally {
      connection.close();
    }
  }

  /** Waits on this device's own clock; for ever, if its process ends. */
  sleep(ms: number): Promise<void> {
    const clock = this.#clock;
    return new Promise((resolve) => void clock.setTimeout(resolve, ms));
  }

  /** Gives back what is still open. */
  async dispose(): Promise<void> {
    this.#clock.stop();
    this.#disk?.bury();
    this.#disk = null;
  }

  async #openDisk(): Promise<void> {
    const { directory } = this.#around;
    const before = this.#disk;
    const moves = before !== null && (before.crash !== null || this.#image !== null);
    const path = join(directory, `${this.name}.${moves ? ++this.#files : this.#files}.sqlite`);
    if (this.#image !== null) {
      copyFileSync(this.#image, path);
      this.#image = null;
      before?.bury();
    } else if (!this.#everStarted) writeFileSync(path, await emptyDatabase(1));
    else if (before?.crash != null) {
      before.recoverTo(path);
      before.bury();
    }
    this.#durableLogBytes = 0;
    this.#disk = new SimulatedDisk({
      path,
      checkpoints: this.#options.checkpoints,
      nowMs: () => this.#around.timeline.elapsedMs,
      observer: {
        committed: (commit) => {
          if (commit.durable) this.#durableLogBytes = statSync(`${path}-wal`).size;
          try {
            this.watch.committed(this.disk, commit);
          } catch (error) {
            this.#around.fail(
              error instanceof Violation ? error : new Violation("the checks can be made", String(error)),
            );
          }
        },
        crashed: (crash) => this.#crashed(crash),
      },
    });
  }

  #crashed(crash: Crash): void {
    const { network, trace, onCrash } = this.#around;
    trace.say(this.name, `CRASHES ${crash.powerLoss ? "for lack of power " : ""}(${crash.where})`);
    this.state = "crashed";
    this.tasks.clear();
    this.#clock.stop();
    network.crash(this.name, { noticeMs: 0 });
    onCrash(crash);
    this.#onCrashed?.();
  }

  /** Until it is done, or the process has ended in the middle of it. */
  async #through(work: Promise<unknown>): Promise<void> {
    await this.#around.timeline.until(Promise.race([work, this.#whenCrashed()]), START_LIMIT_MS);
  }

  #whenCrashed(): Promise<void> {
    if (this.state === "crashed") return Promise.resolve();
    return new Promise((resolve) => {
      const before = this.#onCrashed;
      this.#onCrashed = () => {
        before?.();
        resolve();
      };
    });
  }

  async #release(kernel: TestKernel): Promise<void> {
    if (kernel.dataSource.isInitialized) await kernel.dataSource.destroy();
    this.#clock.stop();
  }

  #listen({ tidemark }: TestKernel, disk: SimulatedDisk): void {
    const { trace, fail } = this.#around;
    for (const name of TRACED) {
      tidemark.events.on(name, (event) => {
        if (this.state === "crashed") return;
        trace.say(this.name, `${name} ${JSON.stringify(event)}`, "event");
        if (name === "captureGap" && this.schema === 1)
          fail(new Violation("capture has no gap", JSON.stringify(event)));
      });
    }
    tidemark.events.on("leaseAcquired", ({ kind, holder }) => {
      if (kind === "writer") disk.doing(holder.replace(/ [0-9a-f-]{36}$/, ""));
    });
  }

  #logger(): Logger {
    const { trace } = this.#around;
    const write = (level: string) => (message: string, fields?: LogFields) => {
      if (this.state !== "crashed") trace.say(this.name, `${level}: ${message} ${described(fields)}`, "event");
    };
    const silent = () => {};
    const logger: Logger = {
      debug: silent,
      info: silent,
      warn: write("warning"),
      error: write("error"),
      child: () => logger,
    };
    return logger;
  }
}

function described(fields: LogFields | undefined): string {
  if (fields === undefined) return "";
  return JSON.stringify(fields, (_key, value) => (value instanceof Error ? value.message : value));
}
