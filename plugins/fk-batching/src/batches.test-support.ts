// Batches in a few words, and a stand-in for the kernel's record keys that notes what it is asked.

import type {
  ApplyBatch,
  LocalRecordKey,
  Operation,
  OperationReference,
  RecordKeys,
  ReferenceResolution,
} from "@tidemark/plugin-api";

export function reference(
  column: string,
  targetModel: string,
  identity: string,
  resolution?: ReferenceResolution,
): OperationReference {
  return { column, targetModel, identity, required: true, ...(resolution !== undefined && { resolution }) };
}

export function batchOf(...operations: readonly (Partial<Operation> & Pick<Operation, "record">)[]): ApplyBatch {
  return {
    id: 1,
    peer: "peer",
    phase: "live",
    operations: operations.map((operation, index) => ({
      id: index * 7,
      model: "Entry",
      kind: "upsert",
      values: {},
      references: [],
      ...operation,
    })),
    deferred: [],
    rejected: [],
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
