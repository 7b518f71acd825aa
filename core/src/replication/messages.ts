import type { ParkedKind } from "@tidemark/plugin-api";
import { z } from "zod";
import { isIdentity } from "../registry/identity-form.js";
import { REMOVAL_KINDS } from "../storage/members.js";
import { replicationErrors } from "./errors.js";
import { WITH_BYTES } from "./message-forms.js";
import type { HeardIdentities, Note, ToldIdentities } from "./told-identities.js";
import { ByteReader, packBlock, unpackBlock } from "./wire-block.js";
import type { WireGroup } from "./wire-records.js";

/**
 * What two devices say to each other: JSON, one message a frame. The shape of every message is validated here; what is in
 * its records is validated by `decode-records.ts` before it is used.
 *
 * Order of a session: both sides send `challenge`, `proof` and `hello`; a device that is not a member asks to `join`.
 * Then each side that has to catch up sends `pull` and is streamed pages for as long as the session lasts, or asks for
 * the pages of a backfill.
 */
export const PROTOCOL_VERSION = 1;

/** Bounds of ranges in one answer. */
export const MAX_BOUNDS = 1_000;

/** Of a comparison: the largest range that is digested or listed as one, and how many of them one answer holds. */
export const MAX_RANGE_RECORDS = 1_000;
export const MAX_RANGES = 64;
/** Stands before an origin id where a vector says what its owner knew of a removal. */
export const REMOVAL_MARK = "!";
/** Of members, of removals, and of origins in a vector. */
const MAX_MEMBERS = 10_000;

const id = z.string().min(1).max(512);
/** What names an origin or a device: it ends up in keys and in log lines. */
const name = id.refine(isIdentity, "is no identity");
const origin = name.refine((value) => !value.startsWith(REMOVAL_MARK), "is no origin id");
const text = z.string().max(2_048);
const hlc = z.int().min(0);
const count = z.int().min(0);
const base64 = z.string().max(1_024);

/** Origin id → time; marked origin id → what is known of its removal. */
const vector = z
  .record(z.string().min(1).max(513), hlc)
  .refine((entries) => Object.keys(entries).length <= 2 * MAX_MEMBERS, "has too many entries");

const removal = z.strictObject({
  origin,
  deviceId: name,
  name: z.string().max(512),
  kind: z.enum(REMOVAL_KINDS),
  hlc,
  by: origin,
});
const removals = z.array(removal).max(MAX_MEMBERS);

const member = z.strictObject({
  origin,
  deviceId: name,
  name: z.string().max(512),
  joinHlc: hlc,
  sponsor: id.nullable(),
});

/** Why a comparison must wait: see `calm.ts`. */
export const UNREST = ["unfolded", "unsent", "unsettled"] as const;
const unrest = z.enum(UNREST).nullable();

const parkedKind = z.enum(["hidden", "quarantined", "deferred", "dead", "foreign"] satisfies ParkedKind[]);

/** Checked in depth by `checkWireRecords`. */
const records = z.strictObject({ origins: z.array(z.unknown()), groups: z.array(z.unknown()) });

const messages = z.discriminatedUnion("t", [
  z.strictObject({ t: z.literal("challenge"), version: z.int(), library: id, method: id, nonce: base64 }),
  z.strictObject({ t: z.literal("proof"), proof: base64 }),
  z.strictObject({
    t: z.literal("hello"),
    deviceId: name,
    name: z.string().max(512),
    /** Null while the device is not a member. */
    origin: origin.nullable(),
    /** Milliseconds since the epoch, for the comparison of clocks. */
    now: z.number(),
    /** Whether it has the whole library and serves it. */
    ready: z.boolean(),
    members: z.array(member).max(MAX_MEMBERS),
    /** Who is no member any more. They count before all else. */
    removals,
    vector,
    /** At or below it nothing carries a stamp: older readers need a snapshot. */
    floor: hlc,
    logId: id,
    token: count,
    /** Model → fingerprint of its columns. */
    schema: z.record(id, z.string().max(64)),
  }),
  z.strictObject({
    t: z.literal("join"),
    deviceId: name,
    name: z.string().max(512),
    /** What it will be: made by itself, the same whomever it asks. */
    origin,
    /** Its former origin, which was removed, if it comes back to issue again what that one had not got out. */
    replaces: origin.nullable(),
  }),
  z.strictObject({ t: z.literal("joined"), origin, members: z.array(member).max(MAX_MEMBERS), hlc, settled: vector }),
  /** The device has become ready to serve since its hello. */
  z.strictObject({ t: z.literal("ready") }),
  /** Stream me your log from this position in it; I have what the vector says. */
  z.strictObject({ t: z.literal("pull"), logId: id, position: count, vector }),
  z.strictObject({
    t: z.literal("page"),
    n: count,
    records,
    position: count,
    end: z
      .strictObject({ vector, members: z.array(member).max(MAX_MEMBERS), removals, vectors: z.record(id, vector) })
      .nullable(),
  }),
  /** Somebody has been removed since the hello. */
  z.strictObject({ t: z.literal("removals"), removals }),
  /** The page is applied and committed. */
  z.strictObject({ t: z.literal("applied"), n: count }),
  z.strictObject({ t: z.literal("snapshot-required"), floor: hlc }),
  z.strictObject({ t: z.literal("backfill") }),
  z.strictObject({
    t: z.literal("backfill-plan"),
    vector,
    floor: hlc,
    totals: z.record(id, count),
    members: z.array(member).max(MAX_MEMBERS),
  }),
  z.strictObject({
    t: z.literal("backfill-page"),
    request: count,
    model: id,
    after: id.nullable(),
    /** Null: to the end of the model. */
    upTo: id.nullable().default(null),
    limit: z.int().min(1).max(10_000),
    /** The page ends early where it would be longer, unless it holds a single record. */
    maxBytes: z.int().min(1_024).optional(),
  }),
  z.strictObject({
    t: z.literal("backfill-rows"),
    request: count,
    records,
    /** The range that the page covers ends here, at what was asked for or before it; null: at the end of the model. */
    upTo: id.nullable(),
    floor: hlc,
  }),
  /** Where can this range be divided: the identity of every so many records in it, at most `limit` of them? */
  z.strictObject({
    t: z.literal("backfill-survey"),
    request: count,
    model: id,
    after: id.nullable(),
    upTo: id.nullable(),
    every: z.int().min(1).max(10_000),
    limit: z.int().min(1).max(MAX_BOUNDS),
  }),
  z.strictObject({ t: z.literal("backfill-bounds"), request: count, bounds: z.array(id).max(MAX_BOUNDS) }),
  z.strictObject({ t: z.literal("fetch"), request: count, model: id, records: z.array(id).max(10_000) }),
  z.strictObject({
    t: z.literal("fetched"),
    request: count,
    records,
    absent: z.array(id).max(10_000),
    /** Stamps up to here are forgotten by whom the records come from. */
    floor: hlc,
  }),
  /** Compare: digests of up to `ranges` ranges of so many records each, from behind an identity. */
  z.strictObject({
    t: z.literal("digests"),
    request: count,
    model: id,
    after: id.nullable(),
    records: z.int().min(1).max(MAX_RANGE_RECORDS),
    ranges: z.int().min(1).max(MAX_RANGES),
  }),
  z.strictObject({
    t: z.literal("digested"),
    request: count,
    unrest,
    /** The names that are digested; null where the model is not known. */
    columns: z.array(z.string().max(512)).max(10_000).nullable(),
    ranges: z.array(z.strictObject({ upTo: id.nullable(), rows: count, digest: id.max(64) })).max(MAX_RANGES),
  }),
  /** Compare: the single records of a range. */
  z.strictObject({ t: z.literal("list"), request: count, model: id, after: id.nullable(), upTo: id.nullable() }),
  z.strictObject({
    t: z.literal("listed"),
    request: count,
    unrest,
    records: z.array(z.tuple([id, id.max(64)])).max(MAX_RANGE_RECORDS),
    /** Records of the range that are not in their table there, and why. */
    parked: z.array(z.tuple([id, parkedKind])).max(MAX_RANGE_RECORDS),
    /** The list ends here, at the end of what was asked for or before. */
    upTo: id.nullable(),
  }),
  /** A request can't be answered now. */
  z.strictObject({ t: z.literal("refused"), request: count.nullable(), code: z.string().max(128), reason: text }),
  z.strictObject({
    t: z.literal("bye"),
    code: z.string().max(128),
    reason: text,
    /** When the side that dials may try again; null: never. */
    retryMs: z.number().min(0).nullable(),
  }),
]);

export type Message = z.infer<typeof messages>;
export type MessageOf<T extends Message["t"]> = Extract<Message, { t: T }>;
export type WireMember = z.infer<typeof member>;
export type WireRemoval = z.infer<typeof removal>;
export type WireVector = z.infer<typeof vector>;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** The leading byte, and the length of the JSON in four, big-endian. */
const HEAD_BYTES = 5;

/** Of a page of a backfill: what its blocks may name by number, and how each is marked whose identities are counted. */
export interface BlockNumbers {
  readonly told: ToldIdentities;
  readonly mark: (group: WireGroup) => Note | null;
}

export function encodeMessage(message: Message, numbers?: BlockNumbers): Uint8Array {
  if (message.t !== "backfill-rows") return encoder.encode(JSON.stringify(message));
  const bytes: Uint8Array[] = [];
  const groups = (message.records.groups as readonly WireGroup[]).map((group) =>
    group.k === undefined
      ? group
      : { ...group, k: packBlock(group.k, bytes, numbers && { told: numbers.told, mark: numbers.mark(group) }) },
  );
  const json = encoder.encode(JSON.stringify({ ...message, records: { ...message.records, groups } }));
  if (bytes.length === 0) return json;
  const head = Buffer.alloc(HEAD_BYTES);
  head[0] = WITH_BYTES;
  head.writeUInt32BE(json.length, 1);
  return Buffer.concat([head, json, ...bytes]);
}

/** Throws `TIDEMARK_WIRE_MALFORMED` for anything that is not a message. `heard` goes along with the messages of a session. */
export function decodeMessage(frame: Uint8Array, heard?: HeardIdentities): Message {
  const [json, bytes] = frame[0] === WITH_BYTES ? withBytes(frame) : [frame, frame.subarray(frame.length)];
  let parsed: unknown;
  try {
    parsed = JSON.parse(decoder.decode(json));
  } catch {
    throw replicationErrors.malformed({ reason: "a frame is not JSON in UTF-8" });
  }
  const result = messages.safeParse(parsed);
  if (!result.success) {
    const issue = result.error.issues[0];
    throw replicationErrors.malformed({
      reason: `${issue?.path.join(".") || "a message"}: ${issue?.message ?? "is not one that is known"}`,
    });
  }
  const message = result.data;
  const reader = new ByteReader(bytes);
  if (message.t === "backfill-rows") {
    message.records.groups = message.records.groups.map((group) => unpackGroup(group, reader, heard));
  }
  if (!reader.ended) throw replicationErrors.malformed({ reason: "bytes that nothing in the message names" });
  return message;
}

function withBytes(frame: Uint8Array): readonly [json: Uint8Array, bytes: Uint8Array] {
  const view = Buffer.from(frame.buffer, frame.byteOffset, frame.length);
  const end = view.length < HEAD_BYTES ? Number.POSITIVE_INFINITY : HEAD_BYTES + view.readUInt32BE(1);
  if (end > view.length) throw replicationErrors.malformed({ reason: "a message is shorter than it says" });
  return [view.subarray(HEAD_BYTES, end), view.subarray(end)];
}

function unpackGroup(group: unknown, reader: ByteReader, heard: HeardIdentities | undefined): unknown {
  if (typeof group !== "object" || group === null || !("k" in group)) return group;
  return { ...group, k: unpackBlock(group.k, reader, heard) };
}
