import type { Sqlite } from "./database.js";

/**
 * Who looks after capture when the application changes its schema. Called on the application's own connection, in the
 * turn of the statement itself, so both must be quick and synchronous. Statements that the guard runs are not watched.
 */
export interface SchemaGuard {
  /**
   * Before a single CREATE, DROP or ALTER statement runs, always inside its transaction; and, from then to the end of
   * that transaction, before other statements that write, at least once for each kind (INSERT, UPDATE, …) after each
   * change of the schema. What it throws reaches the application in place of the result, and the statement does not run.
   */
  beforeStatement(db: Sqlite, sql: string): void;
  /**
   * After one or more CREATE, DROP or ALTER statements, always inside their transaction and just before it commits
   * (a statement outside a transaction gets one of its own). What it throws reaches the application in place of the
   * result, and a schema change outside a transaction is rolled back; inside one, that is up to the application.
   */
  afterSchemaChange(db: Sqlite): void;
}
