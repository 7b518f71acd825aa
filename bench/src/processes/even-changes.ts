import type { DataSource } from "typeorm";
import { UserMetadata } from "../library/models.js";
import { machineMs, pause, systemClock } from "../system-clock.js";
import type { EvenChanges } from "./device-commands.js";

/** Rows that are written one by one at an even pace on one device and noted on the other, to see how long each takes. */
const RATING = 6;

/** Each row in a transaction of its own, through TypeORM; when it was committed. */
export async function writeEvenly(
  dataSource: DataSource,
  { changes, perSecond }: EvenChanges,
): Promise<readonly number[]> {
  const repository = dataSource.getRepository(UserMetadata);
  const atMs: number[] = [];
  const startedMs = systemClock.monotonicMs();
  while (atMs.length < changes) {
    const due = Math.min(changes, Math.floor(((systemClock.monotonicMs() - startedMs) * perSecond) / 1_000));
    while (atMs.length < due) {
      const uuid = `10000000-0000-4000-8000-${String(atMs.length).padStart(12, "0")}`;
      await repository.insert({ uuid, notes: String(atMs.length), favourite: false, rating: RATING });
      atMs.push(machineMs());
    }
    await pause(1);
  }
  return atMs;
}

/** Notes when such rows appear. `look` is to be called right after each batch that was applied. */
export class ChangeWatch {
  readonly #dataSource: DataSource;
  readonly #atMs = new Map<number, number>();
  #lastId = 0;
  #looking: Promise<void> = Promise.resolve();

  private constructor(dataSource: DataSource, lastId: number) {
    this.#dataSource = dataSource;
    this.#lastId = lastId;
  }

  static async begin(dataSource: DataSource): Promise<ChangeWatch> {
    const [row] = await dataSource.query<{ last: number | null }[]>('SELECT max("id") AS last FROM "user_metadata"');
    return new ChangeWatch(dataSource, row?.last ?? 0);
  }

  look(): void {
    const atMs = machineMs();
    this.#looking = this.#looking.then(async () => {
      const sql = `SELECT "id", "notes" FROM "user_metadata" WHERE "id" > ? AND "rating" = ${RATING} ORDER BY "id"`;
      const rows = await this.#dataSource.query<{ id: number; notes: string }[]>(sql, [this.#lastId]);
      for (const { id, notes } of rows) {
        this.#lastId = id;
        this.#atMs.set(Number(notes), atMs);
      }
    });
  }

  async noted(changes: number): Promise<readonly (number | null)[]> {
    await this.#looking;
    return Array.from({ length: changes }, (_, change) => this.#atMs.get(change) ?? null);
  }
}
