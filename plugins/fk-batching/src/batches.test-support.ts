// Batches in a few words, and a stand-in for the kernel's record keys that notes what it is asked.

import type { ApplyBatch, LocalRecordKey, RecordKeys } from "@tidemark/plugin-api";

/** What the references of a batch go to: for each model, identities with the number of references. */
export function batchOf(
  targets: Readonly<Record<string, Readonly<Record<string, number>>>>,
  inBatch: Readonly<Record<string, readonly string[]>> = {},
): Pick<ApplyBatch, "id" | "peer" | "targets"> {
  return {
    id: 1,
    peer: "peer",
    targets: Object.entries(targets).map(([targetModel, references]) => ({
      targetModel,
      references: new Map(Object.entries(references)),
      inBatch: new Set(inBatch[targetModel]),
    })),
  };
}

export class FakeRecordKeys implements RecordKeys {
  /** What was asked, in order: the model, a colon, and the identities or keys. */
  readonly asked: string[] = [];
  readonly #rows: ReadonlyMap<string, ReadonlyMap<string, LocalRecordKey>>;

  /** `rows`: local keys by identity, by model. */
  constructor(rows: Readonly<Record<string, Readonly<Record<string, LocalRecordKey>>>> = {}) {
    this.#rows = new Map(Object.entries(rows).map(([model, keys]) => [model, new Map(Object.entries(keys))]));
  }

  async localKeysFor({ model, identities }: { readonly model: string; readonly identities: readonly string[] }) {
    this.asked.push(`${model}: ${identities.join(" ")}`);
    const rows = this.#rows.get(model);
    return new Map([...(rows ?? [])].filter(([identity]) => identities.includes(identity)));
  }

  async identitiesFor({ model, keys }: { readonly model: string; readonly keys: readonly LocalRecordKey[] }) {
    this.asked.push(`${model}: ${keys.join(" ")}`);
    const rows = this.#rows.get(model);
    return new Map([...(rows ?? [])].filter(([, key]) => keys.includes(key)).map(([identity, key]) => [key, identity]));
  }

  keyIsIdentity(): boolean {
    return false;
  }
}
