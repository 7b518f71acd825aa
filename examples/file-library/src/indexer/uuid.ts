import { createHash } from "node:crypto";
import type { Clock, Random } from "@tidemark/plugin-api";

/**
 * The two kinds of uuid (RFC 9562) that the library uses: version 5 where the same thing must get the same identity on
 * every device, version 7 for all else, because identities that grow with time are inserted several times faster.
 */

/** The uuid of `name` within `namespace` (itself a uuid). The same input gives the same uuid, everywhere. */
export function uuidV5({ namespace, name }: { readonly namespace: string; readonly name: string }): string {
  const space = Buffer.from(namespace.replaceAll("-", ""), "hex");
  const bytes = createHash("sha1").update(space).update(name, "utf8").digest().subarray(0, 16);
  return format(bytes, 5);
}

/** Makes identities that sort by the time of their making, in milliseconds. */
export function uuidV7Source({
  clock,
  random,
}: {
  readonly clock: Pick<Clock, "now">;
  readonly random: Pick<Random, "bytes">;
}): () => string {
  return () => {
    const bytes = Buffer.alloc(16);
    bytes.writeUIntBE(Math.trunc(clock.now()), 0, 6);
    bytes.set(random.bytes(10), 6);
    return format(bytes, 7);
  };
}

function format(bytes: Buffer, version: number): string {
  bytes[6] = (bytes[6]! & 0x0f) | (version << 4);
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = bytes.toString("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
