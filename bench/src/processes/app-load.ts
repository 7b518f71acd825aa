import { createHistogram, type RecordableHistogram } from "node:perf_hooks";
import type { DataSource } from "typeorm";
import { Entry, UserMetadata } from "../library/models.js";
import { SeededRandom } from "../library/random.js";
import { pause, systemClock } from "../system-clock.js";
import type { LoadFigures } from "./device-commands.js";

/**
 * An application at work: every few milliseconds it reads an entry or writes a row of metadata through TypeORM. Times
 * count from when an operation was due, so what the event loop was late is in them.
 */
const INTERVAL_MS = 7;
const NANOSECONDS = 1e6;

export class AppLoad {
  readonly #dataSource: DataSource;
  readonly #entries: number;
  readonly #random: SeededRandom;
  readonly #times: RecordableHistogram = createHistogram();
  #running = false;
  #ended: Promise<void> = Promise.resolve();
  #written: UserMetadata | null = null;

  constructor(dataSource: DataSource, { entries, seed }: { readonly entries: number; readonly seed: number }) {
    this.#dataSource = dataSource;
    this.#entries = entries;
    this.#random = new SeededRandom(seed);
  }

  start(): void {
    this.#running = true;
    this.#ended = this.#run();
    // Its failure is told by `stop`.
    this.#ended.catch(() => undefined);
  }

  async stop(): Promise<LoadFigures> {
    this.#running = false;
    await this.#ended;
    return {
      operations: this.#times.count,
      p50Ms: this.#times.percentile(50) / NANOSECONDS,
      p99Ms: this.#times.percentile(99) / NANOSECONDS,
    };
  }

  async #run(): Promise<void> {
    for (let operation = 0; this.#running; operation++) {
      const dueMs = systemClock.monotonicMs() + INTERVAL_MS;
      await pause(INTERVAL_MS);
      if (operation % 2 === 0) await this.#read();
      else await this.#write();
      this.#times.record(Math.max(1, Math.round((systemClock.monotonicMs() - dueMs) * NANOSECONDS)));
    }
  }

  async #read(): Promise<void> {
    await this.#dataSource.getRepository(Entry).findOneBy({ id: 1 + this.#random.below(this.#entries) });
  }

  async #write(): Promise<void> {
    const repository = this.#dataSource.getRepository(UserMetadata);
    if (this.#written !== null && this.#random.next() < 0.5) {
      this.#written.rating = 1 + this.#random.below(5);
    } else {
      const digits = this.#random.hex(30);
      this.#written = repository.create({
        uuid: `${digits.slice(0, 8)}-${digits.slice(8, 12)}-4${digits.slice(12, 15)}-8${digits.slice(15, 18)}-${digits.slice(18)}`,
        notes: null,
        favourite: false,
        rating: null,
      });
    }
    await repository.save(this.#written);
  }
}
