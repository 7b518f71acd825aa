import { type Subscription, subscription } from "@tidemark/plugin-api";
import type { Sqlite, Statement } from "./database.js";
import type { SchemaGuard } from "./schema-guard.js";
import {
  firstWord,
  mayHoldNotableStatements,
  type StatementKind,
  savepointName,
  splitStatements,
  statementKind,
} from "./sql-text.js";

/**
 * Watches one better-sqlite3 connection of the application: tells when a transaction has ended and when something may
 * have been written, and lets a {@link SchemaGuard} put capture back inside every transaction that changes the schema.
 * SQLite's own commit hooks are not reachable from JavaScript, so `prepare`, `exec` and `transaction` are wrapped. A
 * wrapped statement is still the same object and behaves as it did; one that only reads is not touched at all.
 *
 * It may not swallow, change or add an error, those of the guard excepted.
 */
export interface ConnectionWatch {
  /** Called in the turn in which a transaction ended, by whatever means, before the application gets the result. */
  onTransactionEnd(listener: () => void): Subscription;
  /** Called when something may have been committed: a transaction ended, or a statement wrote outside one. */
  onActivity(listener: () => void): Subscription;
}

const watches = new WeakMap<Sqlite, ConnectionWatch>();

/** Watches `connection`, and turns `recursive_triggers` on for it. Watching it again returns the watch that it has. */
export function watchConnection({
  connection,
  guard,
}: {
  readonly connection: Sqlite;
  readonly guard: SchemaGuard;
}): ConnectionWatch {
  let watch = watches.get(connection);
  if (!watch) {
    // Without it, INSERT OR REPLACE removes the clashing row and fires no trigger.
    connection.pragma("recursive_triggers = ON");
    watch = new WrappedConnection(connection, guard);
    watches.set(connection, watch);
  }
  return watch;
}

class WrappedConnection implements ConnectionWatch {
  readonly #connection: Sqlite;
  readonly #guard: SchemaGuard;
  readonly #exec: (sql: string) => void;
  readonly #endListeners = new Set<() => void>();
  readonly #activityListeners = new Set<() => void>();
  /** Whether the connection was in a transaction when we last looked. */
  #inTransaction: boolean;
  /** The transaction has changed the schema, and the guard has not been called since. */
  #schemaChanged = false;
  /** First words of the statements that the guard was asked about since the last change of the schema. */
  readonly #askedSinceChange = new Set<string>();
  /** The savepoint whose release commits, when the transaction was not started by BEGIN. */
  #outermostSavepoint: string | undefined;
  /** The guard is at work: its own statements pass. */
  #guarding = false;

  constructor(connection: Sqlite, guard: SchemaGuard) {
    this.#connection = connection;
    this.#guard = guard;
    this.#inTransaction = connection.inTransaction;
    const { prepare, exec, transaction } = connection;
    this.#exec = (sql) => void exec.call(connection, sql);
    override(connection, "prepare", (sql: string) => this.#watchStatement(prepare.call(connection, sql) as Statement));
    override(connection, "exec", (sql: string) => {
      this.#execScript(sql);
      return connection;
    });
    override(connection, "transaction", (body: AnyFunction) =>
      this.#watchTransaction(transaction.bind(connection) as TransactionFactory, body),
    );
  }

  onTransactionEnd(listener: () => void): Subscription {
    this.#endListeners.add(listener);
    return subscription(() => this.#endListeners.delete(listener));
  }

  onActivity(listener: () => void): Subscription {
    this.#activityListeners.add(listener);
    return subscription(() => this.#activityListeners.delete(listener));
  }

  #watchStatement(statement: Statement): Statement {
    // A plain query: it can neither write, nor begin or end a transaction.
    if (statement.reader && statement.readonly) return statement;
    const { run, get, all, iterate } = statement;
    const sql = statement.source;
    const kind = statementKind(sql);
    const watched =
      (method: AnyFunction): AnyFunction =>
      (...parameters) =>
        this.#around(kind, sql, () => method.apply(statement, parameters));
    override(statement, "run", watched(run));
    if (statement.reader) {
      override(statement, "get", watched(get));
      override(statement, "all", watched(all));
      const iterateWatched = watched(iterate) as typeof iterate;
      override(statement, "iterate", (...parameters: never[]) => this.#watchIterator(iterateWatched(...parameters)));
    }
    return statement;
  }

  /** RETURNING by iteration: the statement is finished, and its transaction committed, when the iterator is. */
  #watchIterator(iterator: IterableIterator<unknown>): IterableIterator<unknown> {
    const { next, return: close } = iterator;
    const finished = <Result extends { readonly done?: boolean }>(result: Result): Result => {
      if (result.done) this.#look();
      return result;
    };
    override(iterator, "next", () => {
      try {
        return finished(next.call(iterator));
      } catch (error) {
        this.#look();
        throw error;
      }
    });
    override(iterator, "return", () => finished(close!.call(iterator)));
    return iterator;
  }

  #execScript(sql: string): void {
    // Whatever is not a string gets better-sqlite3's own error.
    if (typeof sql !== "string" || this.#guarding || !mayHoldNotableStatements(sql)) {
      this.#around("other", sql, () => this.#exec(sql));
      return;
    }
    // One by one, so that the guard stands between a schema change and the COMMIT of the same script.
    const statements = splitStatements(sql);
    if (statements.length === 0) this.#exec(sql);
    for (const statement of statements) {
      this.#around(statementKind(statement), statement, () => this.#exec(statement));
    }
  }

  #around<Result>(kind: StatementKind, sql: string, execute: () => Result): Result {
    if (this.#guarding) return execute();
    try {
      switch (kind) {
        case "schema":
          return this.#changeSchema(sql, execute);
        case "savepoint":
          if (!this.#connection.inTransaction) this.#outermostSavepoint = savepointName(sql);
          break;
        case "commit":
          this.#beforeCommit();
          break;
        case "release":
          if (this.#outermostSavepoint !== undefined && savepointName(sql) === this.#outermostSavepoint) {
            this.#beforeCommit();
          }
          break;
        case "other":
          if (this.#schemaChanged) this.#beforeWrite(sql);
          break;
      }
      return execute();
    } finally {
      this.#look();
    }
  }

  #changeSchema<Result>(sql: string, execute: () => Result): Result {
    const connection = this.#connection;
    if (connection.readonly) return execute();
    if (connection.inTransaction) {
      this.#beforeStatement(sql);
      this.#schemaChanged = true;
      this.#askedSinceChange.clear();
      return execute();
    }
    // Outside a transaction the change and what the guard does about it would be two commits, with a crash in between.
    this.#exec("BEGIN IMMEDIATE");
    try {
      this.#beforeStatement(sql);
      const result = execute();
      this.#guarded(() => this.#guard.afterSchemaChange(connection));
      this.#exec("COMMIT");
      return result;
    } catch (error) {
      if (connection.inTransaction) this.#exec("ROLLBACK");
      throw error;
    }
  }

  /** Once for each first word is enough: the guard looks at the schema, and that has not changed since. */
  #beforeWrite(sql: string): void {
    if (!this.#connection.inTransaction) return;
    const word = firstWord(sql);
    if (this.#askedSinceChange.has(word)) return;
    this.#askedSinceChange.add(word);
    this.#beforeStatement(sql);
  }

  #beforeStatement(sql: string): void {
    this.#guarded(() => this.#guard.beforeStatement(this.#connection, sql));
  }

  #beforeCommit(): void {
    if (!this.#schemaChanged || !this.#connection.inTransaction) return;
    this.#guarded(() => this.#guard.afterSchemaChange(this.#connection));
    this.#schemaChanged = false;
  }

  #guarded(action: () => void): void {
    this.#guarding = true;
    try {
      action();
    } finally {
      this.#guarding = false;
    }
  }

  /** better-sqlite3's own `transaction(fn)`, which begins and commits behind the back of `prepare`. */
  #watchTransaction(create: TransactionFactory, body: AnyFunction): AnyFunction {
    if (typeof body !== "function") return create(body);
    const connection = this.#connection;
    // Whether the call that is running is the outermost one; a body that commits by itself is no better off than before.
    let outermost = false;
    const inner = create(function (this: unknown, ...parameters: never[]) {
      const commits = outermost;
      outermost = false;
      const result = body.apply(this, parameters);
      if (commits) watch.#beforeCommit();
      return result;
    });
    const watch = this;
    const watched = (run: AnyFunction): AnyFunction =>
      function (this: unknown, ...parameters) {
        outermost = !connection.inTransaction;
        try {
          return run.apply(this, parameters);
        } finally {
          watch.#look();
        }
      };
    const variants = Object.fromEntries(
      (["default", "deferred", "immediate", "exclusive"] as const).map((name) => [name, watched(inner[name])]),
    );
    // As in the original, every variant carries all of them.
    for (const variant of Object.values(variants)) {
      for (const [name, value] of Object.entries(variants)) Object.defineProperty(variant, name, { value });
      Object.defineProperty(variant, "database", { value: connection, enumerable: true });
    }
    return variants.default!;
  }

  /** Compares what is with what was, and tells the listeners. */
  #look(): void {
    if (this.#connection.inTransaction) {
      this.#inTransaction = true;
      return;
    }
    if (this.#inTransaction) {
      this.#inTransaction = false;
      this.#schemaChanged = false;
      this.#outermostSavepoint = undefined;
      for (const listener of this.#endListeners) listener();
    }
    for (const listener of this.#activityListeners) listener();
  }
}

type AnyFunction = (...parameters: never[]) => unknown;
type Transactional = AnyFunction & Readonly<Record<"default" | "deferred" | "immediate" | "exclusive", AnyFunction>>;
type TransactionFactory = (body: AnyFunction) => Transactional;

/** Lays a method over one object alone; hidden, so that the object looks as it did, and open to be wrapped again. */
function override<Target extends object>(target: Target, name: keyof Target, method: AnyFunction): void {
  Object.defineProperty(target, name, { value: method, writable: true, configurable: true, enumerable: false });
}
