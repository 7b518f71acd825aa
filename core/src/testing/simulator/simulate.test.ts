import { describe, expect, it } from "vitest";
import type { ProfileName } from "./profiles.js";
import { expectRecovery, RUN_LIMIT_MS } from "./recovery.test-support.js";
import { simulate } from "./simulate.js";

/** Seeds that have failed once, with what they found. They run for ever. */
const KEPT: readonly (readonly [profile: ProfileName, seed: number, found: string])[] = [
  ["network", 59, "a record that was made together with one that was taken back was in the log and nowhere else"],
  ["clock", 16, "changes from the future were kept once more in every round, and went back to who had made them"],
  ["calm", 105_760, "a device became ready while another answered its introduction, which never heard of it"],
  ["disk", 101_908, "the same, with a disk that was full for a while"],
  [
    "plugins",
    106_021,
    "a second server of a backfill had forgotten more, and a record was erased that referred to what it had forgotten",
  ],
  ["all", 101_039, "a record that an older version had made anew kept a column of its former life"],
  ["all", 102_839, "values of columns that this version does not have outlived the record"],
  ["all", 109_311, "two hidden records that refer to each other were never forgotten"],
  [
    "all",
    103_471,
    "a record of the library was kept for later in a backfill, and then did not take the place of a record from before the join",
  ],
  ["crash", 106_395, "the doctor took stamps for left over that a crash had kept from being swept away"],
  ["plugins", 103_069, "the ledger read a reference after the same transaction had taken its target"],
  ["all", 101_647, "records kept for later waited long after a clock that was behind had been put right"],
  ["members", 9, "devices that had all lapsed for each other waited for one that was about to return"],
  ["members", 71, "a restored backup met one that it took for lapsed, and nobody noticed"],
  ["members", 76, "the run waited for a restored backup to be noticed that a person had removed before"],
  ["members", 13, "what a device had made alone referred to nothing on that device when it came back"],
  ["members", 510_104, "the ledger took a life that a device had begun alone for that which others had referred to"],
  ["all", 510_012, "columns of a later version outlived a record that the only member left had deleted"],
  [
    "members",
    405_592,
    "the only member left moved its floor past what it kept aside, and who came to it later showed what it did not",
  ],
  ["members", 258, "a device that was to start on a backup could meet anybody before it had started"],
  ["members", 300_085, "what a loss of power had taken back from a device that was alone was taken for a change there"],
  ["all", 400_148, "what such a device folded again after a loss of power was missing in the ledger"],
  [
    "members",
    500_084,
    "what a device that was alone kept of an origin that nobody had heard of was missing in the ledger",
  ],
  [
    "members",
    500_214,
    "a restored backup went on alone beside a member that it could not know, which had found it out",
  ],
  ["all", 811_943, "what was kept for later ended a life that had been forgotten meanwhile, on one device only"],
  ["network", 815_014, "a junction lived on in the log under the name that it had before one end was renamed"],
  ["all", 405_071, "an empty column of a new version was taken for a change of a device that was alone"],
  ["all", 305_135, "a reset that the disk refused left a device that met nobody any more"],
  [
    "all",
    405_008,
    "a device that joined through an older version kept a value of its own that the library does not have",
  ],
  [
    "all",
    200_001,
    "a device that had come back, and could not be served at once, took itself for one that had the library",
  ],
  [
    "all",
    520_006,
    "a record was to be put back that had come when the own wall clock was further ahead, and was kept for later",
  ],
  ["all", 520_168, "a process that had ended in a reset took its sync up again, and its place in the network"],
  [
    "members",
    202,
    "a record issued at a join was younger than what the library referred to it by, but not for the joiner",
  ],
  ["plugins", 700_340, "a nullable reference that waited for its target was lost when its record left the table"],
  ["all", 600_407, "what a device had said of members with a clock ahead was refused for ever once it was reset"],
  ["schema", 720_798, "a record that was made anew kept an unknown column of an edit that had come too late"],
  [
    "network",
    825_175,
    "what its owner changed in a record that waited to be restored was taken for an edit of a dead one",
  ],
  [
    "members",
    950_434,
    "who could not be taken back at once by the one that went on went on by itself, and the library forked",
  ],
  ["all", 720_908, "the ledger did not see what a device issues again of a model that it only keeps for others"],
  [
    "members",
    816_964,
    "a restored backup and the only other member lapsed for each other, and the library went on from the backup",
  ],
  ["crash", 2_004_132, "the doctor took for a leftover what was kept of a dead record until its stamps are swept away"],
  ["members", 825_784, "the ledger took for issued again what a row still had of which the schema refused the change"],
];

describe("a simulated library", { timeout: RUN_LIMIT_MS }, () => {
  it.each(KEPT)("still recovers with profile %s, seed %i: %s", expectRecovery);

  it.each(["network", "crash", "all"] as const)(
    "does the same again for the same seed, profile %s",
    async (profile) => {
      const first = await simulate({ seed: 7, profile });
      const second = await simulate({ seed: 7, profile });
      expect(second.trace).toEqual(first.trace);
      expect(second.traceHash).toBe(first.traceHash);
      expect((await simulate({ seed: 8, profile })).traceHash).not.toBe(first.traceHash);
    },
  );

  it("begins in the same way when it is cut short", async () => {
    const whole = await simulate({ seed: 3, profile: "all" });
    const short = await simulate({ seed: 3, profile: "all", steps: 10 });
    const calm = short.trace.findIndex((line) => line.includes("---- calm"));
    expect(short.steps).toBe(10);
    expect(calm).toBeGreaterThan(100);
    expect(whole.trace.slice(0, calm)).toEqual(short.trace.slice(0, calm));
  });
});
