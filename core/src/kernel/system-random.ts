// The system's randomness. The only file of the product that touches it; everybody else is given a Random.

import { randomBytes } from "node:crypto";
import type { Random } from "@tidemark/plugin-api";

/** Bytes from the system's cryptographic source; plain numbers, for jitter and the like, from the engine's own. */
export const systemRandom: Random = Object.freeze({
  next: () => Math.random(),
  bytes: (length: number) => new Uint8Array(randomBytes(length)),
});
