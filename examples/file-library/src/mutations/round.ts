import type { DataSource } from "typeorm";
import { changeMetadata } from "./metadata-changes.js";
import { changeScratchTree } from "./scratch-changes.js";
import { SeededRandom } from "./seeded-random.js";
import { changeTags, createCommonTags } from "./tag-changes.js";

/**
 * A round of changes on one device: files of its scratch tree first, then tags and metadata. What is chosen follows from
 * the seed, the round and the library as it is. Indexing the scratch tree again is left to the caller.
 */
export interface RoundOptions {
  readonly dataSource: DataSource;
  readonly deviceId: string;
  readonly scratchRoot: string;
  /** Of the whole run; the same on both devices. */
  readonly seed: string;
  /** Names the round; the same on both devices. */
  readonly round: string;
  readonly fileChanges: number;
  readonly recordChanges: number;
  /**
   * Resolves in a later turn of the event loop. SQLite answers at once, so that without it hundreds of changes would be
   * one turn, in which nothing could arrive; people's changes are turns of their own.
   */
  readonly nextTurn: () => Promise<void>;
  readonly onProgress?: (progress: { readonly done: number; readonly total: number }) => void;
  /** Ends the round after the change that is under way: it rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

export async function makeRound(options: RoundOptions): Promise<void> {
  const { dataSource, deviceId, scratchRoot, round, fileChanges, recordChanges, nextTurn, onProgress, signal } =
    options;
  const total = fileChanges + recordChanges;
  let done = 0;
  const step = () => {
    onProgress?.({ done: ++done, total });
    signal?.throwIfAborted();
  };
  const seed = `${options.seed} ${round} ${deviceId}`;

  await changeScratchTree({
    root: scratchRoot,
    random: new SeededRandom(`${seed} files`),
    changes: fileChanges,
    onChange: step,
  });
  const context = {
    dataSource,
    deviceId,
    seed,
    own: new SeededRandom(`${seed} records`),
    common: new SeededRandom(`${options.seed} ${round} common`),
  };
  await createCommonTags(context);
  for (let i = 0; i < recordChanges; i++) {
    if (i % 3 === 2) await changeMetadata(context);
    else await changeTags(context, i);
    step();
    await nextTurn();
  }
}
