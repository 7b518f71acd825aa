import { describe, expect, it, vi } from "vitest";
import { ManualClock } from "../testing/manual-clock.js";
import { CommitHints } from "./commit-hints.js";
import { noGuard, openPlain, recordingLogger, temporaryFile } from "./connections.test-support.js";
import { Gate } from "./gate.js";

function openHints() {
  const connection = openPlain(temporaryFile());
  connection.exec("PRAGMA journal_mode = WAL; CREATE TABLE t (a)");
  const clock = new ManualClock();
  const logger = recordingLogger();
  const gate = new Gate({ guard: noGuard, logger });
  const application = openPlain(connection.name);
  gate.watch(application);
  const hints = new CommitHints({ connection, gate, clock, logger });
  let count = 0;
  hints.onHint(() => count++);
  return { connection, clock, logger, application, hints, count: () => count };
}

describe("commit hints", () => {
  it("come once for all that the application commits in a turn", async () => {
    const { application, clock, count } = openHints();
    application.exec("INSERT INTO t VALUES (1)");
    application.exec("BEGIN; INSERT INTO t VALUES (2); COMMIT");
    expect(count()).toBe(0);
    await clock.settle();
    expect(count()).toBe(1);
    await clock.advance(1_000);
    expect(count()).toBe(1);
  });

  it("do not come for what is rolled back, not yet committed, or the kernel's own", async () => {
    const { application, connection, clock, count } = openHints();
    connection.exec("INSERT INTO t VALUES (0)");
    application.exec("BEGIN; INSERT INTO t VALUES (1); ROLLBACK; BEGIN; INSERT INTO t VALUES (2)");
    await clock.advance(1_000);
    expect(count()).toBe(0);
    application.exec("COMMIT");
    await clock.settle();
    expect(count()).toBe(1);
  });

  it("come for other processes within the poll interval", async () => {
    const { connection, clock, count } = openHints();
    const foreign = openPlain(connection.name);
    foreign.exec("INSERT INTO t VALUES (1)");
    await clock.advance(249);
    expect(count()).toBe(0);
    await clock.advance(1);
    expect(count()).toBe(1);
  });

  it("come for other processes within four intervals after a rest, and within one while they write", async () => {
    const { connection, clock, count } = openHints();
    const foreign = openPlain(connection.name);
    await clock.advance(60_000);
    const timers = vi.spyOn(clock, "setTimeout");
    await clock.advance(20_000);
    expect(timers).toHaveBeenCalledTimes(20);
    foreign.exec("INSERT INTO t VALUES (1)");
    await clock.advance(1_000);
    expect(count()).toBe(1);
    for (let commits = 2; commits < 5; commits++) {
      foreign.exec("INSERT INTO t VALUES (2)");
      await clock.advance(250);
      expect(count()).toBe(commits);
    }
  });

  it("look no more when a listener disposes of them", async () => {
    const { connection, clock, hints } = openHints();
    const foreign = openPlain(connection.name);
    hints.onHint(() => hints.dispose());
    foreign.exec("INSERT INTO t VALUES (1)");
    await clock.advance(1_000);
    expect(clock.pendingTimers).toBe(0);
  });

  it("go on when a listener throws, and end when they are disposed of", async () => {
    const { application, clock, hints, count, logger } = openHints();
    hints.onHint(() => {
      throw new Error("bad listener");
    });
    application.exec("INSERT INTO t VALUES (1)");
    await clock.settle();
    application.exec("INSERT INTO t VALUES (2)");
    await clock.advance(250);
    expect(count()).toBe(2);
    expect(logger.lines).toHaveLength(2);
    application.exec("INSERT INTO t VALUES (3)");
    hints.dispose();
    await clock.advance(1_000);
    expect(count()).toBe(2);
    expect(clock.pendingTimers).toBe(0);
  });
});
