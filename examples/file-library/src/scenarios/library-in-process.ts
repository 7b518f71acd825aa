import { join } from "node:path";
import {
  createTestKernel,
  InMemoryNetwork,
  ManualClock,
  SeededRandom,
  type TestKernel,
  type TestKernelOptions,
} from "@tidemark/core/testing";
import type { AnyPlugin, Clock } from "@tidemark/plugin-api";
import type { DataSource } from "typeorm";
import { independentDigest } from "../demo/independent-digest.js";
import { modelNameOf } from "../demo/model-names.js";
import { registerDevice } from "../indexer/location-registry.js";
import { fileLibraryEntities, fileLibraryModels } from "../models/registration.js";
import { remedies } from "./all-plugins.js";
import type { ReferenceStatements } from "./reference-statements.js";

/**
 * Devices of one library in one process, with real kernels on real files: a network in memory and a clock that the scenario
 * moves, so that hours pass in a moment.
 */
export interface LibraryOptions {
  readonly workDirectory: string;
  readonly seed: number;
  /** Real time, for what the moved clock knows nothing of: threads and files. */
  readonly realClock: Clock;
}

export interface InProcessOptions {
  readonly dial?: readonly string[];
  readonly plugins?: readonly AnyPlugin[];
  readonly settings?: TestKernelOptions["settings"];
  /** As of the data source: is given every connection to the database. */
  readonly prepareDatabase?: ReferenceStatements["prepareDatabase"];
}

export interface InProcessDevice extends TestKernel {
  readonly name: string;
}

/** To look for other processes and to take samples would be most of what a library does in hours in which nothing happens. */
const SETTINGS = {
  storage: { pollMs: 3_600_000 },
  plugins: { metrics: { settings: { sampleMs: 600_000 } } },
} as const;
const STEP_MS = 1_000;
const PASSING_STEP_MS = 60_000;
/** Steps of the clock within which something that waits for nobody must have come to pass: 50 minutes. */
const MOST_STEPS = 3_000;
/** How long the threads and files of a backfill may take in real time. */
const BACKFILL_MS = 300_000;

export class LibraryInProcess {
  readonly clock = new ManualClock();
  readonly network: InMemoryNetwork;
  readonly random: SeededRandom;
  readonly #options: LibraryOptions;
  readonly #devices = new Set<InProcessDevice>();

  constructor(options: LibraryOptions) {
    this.#options = options;
    this.random = new SeededRandom(options.seed);
    this.network = new InMemoryNetwork({ clock: this.clock, random: new SeededRandom(options.seed), redialMs: 30_000 });
  }

  /** Starts a device: the first time on an empty database, later on what it has left. Founds the library if it dials nobody. */
  async start(
    name: string,
    { dial = [], plugins = remedies, settings = {}, prepareDatabase }: InProcessOptions = {},
  ): Promise<InProcessDevice> {
    const kernel = await createTestKernel({
      device: name,
      entities: fileLibraryEntities,
      declarations: fileLibraryModels,
      clock: this.clock,
      random: new SeededRandom(this.#options.seed * 1_000 + name.charCodeAt(0)),
      network: this.network,
      dial,
      database: join(this.#options.workDirectory, `${name}.sqlite`),
      plugins,
      settings: { ...SETTINGS, ...settings, plugins: { ...SETTINGS.plugins, ...settings.plugins } },
      ...(prepareDatabase !== undefined && { dataSourceOptions: { prepareDatabase } as object }),
    });
    const device: InProcessDevice = { ...kernel, name };
    this.#devices.add(device);
    await kernel.tidemark.start();
    await registerDevice({ dataSource: kernel.dataSource, deviceId: name, name: `Device ${name}` });
    return device;
  }

  async stop(device: InProcessDevice): Promise<void> {
    this.#devices.delete(device);
    await device.dispose();
  }

  /** Lets time pass until it holds, in steps; in very small ones during a backfill, of whose work the clock knows nothing. */
  async until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
    if (!(await this.comesToPass(holds))) throw new Error(`it did not come to pass that ${what}`);
  }

  /** The same; false if it does not hold after a long time. */
  async comesToPass(holds: () => boolean | Promise<boolean>): Promise<boolean> {
    for (let step = 0; step < MOST_STEPS; step++) {
      if (await holds()) return true;
      await this.#calm();
      await this.clock.advance(STEP_MS);
    }
    return false;
  }

  /** Lets time pass until all of them are idle and hold the same; false if they don't come to that. */
  comeInStep(...devices: readonly InProcessDevice[]): Promise<boolean> {
    return this.comesToPass(async () => {
      const states = await Promise.all(devices.map(({ tidemark }) => tidemark.status()));
      if (!states.every(({ origin, backfill, outbox }) => origin !== null && backfill === null && outbox === 0)) {
        return false;
      }
      const digests = await Promise.all(devices.map(digestsOf));
      return new Set(digests.map((digest) => JSON.stringify(digest))).size === 1;
    });
  }

  /** Lets so much time pass. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= PASSING_STEP_MS) {
      await this.#calm();
      await this.clock.advance(Math.min(PASSING_STEP_MS, left));
    }
  }

  async dispose(): Promise<void> {
    for (const device of [...this.#devices].reverse()) await this.stop(device);
  }

  /** Resolves when no device is in the midst of a backfill with a peer that it is connected to. */
  async #calm(): Promise<void> {
    const { realClock } = this.#options;
    const startedMs = realClock.monotonicMs();
    while ([...this.#devices].some(isBackfilling)) {
      if (realClock.monotonicMs() - startedMs > BACKFILL_MS) throw new Error("a backfill does not come to its end");
      // Frames travel by the one clock, threads and files work by the other.
      await this.clock.advance(1);
      await new Promise<void>((resolve) => void realClock.setTimeout(resolve, 1));
    }
  }
}

/** By Tidemark's digests and by plain SQL over identities, so that the engine does not judge itself. */
export async function digestsOf({ tidemark, dataSource }: InProcessDevice): Promise<Readonly<Record<string, unknown>>> {
  const digests: Record<string, unknown> = {};
  for (const metadata of dataSource.entityMetadatas) {
    const name = modelNameOf(metadata);
    digests[name] = [(await tidemark.digest(name)).digest, await independentDigest(dataSource, metadata)];
  }
  return digests;
}

export async function countRows(dataSource: DataSource, table: string): Promise<number> {
  const [row] = await dataSource.query<{ n: number }[]>(`SELECT count(*) AS n FROM "${table}"`);
  return row!.n;
}

/** Between the beginning of a backfill and its end, be it good or bad; while it waits for its next try, time may pass. */
function isBackfilling({ recorded }: InProcessDevice): boolean {
  for (let index = recorded.length - 1; index >= 0; index--) {
    switch (recorded[index]!.name) {
      case "backfillStarted":
      case "backfillProgress":
        return true;
      case "backfillCompleted":
      case "catchUpFailed":
      case "peerDisconnected":
        return false;
    }
  }
  return false;
}
