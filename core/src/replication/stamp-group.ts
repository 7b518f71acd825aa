import type { SyncModel } from "../registry/model.js";

/** Under which number the stamp of a column is kept: its own, or 0 where the whole row of a device-owned record has one. */
export function stampGroup(model: SyncModel, column: number): number {
  return model.ownership.kind === "device" ? 0 : column;
}
