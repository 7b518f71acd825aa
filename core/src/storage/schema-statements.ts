/**
 * Reads just enough of one statement of the application to know how it changes the schema. It understands comments and
 * quotes, and nothing of expressions; what it doesn't know it calls other.
 */
export type SchemaStatement =
  | { readonly kind: "create-table"; readonly table: string }
  | { readonly kind: "drop-table"; readonly table: string }
  | { readonly kind: "drop-column"; readonly table: string }
  | { readonly kind: "rename-column"; readonly table: string; readonly from: string; readonly to: string }
  /** Any other CREATE, DROP or ALTER. */
  | { readonly kind: "other-schema" }
  /** UPDATE or DELETE. */
  | { readonly kind: "change" }
  /** Everything else. */
  | { readonly kind: "other" };

/** What a single statement does. */
export function readStatement(sql: string): SchemaStatement {
  const word = FIRST_WORD.exec(sql)?.[1]?.toUpperCase();
  if (word === "UPDATE" || word === "DELETE") return { kind: "change" };
  if (word !== "CREATE" && word !== "DROP" && word !== "ALTER") return { kind: "other" };
  return schemaStatement(tokens(sql));
}

const FIRST_WORD = /^(?:[\s;]+|--[^\n]*(?:\n|$)|\/\*[\s\S]*?(?:\*\/|$))*([A-Za-z]+)/;

interface Token {
  /** Upper case for a bare word, the content for a quoted name. */
  readonly text: string;
  /** The name that the token would be, if it is one. */
  readonly name: string | null;
  readonly bare: boolean;
}

const TOKEN =
  /--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|"((?:[^"]|"")*)"|`((?:[^`]|``)*)`|\[([^\]]*)\]|'((?:[^']|'')*)'|([\p{L}\p{N}_$\u0080-\uffff]+)|\S/gu;

function tokens(sql: string): readonly Token[] {
  const found: Token[] = [];
  for (const match of sql.matchAll(TOKEN)) {
    const [all, double, back, bracket, single, word] = match;
    if (all.startsWith("--") || all.startsWith("/*")) continue;
    // SQLite takes a text literal for a name where only a name can stand.
    const quoted =
      double?.replaceAll('""', '"') ?? back?.replaceAll("``", "`") ?? bracket ?? single?.replaceAll("''", "'");
    if (quoted !== undefined) found.push({ text: quoted, name: quoted, bare: false });
    else if (all !== ";") found.push({ text: (word ?? all).toUpperCase(), name: word ?? null, bare: true });
  }
  return found;
}

function schemaStatement(statement: readonly Token[]): SchemaStatement {
  const [first, second] = statement;
  if (isWord(first, "ALTER")) return alter(statement);
  if (!isWord(second, "TABLE")) return { kind: "other-schema" };
  // IF EXISTS, IF NOT EXISTS
  const skipped = !isWord(statement[2], "IF") ? 0 : isWord(first, "DROP") ? 2 : 3;
  const table = tableAt(statement, 2 + skipped)?.name;
  if (table === undefined) return { kind: "other-schema" };
  return { kind: isWord(first, "DROP") ? "drop-table" : "create-table", table };
}

function alter(statement: readonly Token[]): SchemaStatement {
  const table = tableAt(statement, 2);
  if (!table) return { kind: "other-schema" };
  const [verb, ...rest] = statement.slice(table.end);
  // COLUMN may be left out, so `DROP column` alone drops a column of that name.
  const named = rest.length > 1 && isWord(rest[0], "COLUMN") ? rest.slice(1) : rest;
  if (isWord(verb, "DROP")) return { kind: "drop-column", table: table.name };
  if (isWord(verb, "RENAME") && named.length === 3 && isWord(named[1], "TO")) {
    const [from, , to] = named;
    if (from?.name && to?.name) return { kind: "rename-column", table: table.name, from: from.name, to: to.name };
  }
  return { kind: "other-schema" };
}

/** The table whose name starts at `index`, unless it belongs to another schema than `main`. */
function tableAt(
  statement: readonly Token[],
  index: number,
): { readonly name: string; readonly end: number } | undefined {
  const name = statement[index]?.name;
  if (!name) return undefined;
  if (statement[index + 1]?.bare !== true || statement[index + 1]?.text !== ".") return { name, end: index + 1 };
  const inner = statement[index + 2]?.name;
  return name.toLowerCase() === "main" && inner ? { name: inner, end: index + 3 } : undefined;
}

function isWord(token: Token | undefined, word: string): boolean {
  return token?.bare === true && token.text === word;
}
