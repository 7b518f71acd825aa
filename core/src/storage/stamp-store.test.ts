import Database from "better-sqlite3";
import { expect, it, onTestFinished } from "vitest";
import { ANY_ORIGIN, isLiving, type RecordState, type Stamp, UNSTAMPED } from "../replication/record-state.js";
import { LogTransaction } from "./log-transaction.js";
import { migrateSyncTables } from "./schema.js";
import { loadLogged, StateWriter, stateOf } from "./stamp-store.js";

/** More than go into one statement, and none of the numbers that do. */
const RECORDS = 237;
const MODELS = [1, 2];

const stamp = (hlc: number, origin = 1): Stamp => ({ hlc, origin });
const columns = (...hlcs: readonly number[]) => new Map(hlcs.map((hlc, index) => [index + 1, stamp(hlc, 2)]));

/** One of every kind, again and again; `round` makes the times of one writing others than those of the next. */
function stateAt(index: number, round: number): RecordState {
  const hlc = 1_000 * round + 2 * index + 1;
  const kinds: readonly RecordState[] = [
    { births: [stamp(hlc)], death: UNSTAMPED, columns: new Map() },
    { births: [UNSTAMPED], death: UNSTAMPED, columns: columns(hlc, hlc + 1) },
    { births: [stamp(hlc, 2)], death: { hlc: hlc - 1, origin: ANY_ORIGIN }, columns: columns(hlc + 1) },
    { births: [], death: stamp(hlc), columns: columns(hlc + 1) },
    { births: [stamp(hlc - 1, 2), { ...stamp(hlc), age: 7 }], death: stamp(5, 2), columns: new Map() },
  ];
  return kinds[(index + round) % kinds.length]!;
}

it("writes many states at once, each as it would be alone, and gives each of their rows a fresh number", () => {
  const db = new Database(":memory:");
  onTestFinished(() => void db.close());
  migrateSyncTables({ db, logId: "log" });
  const names = Array.from({ length: RECORDS }, (_, index) => `r${index}`);
  let before = 0;
  for (const round of [1, 2, 3]) {
    const tx = new LogTransaction(db, () => 0);
    const writer = new StateWriter(tx);
    let written = 0;
    const logged = new Map(MODELS.map((model) => [model, loadLogged(db, model, names)]));
    names.forEach((record, index) => {
      for (const model of MODELS) {
        const known = logged.get(model)!.get(record);
        written += writer.save({ model, record, logged: known, state: stateAt(index, round) });
      }
    });
    writer.flush();
    tx.save();
    for (const model of MODELS) {
      const states = loadLogged(db, model, names);
      names.forEach((record, index) => {
        const state = stateAt(index, round);
        expect(stateOf(states.get(record), isLiving(state)), `${record} in round ${round}`).toEqual(state);
      });
    }
    const numbers = db.prepare("SELECT seq FROM tidemark_stamp WHERE seq > ? ORDER BY seq").pluck().all(before);
    expect(numbers).toEqual(Array.from({ length: written }, (_, index) => before + index + 1));
    before += written;
  }
});

it("writes nothing of a state that the log has already", () => {
  const db = new Database(":memory:");
  onTestFinished(() => void db.close());
  migrateSyncTables({ db, logId: "log" });
  const tx = new LogTransaction(db, () => 0);
  const write = () => {
    const writer = new StateWriter(tx);
    const logged = loadLogged(db, 1, ["r"]).get("r");
    const written = writer.save({ model: 1, record: "r", logged, state: stateAt(4, 0) });
    writer.flush();
    return written;
  };
  expect([write(), write()]).toEqual([2, 0]);
});
