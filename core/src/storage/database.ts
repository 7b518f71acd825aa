import type Database from "better-sqlite3";

/** A better-sqlite3 connection. */
export type Sqlite = Database.Database;
export type Statement = Database.Statement;
