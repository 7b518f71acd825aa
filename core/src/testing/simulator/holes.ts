// Looks for holes: a vector says that something is had, and it is not. Whatever stands in the end and is covered by a
// device's vector must be in its log, or superseded there, or below its floor, or kept for later.

import type { Sqlite } from "../../storage/database.js";
import { entryOf } from "./commit-watch.js";
import type { SimulatedDevice } from "./device.js";
import { isLater, type WriteStamp } from "./ledger.js";
import { modelsOf } from "./library-model.js";
import { Violation } from "./trace.js";
import type { World } from "./world.js";

/** What the log of a device says of one record: stamps by column name; `""` is the birth or the whole row. */
type Logged = ReadonlyMap<string, WriteStamp>;

export function checkHoles(world: World): void {
  for (const device of world.running) {
    const { knowledge } = device.watch;
    if (knowledge === null || !knowledge.ready || device.watch.isBehindItself) continue;
    const logged = logOf(device, device.disk.writer!);
    const expected = world.ledger.merged(modelsOf(device.schema));
    for (const [model, records] of expected) {
      for (const [record, { visible, standing }] of records) {
        if (!visible) continue;
        const log = logged.get(`${model} ${record}`);
        // Kept as it came, for the time at which it may be merged.
        if (log?.has("later")) continue;
        for (const [column, { stamp }] of standing) {
          if (stamp === null || stamp.hlc <= knowledge.floor || stamp.hlc > entryOf(knowledge, stamp.origin)) continue;
          const here = [log?.get(column), log?.get("")].filter((it) => it !== undefined);
          if (here.some((it) => !isLater(stamp, it))) continue;
          throw new Violation(
            "no vector passes a hole",
            `${device.name} counts ${model} ${record}.${column} at ${stamp.hlc} of ${stamp.origin} as had, and has ${here.map(({ hlc }) => hlc).join(", ") || "nothing"}`,
          );
        }
      }
    }
  }
}

function logOf({ disk }: SimulatedDevice, db: Sqlite): ReadonlyMap<string, Logged> {
  const rows = disk
    .prepareUnseen(
      db,
      `SELECT m.name AS model, s.record, s.col, ifnull(c.name, '') AS name, s.hlc, o.origin
       FROM tidemark_stamp s JOIN tidemark_model m ON m.num = s.model JOIN tidemark_member o ON o.num = s.origin
       LEFT JOIN tidemark_column c ON c.model = s.model AND c.num = s.col`,
    )
    .all() as { model: string; record: string; name: string; hlc: number; origin: string }[];
  const logged = new Map<string, Map<string, WriteStamp>>();
  const of = (key: string) => {
    const log = logged.get(key) ?? new Map<string, WriteStamp>();
    logged.set(key, log);
    return log;
  };
  for (const { model, record, name, hlc, origin } of rows) {
    const log = of(`${model} ${record}`);
    const known = log.get(name);
    // Births, deaths and stamps of whole rows go under one name: the latest counts.
    if (known === undefined || isLater({ hlc, origin }, known)) log.set(name, { hlc, origin });
  }
  const entries = disk.prepareUnseen(db, "SELECT entry FROM tidemark_deferred").pluck().all() as string[];
  for (const entry of entries) {
    const { groups } = JSON.parse(entry) as { groups: readonly { m: string; r: readonly [string][] }[] };
    for (const { m, r } of groups) for (const [record] of r) of(`${m} ${record}`).set("later", { hlc: 0, origin: "" });
  }
  return logged;
}
