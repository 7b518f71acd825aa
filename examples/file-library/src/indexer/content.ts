import { createHash } from "node:crypto";
import type { ContentKind } from "../models/content-identity.js";
import type { FileSystem } from "./file-system.js";
import { uuidV5 } from "./uuid.js";

/** Reads a file once and says which content it holds. Memory does not grow with the file. */

/** The namespace of content uuids. Never change it: the uuids of all contents follow from it. */
const CONTENT_NAMESPACE = "5b6f1c0e-2f53-5d5e-9a3c-8d1f4a7e6b20";

export interface Content {
  readonly uuid: string;
  /** SHA-256 in hexadecimal. */
  readonly hash: string;
  /** In bytes, as read. */
  readonly size: number;
  readonly kind: ContentKind;
}

export async function readContent({
  fs,
  path,
  sizeHint,
  signal,
}: {
  readonly fs: FileSystem;
  readonly path: Buffer;
  readonly sizeHint: number;
  readonly signal?: AbortSignal | undefined;
}): Promise<Content> {
  const digest = createHash("sha256");
  let size = 0;
  let kind: ContentKind = "empty";
  for await (const piece of fs.read(path, sizeHint)) {
    signal?.throwIfAborted();
    if (size === 0) kind = judge(piece.subarray(0, 512));
    digest.update(piece);
    size += piece.length;
  }
  return contentOf({ hash: digest.digest("hex"), size, kind });
}

/** The content with this hash. */
export function contentOf({ hash, size, kind }: Omit<Content, "uuid">): Content {
  return { uuid: uuidV5({ namespace: CONTENT_NAMESPACE, name: hash }), hash, size, kind };
}

const SIGNATURES: readonly (readonly [hex: string, kind: ContentKind])[] = [
  ["89504e470d0a1a0a", "image"],
  ["ffd8ff", "image"],
  ["474946383", "image"],
  ["504b0304", "archive"],
  ["1f8b", "archive"],
  ["fd377a585a00", "archive"],
  ["7f454c46", "program"],
  ["cffaedfe", "program"],
  ["4d5a", "program"],
  ["0061736d", "program"],
];

function judge(head: Uint8Array): ContentKind {
  const hex = Buffer.from(head.buffer, head.byteOffset, Math.min(head.length, 8)).toString("hex");
  const known = SIGNATURES.find(([signature]) => hex.startsWith(signature));
  if (known) return known[1];
  return head.includes(0) ? "binary" : "text";
}
