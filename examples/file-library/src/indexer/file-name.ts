import { isUtf8 } from "node:buffer";

/**
 * Names as a file system has them: bytes, not text. A name that is not valid UTF-8 keeps its bytes beside a readable
 * form, so that two such names never become one.
 */
export interface FileName {
  /** For people; what can't be decoded reads U+FFFD. */
  readonly name: string;
  /** The bytes on disk, only where `name` does not say them exactly. */
  readonly nameBytes: Buffer | null;
}

export function decodeFileName(bytes: Buffer): FileName {
  return { name: bytes.toString("utf8"), nameBytes: isUtf8(bytes) ? null : Buffer.from(bytes) };
}

export function encodeFileName({ name, nameBytes }: FileName): Buffer {
  return nameBytes ?? Buffer.from(name, "utf8");
}

/** A map key for raw name bytes: one character a byte, so no two names share a key. */
export function nameKey(bytes: Buffer): string {
  return bytes.toString("latin1");
}

const SEPARATOR = Buffer.from("/");

export function joinPath(directory: Buffer, name: Buffer): Buffer {
  return directory.length === 0 ? name : Buffer.concat([directory, SEPARATOR, name]);
}

/** For messages. */
export function printablePath(path: Buffer): string {
  return path.toString("utf8");
}
