import { digestedColumns, digestRanges, digestRecords, type RecordDigest } from "../storage/digest.js";
import { loadParkedRange } from "../storage/parked.js";
import { readInCalm } from "./calm.js";
import type { LocalLibrary } from "./local-library.js";
import { MAX_RANGE_RECORDS, type MessageOf } from "./messages.js";

/**
 * The serving side of a comparison: digests of ranges, or the single records of one range, read from one snapshot in
 * slices. Of a record nothing leaves but its identity and its digest.
 */
export async function answerComparison(
  library: LocalLibrary,
  isSent: (sequence: number) => boolean,
  message: MessageOf<"digests"> | MessageOf<"list">,
): Promise<MessageOf<"digested"> | MessageOf<"listed">> {
  return message.t === "digests" ? await digested(library, isSent, message) : await listed(library, isSent, message);
}

async function digested(
  library: LocalLibrary,
  isSent: (sequence: number) => boolean,
  { request, model: name, after, records, ranges }: MessageOf<"digests">,
): Promise<MessageOf<"digested">> {
  const { registry, reader, clock } = library.deps;
  const model = registry.byName.get(name);
  if (model === undefined) return { t: "digested", request, unrest: null, columns: null, ranges: [] };
  const reading = await readInCalm(library, `comparison of ${name}`, isSent, (db) =>
    digestRanges({ db, model, reader, clock, after, records, ranges }),
  );
  return {
    t: "digested",
    request,
    unrest: reading.unrest,
    columns: [...digestedColumns(model)],
    ranges: [...(reading.value ?? [])],
  };
}

async function listed(
  library: LocalLibrary,
  isSent: (sequence: number) => boolean,
  { request, model: name, after, upTo }: MessageOf<"list">,
): Promise<MessageOf<"listed">> {
  const { registry, reader, clock } = library.deps;
  const nothing = { t: "listed", request, records: [], parked: [], upTo } as const;
  const model = registry.byName.get(name);
  if (model === undefined) return { ...nothing, unrest: null, records: [], parked: [] };
  const reading = await readInCalm(library, `list of ${name}`, isSent, async (db) => {
    const records: RecordDigest[] = [];
    let more = false;
    const take = (record: RecordDigest) => {
      more = records.length === MAX_RANGE_RECORDS;
      if (!more) records.push(record);
      return !more;
    };
    await digestRecords({ db, model, reader, clock, after, upTo, take });
    const end = more ? records[records.length - 1]![0] : upTo;
    const parked = loadParkedRange(db, model.number, after, end, MAX_RANGE_RECORDS);
    return { records, parked, end };
  });
  if (reading.unrest !== null) return { ...nothing, unrest: reading.unrest, records: [], parked: [] };
  const { records, parked, end } = reading.value;
  return {
    ...nothing,
    unrest: null,
    records: records.map(([identity, digest]): [string, string] => [identity, digest]),
    parked: [...parked].map(([identity, { kind }]): [string, typeof kind] => [identity, kind]),
    upTo: end,
  };
}
