import { type IdentityKind, IdentityMaker } from "./identities.js";
import { SeededRandom } from "./random.js";

/**
 * The rows of the large library, in the order in which an application would have created them, with local keys counted
 * from 1. For N entries there are N/2 content identities, N/10 rows of metadata, and three locations; each entry refers
 * to one of each. The same N and kind of identities give the same rows, always.
 */
export interface DatasetOptions {
  readonly entries: number;
  readonly ids: IdentityKind;
}

/** The columns of a table in the order of a row's values. */
export const TABLES = {
  device: ["id", "uuid", "name"],
  location: ["id", "uuid", "name", "deviceId"],
  content_identity: ["id", "uuid", "hash", "kind", "size"],
  user_metadata: ["id", "uuid", "notes", "favourite", "rating"],
  entry: ["id", "uuid", "name", "kind", "size", "mtimeUs", "locationId", "contentId", "metadataId"],
} as const;

export type TableName = keyof typeof TABLES;
/** As it is bound: integers as BigInt, because better-sqlite3 binds numbers as REAL. */
export type Row = readonly (string | bigint | null)[];
/** In the order in which they can be inserted with foreign keys on. */
export type Dataset = Readonly<Record<TableName, readonly Row[]>>;

export const LARGE_LIBRARY = 182_530;
/** The device that the locations belong to. */
export const FIRST_DEVICE = "00000000-0000-4000-8000-00000000000a";

const SEED = 5;
const LOCATIONS = 3;
const ENTRIES_PER_METADATA = 10;
const KINDS = ["image", "video", "document", "archive", "text", "audio"] as const;
const ENDINGS = { image: "jpg", video: "mp4", document: "pdf", archive: "zip", text: "txt", audio: "flac" } as const;
const WORDS =
  "harbour winter invoice draft notes garden concert report summer backup meeting train recipe letter sketch island budget market choir lesson".split(
    " ",
  );
const FIRST_MTIME_US = Date.UTC(2019, 3, 1) * 1_000;

export function makeDataset({ entries, ids }: DatasetOptions): Dataset {
  const random = new SeededRandom(SEED);
  const identities = new IdentityMaker(ids, random);
  const device: Row[] = [[1n, FIRST_DEVICE, "Desk"]];
  const location: Row[] = [];
  for (let index = 0; index < LOCATIONS; index++) {
    location.push([BigInt(index + 1), identities.next(), WORDS[index]!, 1n]);
  }
  const contents: Row[] = [];
  const metadata: Row[] = [];
  const rows: Row[] = [];
  for (let index = 0; index < entries; index++) {
    // Every second file has a content that was there before.
    const known = index % 2 === 1;
    if (!known) contents.push(makeContent(contents.length, identities, random));
    if (index % ENTRIES_PER_METADATA === 0) metadata.push(makeMetadata(metadata.length, identities, random));
    const content = known ? random.below(contents.length) : contents.length - 1;
    const kind = random.pick(KINDS);
    rows.push([
      BigInt(index + 1),
      identities.next(),
      `${random.pick(WORDS)} ${random.pick(WORDS)} ${random.below(10_000)}.${ENDINGS[kind]}`,
      kind,
      contents[content]![4]!,
      BigInt(FIRST_MTIME_US) + BigInt(random.below(2 ** 31)) * 86_400n + BigInt(random.below(1_000_000)),
      BigInt(random.below(LOCATIONS) + 1),
      BigInt(content + 1),
      BigInt(metadata.length),
    ]);
  }
  return { device, location, content_identity: contents, user_metadata: metadata, entry: rows };
}

export function rowCount(dataset: Dataset): number {
  return Object.values(dataset).reduce((sum, rows) => sum + rows.length, 0);
}

function makeContent(index: number, identities: IdentityMaker, random: SeededRandom): Row {
  return [
    BigInt(index + 1),
    identities.next(),
    random.hex(16),
    random.pick(KINDS),
    BigInt(Math.floor(10 ** (2 + random.next() * 6))),
  ];
}

function makeMetadata(index: number, identities: IdentityMaker, random: SeededRandom): Row {
  const words = random.next() < 0.5 ? 0 : 3 + random.below(9);
  const notes = Array.from({ length: words }, () => random.pick(WORDS)).join(" ");
  return [
    BigInt(index + 1),
    identities.next(),
    words === 0 ? null : notes,
    random.next() < 0.1 ? 1n : 0n,
    random.next() < 0.5 ? null : BigInt(1 + random.below(5)),
  ];
}
