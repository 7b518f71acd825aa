import { describe, expect, it } from "vitest";
import { mayHoldNotableStatements, savepointName, splitStatements, statementKind } from "./sql-text.js";

describe("the text of SQL", () => {
  it("tells the kind of a statement by its first word, whatever stands before it", () => {
    expect(statementKind("COMMIT")).toBe("commit");
    expect(statementKind("  -- done\n/* DROP TABLE x */ ;end transaction")).toBe("commit");
    expect(statementKind("alter table x add y")).toBe("schema");
    expect(statementKind("RELEASE a")).toBe("release");
    expect(statementKind("INSERT INTO commit_log VALUES ('COMMIT')")).toBe("other");
    expect(statementKind("")).toBe("other");
    expect(statementKind("constructor")).toBe("other");
  });

  it("takes no time over a long statement that begins with nothing it knows", () => {
    const startedMs = performance.now();
    expect(statementKind(`${" ".repeat(50_000)}(`)).toBe("other");
    expect(statementKind("/* a */ ".repeat(20_000))).toBe("other");
    expect(performance.now() - startedMs).toBeLessThan(2_000);
  });

  it("splits a script at the semicolons that end a statement, and at no other", () => {
    const script = [
      "CREATE TABLE a (b TEXT DEFAULT ';');",
      " -- one; two\nINSERT INTO a VALUES ('it''s; BEGIN');",
      " CREATE TEMP TRIGGER t AFTER INSERT ON a BEGIN UPDATE a SET b = 1; DELETE FROM a; END;",
      ' DELETE FROM "a;b"',
    ];
    expect(splitStatements(script.join(""))).toEqual(script);
    expect(splitStatements(" ; -- nothing\n")).toEqual([]);
    expect(splitStatements("SELECT CASE 1 WHEN 1 THEN 2 END; SELECT 3;")).toHaveLength(2);
    expect(splitStatements("SELECT 'never closed; SELECT 2")).toHaveLength(2);
  });

  it("knows when a script can only hold plain statements", () => {
    expect(mayHoldNotableStatements("INSERT INTO created VALUES (1); UPDATE ending SET a = 1")).toBe(false);
    expect(mayHoldNotableStatements("INSERT INTO a VALUES (1);commit")).toBe(true);
  });

  it("reads the name of a savepoint in every spelling", () => {
    expect(savepointName("SAVEPOINT typeorm_1")).toBe("TYPEORM_1");
    expect(savepointName('release savepoint "Typeorm_1";')).toBe("TYPEORM_1");
    expect(savepointName("RELEASE `\t_bs3.\t`")).toBe("\t_BS3.\t");
  });
});
