// A device's library without a kernel: real storage, real merge, a writer that runs each job at once, and hooks, events and
// a pace that a test can look at. For tests of what becomes of a page.

import type { AppliedBatch, ApplyBatch } from "@tidemark/plugin-api";
import { fromPhysicalMs } from "../clock/hybrid-logical-clock.js";
import type { Sqlite } from "../storage/database.js";
import { nameAllocator } from "../storage/names.js";
import { ManualClock } from "../testing/manual-clock.js";
import { Device } from "./apply.test-support.js";
import type { FoldResult } from "./fold.js";
import { LocalLibrary, type LocalLibraryDeps } from "./local-library.js";
import type { WireGroup, WireRecord, WireRecords } from "./wire-records.js";

const MAX_DRIFT_MS = 300_000;
const NOTHING_FOLDED: FoldResult = { emptied: true, entries: 0, stamps: 0, refused: [], touched: [] };

export class LibraryAlone {
  readonly device = new Device();
  readonly clock = new ManualClock();
  readonly library: LocalLibrary;
  readonly events: { readonly name: string; readonly event: unknown }[] = [];
  readonly observed: AppliedBatch[] = [];
  /** What a plugin makes of a batch; null: there is none that looks at batches. */
  transform: ((batch: ApplyBatch) => Partial<ApplyBatch>) | null = null;
  readonly slices: { readonly records: number; readonly durationMs: number }[] = [];
  sliceSize = 1_000;
  /** How often somebody has waited for room in the write-ahead log. */
  waits = 0;
  /** The transactions in their order. */
  readonly writes: string[] = [];

  constructor() {
    const { device, clock } = this;
    const numbers = nameAllocator(device.db);
    for (const { name, number, columns } of device.registry.models) {
      numbers.model(name);
      for (const column of columns) numbers.column(number, column.name);
    }
    const alone = this;
    const deps = {
      connection: device.db,
      registry: device.registry,
      reader: device.reader,
      members: device.members,
      applier: device.applier,
      clock,
      writer: {
        async run({ name, body }: { readonly name: string; readonly body: (db: Sqlite) => unknown }) {
          alone.writes.push(name);
          return device.db.transaction(() => body(device.db)).immediate();
        },
      },
      fold: { run: () => NOTHING_FOLDED },
      checkpointer: {
        async room() {
          alone.waits += 1;
        },
      },
      pacer: {
        get size() {
          return alone.sliceSize;
        },
        record: (slice: { records: number; durationMs: number }) => void this.slices.push(slice),
      },
      events: { emit: (name: string, event: unknown) => void this.events.push({ name, event }) },
      hooks: {
        get transformsBatches() {
          return alone.transform !== null;
        },
        transformBatch: async (batch: ApplyBatch) => ({
          resolutions: batch.resolutions,
          deferred: batch.deferred,
          rejected: batch.rejected,
          ...alone.transform!(batch),
        }),
        observeBatch: async (applied: AppliedBatch) => void this.observed.push(applied),
      },
      rebuildTree: (_: unknown, model: { readonly name: string }, changed: unknown) =>
        void this.rebuilt.push([model.name, changed]),
      settings: {
        clock: { maxDriftMs: MAX_DRIFT_MS },
        replication: { pageRecords: 1_000 },
        membership: { onReturn: "reissue" },
      },
    };
    this.library = new LocalLibrary(deps as unknown as LocalLibraryDeps);
  }

  readonly rebuilt: unknown[] = [];

  /** So many milliseconds beyond what clocks may be off. */
  future(ms: number): number {
    return fromPhysicalMs(this.clock.now() + MAX_DRIFT_MS + ms);
  }

  eventsOf(name: string): readonly unknown[] {
    return this.events.filter((it) => it.name === name).map(({ event }) => event);
  }

  /** The identities of a table. */
  all(table: string): unknown {
    return this.device.db.prepare(`SELECT uuid FROM ${table} ORDER BY uuid`).pluck().all();
  }

  /** The pages that are kept for later. */
  deferred(): readonly (readonly [due: number, record: string])[] {
    const rows = this.device.db.prepare("SELECT due, entry FROM tidemark_deferred ORDER BY seq").raw().all();
    return (rows as [number, string][]).map(([due, entry]) => [
      due,
      (JSON.parse(entry) as WireRecords).groups[0]!.r[0]![0],
    ]);
  }
}

/** Places of the origins in pages. */
export const B = 0;
export const C = 1;

/** A page of records of one model or several; stamps name members by {@link B} and {@link C}. */
export function pageOf(...groups: readonly WireGroup[]): WireRecords {
  return {
    origins: [
      ["origin-2", "b", "b"],
      ["origin-3", "c", "c"],
    ],
    groups,
  };
}

export const folders = (...r: readonly WireRecord[]) => ({ m: "folder", c: ["name", "parent_id"], r });
export const files = (...r: readonly WireRecord[]) => ({ m: "file", c: ["name", "size", "folder_id"], r });

/** A whole folder that was made then. */
export function folder(identity: string, hlc: number, parent: string | null = null, origin = B): WireRecord {
  return [identity, [hlc, origin], [], [], 0, [`folder ${identity}`, parent]];
}

/** Another name of a folder. */
export function renamed(identity: string, hlc: number, name: string, origin = B): WireRecord {
  return [identity, [], [], [0, hlc, origin], [0], [name]];
}

export function deleted(identity: string, hlc: number, origin = B): WireRecord {
  return [identity, [], [hlc, origin], [], [], []];
}
