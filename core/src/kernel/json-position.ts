// Where a text stops being JSON. The engine's own parser says it only sometimes; this one is asked when that has refused.

const SPACE = /[\t\n\r ]*/y;
// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON forbids exactly these in a string
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const PLAIN = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null/y;

interface TextPosition {
  /** From 1. */
  readonly line: number;
  /** From 1, in UTF-16 units. */
  readonly column: number;
}

/** The position of the first thing in `text` that can't stand there; its end if something is missing there. */
export function findJsonError(text: string): TextPosition {
  let offset = 0;
  /** Passes what `pattern` matches here; false if it matches nothing. */
  const pass = (pattern: RegExp): boolean => {
    pattern.lastIndex = offset;
    const match = pattern.exec(text);
    if (match === null) return false;
    offset += match[0].length;
    return true;
  };
  /** Passes spaces, then `character` if it comes. */
  const next = (character: string): boolean => {
    pass(SPACE);
    if (text[offset] !== character) return false;
    offset++;
    return true;
  };
  /** What may still come: values, keys and the ends of what has been opened. No recursion, for the text's depth is free. */
  const open: ("}" | "]")[] = [];
  let expected: "value" | "first" | "key" | "after" = "value";
  for (;;) {
    pass(SPACE);
    if (expected === "after") {
      const end = open.at(-1);
      if (end === undefined) break;
      if (next(end)) open.pop();
      else if (next(",")) expected = end === "}" ? "key" : "value";
      else break;
      continue;
    }
    if (expected === "first" && next(open.at(-1)!)) {
      open.pop();
      expected = "after";
      continue;
    }
    if (expected === "key" || (expected === "first" && open.at(-1) === "}")) {
      if (!pass(STRING) || !next(":")) break;
      expected = "value";
      continue;
    }
    if (next("{")) {
      open.push("}");
      expected = "first";
    } else if (next("[")) {
      open.push("]");
      expected = "first";
    } else if (pass(STRING) || pass(PLAIN)) expected = "after";
    else break;
  }
  const before = text.slice(0, offset).split(/\r\n|\n|\r/);
  return { line: before.length, column: before.at(-1)!.length + 1 };
}
