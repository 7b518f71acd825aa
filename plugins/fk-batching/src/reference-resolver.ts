// The service that translates between identities and local keys in bulk: duplicates are asked once, long lists in chunks
// one after the other, so that it never holds more than one connection at a time for a caller. It keeps nothing of what
// it found: an answer is true at the moment of its query, and only then.

import { createServiceToken, type LocalRecordKey, type RecordKeys } from "@tidemark/plugin-api";
import type { ResolverCounts } from "./resolver-counts.js";

/** What became of the look-up of one identity. */
export type LocalKeyOutcome =
  | { readonly kind: "found"; readonly localKey: LocalRecordKey }
  /** No row has this identity, now. */
  | { readonly kind: "missing"; readonly identity: string };

/** What the plugin has done since the kernel started. */
export interface ResolverStats {
  /** Batches that had references to resolve. */
  readonly batches: number;
  /** References of those batches that were resolved, as found or as missing. */
  readonly references: number;
  /** Of these, how many had no target here. */
  readonly missing: number;
  /** Queries, those of apps and other plugins included. */
  readonly queries: number;
  /**
   * Look-ups that the kernel did not have to make: the resolved references whose target was not in the same batch. A lower
   * bound, since the kernel looks into another slice of the same batch too.
   */
  readonly lookupsSaved: number;
  /** References that were left to the kernel, because their query failed or took too long. */
  readonly leftToKernel: number;
}

/** Translates between identities and local keys, many at a time. */
export interface ReferenceResolver {
  /**
   * The local keys behind identities of one model: an outcome for each of them. One query per chunk. Rejects with
   * `TIDEMARK_UNKNOWN_MODEL`, and with what the pool throws when no connection can be had.
   */
  localKeysFor(request: {
    /** Wire name. */
    readonly model: string;
    readonly identities: readonly string[];
  }): Promise<ReadonlyMap<string, LocalKeyOutcome>>;
  /**
   * The identities behind local keys of one model; a key without a row is absent from the map. One query per chunk.
   * Rejects as `localKeysFor` does.
   */
  identitiesFor(request: {
    /** Wire name. */
    readonly model: string;
    readonly keys: readonly LocalRecordKey[];
  }): Promise<ReadonlyMap<LocalRecordKey, string>>;
  /** Counts since the kernel started. */
  stats(): ResolverStats;
}

/** The service of the plugin fk-batching, for apps and other plugins. */
export const referenceResolver = createServiceToken<ReferenceResolver>("fk-batching.resolver");

export class ChunkedResolver implements ReferenceResolver {
  readonly #recordKeys: RecordKeys;
  readonly #chunkRecords: number;
  readonly #counts: ResolverCounts;

  constructor({
    recordKeys,
    chunkRecords,
    counts,
  }: {
    readonly recordKeys: RecordKeys;
    readonly chunkRecords: number;
    readonly counts: ResolverCounts;
  }) {
    this.#recordKeys = recordKeys;
    this.#chunkRecords = chunkRecords;
    this.#counts = counts;
  }

  async localKeysFor({
    model,
    identities,
  }: {
    readonly model: string;
    readonly identities: readonly string[];
  }): Promise<ReadonlyMap<string, LocalKeyOutcome>> {
    const outcomes = new Map<string, LocalKeyOutcome>();
    for (const chunk of this.#chunks(identities)) {
      this.#counts.queried();
      const keys = await this.#recordKeys.localKeysFor({ model, identities: chunk });
      for (const identity of chunk) {
        const localKey = keys.get(identity);
        outcomes.set(identity, localKey === undefined ? { kind: "missing", identity } : { kind: "found", localKey });
      }
    }
    return outcomes;
  }

  async identitiesFor({
    model,
    keys,
  }: {
    readonly model: string;
    readonly keys: readonly LocalRecordKey[];
  }): Promise<ReadonlyMap<LocalRecordKey, string>> {
    const identities = new Map<LocalRecordKey, string>();
    for (const chunk of this.#chunks(keys)) {
      this.#counts.queried();
      for (const [key, identity] of await this.#recordKeys.identitiesFor({ model, keys: chunk })) {
        identities.set(key, identity);
      }
    }
    return identities;
  }

  stats(): ResolverStats {
    return this.#counts.stats();
  }

  *#chunks<T>(items: readonly T[]): Generator<readonly T[]> {
    const distinct = [...new Set(items)];
    for (let from = 0; from < distinct.length; from += this.#chunkRecords) {
      yield distinct.slice(from, from + this.#chunkRecords);
    }
  }
}
