import { join } from "node:path";
import { type Clock, isTidemarkError, type Random } from "@tidemark/plugin-api";
import type { IndexResult } from "../indexer/index-location.js";
import { uuidV5 } from "../indexer/uuid.js";
import { DeviceHandle } from "./device-handle.js";
import { addFigures, type DeviceFigures, NO_FIGURES } from "./figures.js";
import { untilInStep } from "./in-step.js";
import { KillPlan } from "./kill-plan.js";
import type { DeviceMessage, DeviceName, DeviceReport, DeviceSetup } from "./messages.js";
import { PLUGIN_NAMES, type PluginName } from "./plugin-names.js";
import type { DemoOutcome, PhaseFigures } from "./result.js";
import type { ProgressDisplay } from "./ui/progress.js";
import type { Forgotten } from "./until-forgotten.js";

/**
 * The demo's course: two devices in two processes, from an empty library to the last comparison. Reads from top to
 * bottom in `run`; every step may meet a process that has just been killed, and asks its successor again.
 */
export interface DemoOptions {
  /** Absolute. Only read. */
  readonly directory: string;
  /** An empty directory for the databases and the scratch trees. */
  readonly workDirectory: string;
  readonly seed: string;
  readonly maxFiles: number | null;
  readonly scratchFiles: number;
  /** Per device and round. */
  readonly fileChanges: number;
  readonly recordChanges: number;
  /** How long nothing may move before the demo gives up. */
  readonly stallMs: number;
  /** Plugins that are turned off. */
  readonly without: readonly PluginName[];
  /** Null: nobody is killed. */
  readonly killSeed: string | null;
  readonly kept: string | null;
}

export interface DemoDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly display: ProgressDisplay;
  /** The script of a device process. */
  readonly deviceScript: string;
  readonly signal: AbortSignal;
}

const DEVICE_NAMESPACE = "1f3a8f0e-7f3c-5c55-9c1b-3b1f6f0ad7c4";
const NAMES = ["A", "B"] as const;
/** B joins when A has dealt with so many items: early enough that indexing goes on, late enough that there is something. */
const ITEMS_BEFORE_JOINING = 500;
const LOOK_INTERVAL_MS = 250;
/** How long a process may take to end in order. Its database can stand anything else, but is easier to look at. */
const CLOSE_GRACE_MS = 10_000;
/** The same when somebody has asked for the end and waits at the prompt. */
const INTERRUPTED_GRACE_MS = 2_000;

export async function runDemo(options: DemoOptions, deps: DemoDeps): Promise<DemoOutcome> {
  const run = new DemoRun(options, deps);
  try {
    return await run.run();
  } finally {
    await run.close();
  }
}

/** What is known of a device. */
interface Account {
  records: number;
  /** Ids of the plugins that run. */
  plugins: readonly string[];
  /** Of the processes that this device has had before. */
  earlier: DeviceFigures;
  /** Of the present process, as it has told last. */
  present: DeviceFigures;
  /** Items passed over, by the directory that was indexed, as of its last run. */
  readonly problems: Map<string, number>;
}

class DemoRun {
  readonly #options: DemoOptions;
  readonly #deps: DemoDeps;
  readonly #devices: Readonly<Record<DeviceName, DeviceHandle>>;
  readonly #accounts: Readonly<Record<DeviceName, Account>> = { A: newAccount(), B: newAccount() };
  readonly #phases: Record<string, PhaseFigures> = {};
  readonly #kills: KillPlan | null;
  /** Rejects when the demo is to stop. */
  readonly #aborted: Promise<never>;
  /** Called with every message; set by whoever waits for one. */
  #wake: (() => void)[] = [];
  #indexedByA = 0;
  #closing = false;
  #recordsBefore: Readonly<Record<DeviceName, number>> = { A: 0, B: 0 };

  constructor(options: DemoOptions, deps: DemoDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#aborted = new Promise((_, reject) => {
      const onAbort = () => {
        deps.display.stop();
        deps.display.note("Stopping: both processes break off what they are doing …");
        reject(deps.signal.reason);
      };
      deps.signal.addEventListener("abort", onAbort, { once: true });
    });
    // Nobody may be waiting for it.
    this.#aborted.catch(() => undefined);
    const secret = Buffer.from(deps.random.bytes(24)).toString("base64url");
    const libraryId = `demo ${options.seed}`;
    const device = (name: DeviceName) =>
      new DeviceHandle({
        setup: this.#setup(name, libraryId, secret),
        script: deps.deviceScript,
        clock: deps.clock,
        onMessage: (message) => this.#receive(name, message),
        onKilled: () => {
          const account = this.#accounts[name];
          account.earlier = this.#figuresOf(name);
          account.present = NO_FIGURES;
        },
        onRestarted: () => deps.display.note(`${name} is back`),
      });
    this.#devices = { A: device("A"), B: device("B") };
    this.#kills =
      options.killSeed === null
        ? null
        : new KillPlan({
            seed: options.killSeed,
            clock: deps.clock,
            kill: (name) => this.#devices[name].kill(),
            onKilled: ({ device: name }) => deps.display.note(`${name} is killed`),
          });
  }

  async run(): Promise<DemoOutcome> {
    const { A, B } = this.#devices;
    const { directory, seed, workDirectory, killSeed, kept, stallMs } = this.#options;
    const patience = { patienceMs: stallMs };

    await this.#phase(
      "index and join",
      "A indexes a directory; B joins meanwhile, with a directory of its own",
      async () => {
        await A.open();
        let allIndexed = false;
        const indexed = this.#index("A", directory, "directory").finally(() => {
          allIndexed = true;
        });
        await Promise.race([indexed, this.#until(() => allIndexed || this.#indexedByA >= ITEMS_BEFORE_JOINING)]);
        B.setPeers([A.url!]);
        const [onA, onB] = await Promise.all([
          indexed.then(async (result) => [result, await this.#indexScratch("A")] as const),
          B.open().then(() => this.#indexScratch("B")),
        ]);
        return [
          { what: "A indexed", unit: "items", count: sumItems(onA[0]) + sumItems(onA[1]) },
          { what: "B indexed", unit: "items", count: sumItems(onB) },
        ];
      },
    );
    await this.#phase("catch up", "Until both hold the same", () => this.#inStep());

    await this.#phase("change together", "Both rename, move, delete, tag and comment at once", () =>
      this.#round("together"),
    );
    await this.#phase("catch up again", "Until both hold the same", () => this.#inStep());

    await this.#phase("change apart", "B goes offline; both go on, also with the same records", async () => {
      await B.request("offline", {});
      return this.#round("apart");
    });
    await this.#phase("come back", "B is online again, until both hold the same", async () => {
      await B.request("online", {});
      return this.#inStep();
    });

    const forgotten = { A: null, B: null } as Record<DeviceName, Forgotten | null>;
    if (this.#isOn("ack-pruning")) {
      await this.#phase("forget", "Until everybody has acknowledged, and the logs have been pruned", async () => {
        [forgotten.A, forgotten.B] = await Promise.all([A.request("forget", patience), B.request("forget", patience)]);
        return [];
      });
    }

    await this.#phase("compare", "Digests of all models, and all references", async () => {
      await Promise.all([A.request("compare", {}), B.request("compare", {})]);
      return [];
    });
    // Once more, with nobody killed: figures of one moment.
    const [compareA, compareB] = await Promise.all([A.request("compare", {}), B.request("compare", {})]);
    const [statusA, statusB] = await Promise.all([A.request("status", {}), B.request("status", {})]);
    await this.#askForReports();
    this.#deps.display.stop();
    return {
      directory,
      seed,
      phases: this.#phases,
      comparison: { A: compareA, B: compareB },
      status: { A: statusA, B: statusB },
      plugins: Object.fromEntries(PLUGIN_NAMES.map((name) => [name, this.#isOn(name)])) as Record<PluginName, boolean>,
      figures: { A: this.#figuresOf("A"), B: this.#figuresOf("B") },
      forgotten,
      problems: { A: sum(this.#accounts.A.problems.values()), B: sum(this.#accounts.B.problems.values()) },
      kills: killSeed === null ? [] : (this.#kills?.kills ?? []),
      kept: kept === null ? null : workDirectory,
    };
  }

  async close(): Promise<void> {
    this.#closing = true;
    this.#kills?.leave();
    this.#deps.display.stop();
    const graceMs = this.#deps.signal.aborted ? INTERRUPTED_GRACE_MS : CLOSE_GRACE_MS;
    await Promise.all(NAMES.map((name) => this.#devices[name].close({ graceMs })));
  }

  #setup(name: DeviceName, libraryId: string, secret: string): DeviceSetup {
    return {
      name,
      deviceId: uuidV5({ namespace: DEVICE_NAMESPACE, name: `${this.#options.seed} ${name}` }),
      databaseFile: join(this.#options.workDirectory, `${name.toLowerCase()}.sqlite`),
      libraryId,
      secret,
      role: name === "A" ? "found" : "join",
      listenPort: name === "A" ? 0 : null,
      peers: [],
      online: true,
      without: this.#options.without,
    };
  }

  /** Over all processes that this device has had. */
  #figuresOf(name: DeviceName): DeviceFigures {
    const { earlier, present } = this.#accounts[name];
    return addFigures(earlier, present);
  }

  /** Whether a plugin runs on both devices. They know better than the command line: the environment may turn it off. */
  #isOn(plugin: PluginName): boolean {
    return NAMES.every((name) => this.#accounts[name].plugins.includes(plugin));
  }

  async #askForReports(): Promise<void> {
    const ask = async (name: DeviceName) => this.#book(name, await this.#devices[name].request("report", {}));
    await Promise.all(NAMES.map(ask));
  }

  #book(name: DeviceName, { records, plugins, figures }: DeviceReport): void {
    const account = this.#accounts[name];
    account.records = records;
    account.plugins = plugins;
    account.present = figures;
  }

  /** Runs one phase: measures it, shows it, and lets it be disturbed. */
  async #phase(name: string, title: string, work: () => Promise<PhaseFigures["work"]>): Promise<void> {
    const { clock, display, signal } = this.#deps;
    signal.throwIfAborted();
    display.phase(`${name[0]!.toUpperCase()}${name.slice(1)}: ${title}`);
    this.#kills?.enter(name);
    this.#recordsBefore = { A: this.#accounts.A.records, B: this.#accounts.B.records };
    const startedMs = clock.monotonicMs();
    const receivedBefore = { A: this.#figuresOf("A").received, B: this.#figuresOf("B").received };
    const done = await Promise.race([work(), this.#aborted]);
    this.#kills?.leave();
    const durationMs = clock.monotonicMs() - startedMs;
    // What has come in this phase belongs to it, also what the devices have not told yet.
    await Promise.race([this.#askForReports(), this.#aborted]);
    const received = NAMES.map((device) => ({
      what: `${device} received`,
      unit: "records",
      count: this.#figuresOf(device).received - receivedBefore[device],
    }));
    this.#phases[name] = {
      durationMs,
      work: [...done, ...received.filter(({ count }) => count > 0)],
    };
  }

  async #index(name: DeviceName, root: string, label: string): Promise<IndexResult> {
    const { workDirectory, maxFiles } = this.#options;
    // The databases must not be opened as files while SQLite uses them, and would be different by the time they are read.
    const result = await this.#devices[name].request("index", {
      root,
      label,
      skip: label === "scratch" ? [] : [workDirectory],
      maxFiles: label === "scratch" ? null : maxFiles,
    });
    this.#accounts[name].problems.set(root, result.problemCount);
    for (const { path, reason } of result.problems.slice(0, 5))
      this.#deps.display.note(`${name} passed over ${path}: ${reason}`);
    return result;
  }

  async #indexScratch(name: DeviceName): Promise<IndexResult> {
    const root = this.#scratchRoot(name);
    const { seed, scratchFiles } = this.#options;
    await this.#devices[name].request("scratch", { root, seed: `${seed} ${name}`, files: scratchFiles });
    return this.#index(name, root, "scratch");
  }

  #scratchRoot(name: DeviceName): string {
    return join(this.#options.workDirectory, `scratch-${name.toLowerCase()}`);
  }

  /** Both devices change files, index them again, and change tags and metadata, at the same time. */
  async #round(round: string): Promise<PhaseFigures["work"]> {
    const { seed, fileChanges, recordChanges } = this.#options;
    const work = await Promise.all(
      NAMES.map(async (name) => {
        const root = this.#scratchRoot(name);
        await this.#devices[name].request("round", { root, seed, round, fileChanges, recordChanges });
        const result = await this.#index(name, root, "scratch");
        const { added, changed, moved, deleted } = result;
        return [
          { what: `${name} changed`, unit: "changes", count: fileChanges + recordChanges },
          { what: `${name} found changed on disk`, unit: "entries", count: added + changed + moved + deleted },
        ];
      }),
    );
    return work.flat();
  }

  async #inStep(): Promise<PhaseFigures["work"]> {
    const { clock } = this.#deps;
    await untilInStep({
      devices: [this.#comparable("A"), this.#comparable("B")],
      clock,
      nextLook: () => this.#nextMessage(LOOK_INTERVAL_MS),
      stallMs: this.#options.stallMs,
    });
    return [];
  }

  #comparable(name: DeviceName) {
    const device = this.#devices[name];
    return { status: () => device.request("status", {}), compare: () => device.request("compare", {}) };
  }

  async #until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      this.#deps.signal.throwIfAborted();
      await this.#nextMessage(1_000);
    }
  }

  #showRecords(): void {
    const total = Math.max(this.#accounts.A.records, this.#accounts.B.records);
    for (const side of NAMES) {
      const done = this.#accounts[side].records;
      this.#deps.display.update({ name: `${side} records`, unit: "records", done, total });
    }
  }

  /** Whether there is anything to show of the records in this phase. */
  #recordsMove(): boolean {
    const { A, B } = this.#accounts;
    return A.records !== B.records || A.records !== this.#recordsBefore.A || B.records !== this.#recordsBefore.B;
  }

  /** Resolves with the next progress of either device, or after `atMostMs`. */
  #nextMessage(atMostMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#deps.clock.setTimeout(resolve, atMostMs);
      this.#wake.push(() => {
        timer.dispose();
        resolve();
      });
    });
  }

  #receive(name: DeviceName, message: DeviceMessage): void {
    const { display, signal } = this.#deps;
    // One device ends before the other, which then has something to say.
    if (signal.aborted || this.#closing) return;
    this.#kills?.onMessage(name);
    if (message.kind === "progress") {
      const { task, unit, done, total } = message;
      if (name === "A") this.#indexedByA = Math.max(this.#indexedByA, done);
      display.update({ name: `${name} ${task}`, unit, done, total });
    } else if (message.kind === "report") {
      this.#book(name, message.report);
      if (this.#recordsMove()) this.#showRecords();
    } else if (message.kind === "notice") {
      display.note(`${name} ${message.text}`);
      return;
    } else {
      // Answers wake nobody up: whoever asks waits for them anyway.
      return;
    }
    const wake = this.#wake;
    this.#wake = [];
    for (const resume of wake) resume();
  }
}

function newAccount(): Account {
  return { records: 0, plugins: [], earlier: NO_FIGURES, present: NO_FIGURES, problems: new Map() };
}

function sum(counts: Iterable<number>): number {
  let total = 0;
  for (const count of counts) total += count;
  return total;
}

function sumItems({ added, changed, moved, unchanged }: IndexResult): number {
  return added + changed + moved + unchanged;
}

/** An error in plain words: what, why, what to do. */
export function inPlainWords(error: unknown): string {
  if (isTidemarkError(error)) return `${error.what}: ${error.why}.\n${error.advice}.`;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
