import { randomBytes } from "node:crypto";
import type { Random } from "@tidemark/plugin-api";

/** The system's chance: part of the composition root. */
export const systemRandom: Random = {
  next: () => randomBytes(4).readUInt32BE() / 2 ** 32,
  bytes: (length) => randomBytes(length),
};
