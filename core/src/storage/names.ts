import type { NumberAllocator } from "../registry/model.js";
import type { Sqlite } from "./database.js";
import { prepared } from "./statements.js";

/** Wire names of models and columns and their stored numbers, which are given once and never reused. */
export function modelName(db: Sqlite, model: number): string | undefined {
  return prepared(db, "SELECT name FROM tidemark_model WHERE num = ?").pluck().get(model) as string | undefined;
}

export function columnNames(db: Sqlite, model: number): Map<number, string> {
  const rows = prepared(db, "SELECT num, name FROM tidemark_column WHERE model = ?").all(model) as {
    num: number;
    name: string;
  }[];
  return new Map(rows.map((row) => [row.num, row.name]));
}

/** Gives numbers to new names; call its functions inside a write transaction. */
export function nameAllocator(db: Sqlite): NumberAllocator {
  return {
    model(name) {
      const known = prepared(db, "SELECT num FROM tidemark_model WHERE name = ?").pluck().get(name) as
        | number
        | undefined;
      if (known !== undefined) return known;
      return Number(prepared(db, "INSERT INTO tidemark_model (name) VALUES (?)").run(name).lastInsertRowid);
    },
    column(model, name) {
      const known = prepared(db, "SELECT num FROM tidemark_column WHERE model = ? AND name = ?")
        .pluck()
        .get(model, name) as number | undefined;
      if (known !== undefined) return known;
      const next = prepared(db, "SELECT ifnull(max(num), 0) + 1 FROM tidemark_column WHERE model = ?")
        .pluck()
        .get(model) as number;
      prepared(db, "INSERT INTO tidemark_column (model, num, name) VALUES (?, ?, ?)").run(model, next, name);
      return next;
    },
  };
}
