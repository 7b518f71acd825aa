/**
 * What can be told from the text of SQL without parsing it: where statements end, and which of them begin or end a
 * transaction or change the schema. It may not run anything.
 */

export type StatementKind = "begin" | "savepoint" | "commit" | "release" | "rollback" | "schema" | "other";

const KINDS: ReadonlyMap<string, StatementKind> = new Map([
  ["BEGIN", "begin"],
  ["SAVEPOINT", "savepoint"],
  ["COMMIT", "commit"],
  ["END", "commit"],
  ["RELEASE", "release"],
  ["ROLLBACK", "rollback"],
  ["CREATE", "schema"],
  ["DROP", "schema"],
  ["ALTER", "schema"],
]);

const FIRST_WORD = /^(?:[\s;]|--[^\n]*(?:\n|$)|\/\*(?:[^*]|\*(?!\/))*(?:\*\/|$))*([A-Za-z]+)/;

/** The first word of a statement in upper case; empty if it has none. */
export function firstWord(sql: string): string {
  return FIRST_WORD.exec(sql)?.[1]?.toUpperCase() ?? "";
}

/** The kind of a single statement, by its first word. */
export function statementKind(sql: string): StatementKind {
  return KINDS.get(firstWord(sql)) ?? "other";
}

const NOTABLE = /\b(?:begin|savepoint|commit|end|release|rollback|create|drop|alter)\b/i;

/** Whether a script may hold a statement of another kind than `other`. Quick, and wrong only on the safe side. */
export function mayHoldNotableStatements(sql: string): boolean {
  return NOTABLE.test(sql);
}

const SAVEPOINT_NAME = /(?:SAVEPOINT|RELEASE)\s+(?:SAVEPOINT\s+)?("[^"]*"|`[^`]*`|\[[^\]]*\]|'[^']*'|[^\s;]+)/i;

/** The savepoint that SAVEPOINT or RELEASE names, comparable with another one. */
export function savepointName(sql: string): string | undefined {
  return SAVEPOINT_NAME.exec(sql)?.[1]
    ?.replace(/^["`['](.*)["`\]']$/s, "$1")
    .toUpperCase();
}

type State = "start" | "normal" | "explain" | "create" | "trigger" | "bodyEnd" | "end";

// The states and their transitions are those of sqlite3_complete(): the semicolons in the body of a trigger end nothing.
const TOKENS = { semicolon: 0, other: 1, explain: 2, create: 3, temp: 4, trigger: 5, end: 6 } as const;
const NEXT: Readonly<Record<State, readonly State[]>> = {
  start: ["start", "normal", "explain", "create", "normal", "normal", "normal"],
  normal: ["start", "normal", "normal", "normal", "normal", "normal", "normal"],
  explain: ["start", "explain", "normal", "create", "normal", "normal", "normal"],
  create: ["start", "normal", "normal", "normal", "create", "trigger", "normal"],
  trigger: ["bodyEnd", "trigger", "trigger", "trigger", "trigger", "trigger", "trigger"],
  bodyEnd: ["bodyEnd", "trigger", "trigger", "trigger", "trigger", "trigger", "end"],
  end: ["start", "trigger", "trigger", "trigger", "trigger", "trigger", "trigger"],
};
const WORDS: ReadonlyMap<string, number> = new Map([
  ["EXPLAIN", TOKENS.explain],
  ["CREATE", TOKENS.create],
  ["TEMP", TOKENS.temp],
  ["TEMPORARY", TOKENS.temp],
  ["TRIGGER", TOKENS.trigger],
  ["END", TOKENS.end],
]);

const LEXEME =
  /(\s+|--[^\n]*|\/\*[\s\S]*?(?:\*\/|$))|'[^']*'|"[^"]*"|`[^`]*`|\[[^\]]*\]|([A-Za-z_$\u0080-\uffff][\w$\u0080-\uffff]*)|[\s\S]/g;

/** Splits a script into its statements, each with its semicolon; what follows the last one is left out if it is empty. */
export function splitStatements(sql: string): string[] {
  const statements: string[] = [];
  let state: State = "start";
  let from = 0;
  let empty = true;
  for (const match of sql.matchAll(LEXEME)) {
    if (match[1] !== undefined) continue;
    const semicolon = match[0] === ";";
    const token = semicolon ? TOKENS.semicolon : (WORDS.get(match[2]?.toUpperCase() ?? "") ?? TOKENS.other);
    state = NEXT[state][token] as State;
    if (!semicolon) empty = false;
    if (state !== "start") continue;
    const end = match.index + match[0].length;
    if (!empty) statements.push(sql.slice(from, end));
    from = end;
    empty = true;
  }
  if (!empty) statements.push(sql.slice(from));
  return statements;
}
