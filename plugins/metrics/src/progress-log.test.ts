import { ManualClock, RecordingLogger } from "@tidemark/core/testing";
import { describe, expect, it } from "vitest";
import { ProgressLog } from "./progress-log.js";

function progressLog(everyRecords = 10_000) {
  const clock = new ManualClock();
  const logger = new RecordingLogger();
  const log = new ProgressLog({ clock, logger, everyRecords });
  const progress = (allDone: number) =>
    log.progressed({ peer: "p", model: "Entry", done: allDone, total: 182_530, allDone, allTotal: 182_530 });
  return { clock, logger, log, progress };
}

describe("the progress log", () => {
  it("writes a line every 10,000 records, with rate and time left", async () => {
    const { clock, logger, log, progress } = progressLog();
    log.started({ peer: "p", models: { Entry: 182_530 }, resumed: false });
    for (let done = 2_000; done <= 40_000; done += 2_000) {
      await clock.advance(1_000);
      progress(done);
    }
    expect(logger.at("info").map(({ fields }) => fields.done)).toEqual([10_000, 20_000, 30_000, 40_000]);
    expect(logger.at("info")[0]?.fields).toEqual({
      peer: "p",
      done: 10_000,
      total: 182_530,
      recordsPerSecond: 2_000,
      secondsLeft: 86,
    });
  });

  it("doesn't count what was there before towards the rate of a backfill that goes on", async () => {
    const { clock, logger, log, progress } = progressLog();
    log.started({ peer: "p", models: { Entry: 182_530 }, resumed: true });
    await clock.advance(1_000);
    expect(progress(95_000)).toMatchObject({ ratePerSecond: null, leftMs: null });
    await clock.advance(5_000);
    expect(progress(100_000)).toMatchObject({ ratePerSecond: 1_000, leftMs: 82_530 });
    expect(logger.at("info").map(({ fields }) => fields.done)).toEqual([100_000]);
  });

  it("counts pages of all peers towards one backfill", async () => {
    const { clock, logger, log } = progressLog();
    log.started({ peer: "p", models: { Entry: 40_000 }, resumed: false });
    let allDone = 0;
    for (const peer of ["p", "q", "p", "q"]) {
      await clock.advance(1_000);
      allDone += 10_000;
      log.progressed({ peer, model: "Entry", done: allDone, total: 40_000, allDone, allTotal: 40_000 });
    }
    expect(logger.at("info").map(({ fields }) => [fields.peer, fields.recordsPerSecond])).toEqual([
      ["p", 10_000],
      ["p", 10_000],
      ["p", 10_000],
      ["p", 10_000],
    ]);
  });

  it("writes one line for a step over several of them, and none when it is turned off", async () => {
    const { clock, logger, log, progress } = progressLog();
    log.started({ peer: "p", models: { Entry: 182_530 }, resumed: false });
    await clock.advance(1_000);
    progress(45_000);
    progress(46_000);
    expect(logger.at("info")).toHaveLength(1);
    const off = progressLog(0);
    off.log.started({ peer: "p", models: { Entry: 182_530 }, resumed: false });
    off.progress(100_000);
    expect(off.logger.lines).toEqual([]);
  });
});
