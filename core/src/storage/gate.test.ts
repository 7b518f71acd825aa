import { noopLogger } from "@tidemark/plugin-api";
import { describe, expect, it } from "vitest";
import { noGuard, openPlain, recordingLogger, temporaryFile } from "./connections.test-support.js";
import { Gate } from "./gate.js";

describe("the gate", () => {
  it("is closed while any watched connection is in a transaction, however that began and ended", () => {
    const gate = new Gate({ guard: noGuard, logger: noopLogger });
    expect(gate.open).toBe(true);
    const path = temporaryFile();
    const first = openPlain(path);
    const second = openPlain(path);
    // Prepared before the watch began: it can't be seen, but the gate asks the connection itself.
    const begin = second.prepare("BEGIN");
    gate.watch(first);
    const watching = gate.watch(second);
    first.exec("BEGIN");
    expect(gate.open).toBe(false);
    first.exec("COMMIT");
    expect(gate.open).toBe(true);
    begin.run();
    expect(gate.open).toBe(false);
    watching.dispose();
    expect(gate.open).toBe(true);
    gate.watch(second);
    second.close();
    expect(gate.open).toBe(true);
  });

  it("tells the end of a transaction at once, and survives listeners that throw", () => {
    const logger = recordingLogger();
    const gate = new Gate({ guard: noGuard, logger });
    const db = openPlain(temporaryFile());
    const registrations = [gate.watch(db), gate.watch(db)];
    const heard: string[] = [];
    gate.onApplicationCommit(() => {
      throw new Error("bad listener");
    });
    const listening = gate.onApplicationCommit(() => heard.push(`ended, open ${gate.open}`));
    gate.onActivity(() => heard.push("activity"));
    registrations[0]!.dispose();
    db.exec("BEGIN; CREATE TABLE t (a); COMMIT");
    expect(heard).toEqual(["ended, open true", "activity"]);
    expect(logger.lines).toEqual(["error: A listener of the gate failed"]);
    listening.dispose();
    registrations[1]!.dispose();
    db.exec("BEGIN; COMMIT");
    expect(heard).toHaveLength(2);
    expect(gate.open).toBe(true);
  });
});
