import { physicalMs } from "../clock/hybrid-logical-clock.js";
import { loadBackfill } from "../replication/backfill-store.js";
import { ownVector } from "../replication/change-page.js";
import { GIVEN_UP, loadPeer } from "../replication/peer-store.js";
import { stableTime } from "../replication/stable-point.js";
import { readState } from "../storage/log-transaction.js";
import { loadVector } from "../storage/vectors.js";
import { are, counted, type Examination, lasting, RESET_ADVICE, Tally } from "./examination.js";

/** This device's place in the library: its membership and its clock, the vectors, the peers, and who holds back pruning. */
const WEEK_MS = 7 * 24 * 3_600_000;

export async function examineMembership(examination: Examination): Promise<void> {
  const { clock, members, settings } = examination.patient.library.deps;
  await examination.read("members", async (db) => {
    examination.examined.members = members.present().length;
    const state = readState(db);
    const now = clock.now();
    if (state.self === null) {
      examination.find({
        severity: "info",
        code: "not-joined",
        what: "This device is not a member of the library yet",
        why: "it has not met a member that could vouch for it",
        advice:
          "Connect it with a member; what is written meanwhile is sent once it has joined. If no other device of the library is left, call resetSyncState({ found: true })",
      });
      return;
    }
    const self = members.all().find(({ num }) => num === state.self);
    if (self === undefined) {
      examination.find({
        severity: "error",
        code: "vectors-damaged",
        what: "This device is not among the members that it knows of",
        why: "the sync tables have been changed by somebody else, or the database file is damaged",
        advice: RESET_ADVICE,
      });
      return;
    }
    if (self.removal !== null) {
      examination.find({
        severity: "error",
        code: "no-member-any-more",
        what: "This device is no member of the library any more",
        why: `it was removed (${self.removal.kind})`,
        advice: "Call resetSyncState() if it is to come back: it keeps every record and joins anew",
      });
    }
    if (state.ready === 0) {
      const backfill = loadBackfill(db);
      examination.find({
        severity: "info",
        code: "backfilling",
        what: "This device has not received the whole library",
        why: `a ${backfill?.mode === "full" ? "full backfill" : "first backfill"} is under way${backfill === null ? "" : `, since ${lasting(now - backfill.startedAt)}`}`,
        advice: "Leave it connected; it goes on where it was after a restart",
      });
    }
    examineClockAndVectors(examination, db);
    const aheadMs = physicalMs(state.hlc) - now;
    if (aheadMs > settings.clock.maxDriftMs) {
      examination.find({
        severity: "warning",
        code: "clock-ahead",
        what: `The time that this device gives its changes is ${lasting(aheadMs)} ahead of its clock`,
        why: "its clock, or that of another device, was ahead by so much at some time",
        advice:
          "Check the clocks of all devices; nothing is lost, but its changes win over later ones until time has caught up",
      });
    }

    for (const member of members.present()) {
      if (member.num === state.self) continue;
      const { notBefore, failures } = loadPeer(db, member.num);
      const name = `${member.name} (${member.deviceId})`;
      if (notBefore === GIVEN_UP) {
        examination.find({
          severity: "warning",
          code: "peer-given-up",
          what: `${name} is left alone until the next start or resume()`,
          why: "no retry could mend the last failure, or a plugin has given up",
          advice: "Its last `catchUpFailed` event has the code; look it up in docs/troubleshooting.md",
          examples: [member.deviceId],
        });
      } else if (failures > 0) {
        examination.find({
          severity: failures >= 5 ? "warning" : "info",
          code: "peer-failing",
          what: `Synchronization with ${name} has failed ${failures === 1 ? "once" : `${failures} times in a row`}`,
          why: "see its last `catchUpFailed` event",
          advice: "It is tried again by itself; look up the code in docs/troubleshooting.md if it goes on",
          count: failures,
          examples: [member.deviceId],
        });
      }
    }

    const { hlc, heldBackBy } = stableTime(db, members);
    const entries = db.prepare("SELECT count(*) FROM tidemark_stamp").pluck().get() as number;
    const heldMs = now - physicalMs(hlc);
    if (heldBackBy.length > 0 && entries > 0 && heldMs > WEEK_MS) {
      examination.find({
        severity: "warning",
        code: "pruning-held-back",
        what: `Nothing younger than ${lasting(heldMs)} can be forgotten`,
        why: `the library waits for the word of ${heldBackBy.map(({ member }) => `${member.name} (${member.deviceId})`).join(", ")}`,
        advice: "Let that device come online; one that never comes back is removed with removeMember()",
        count: heldBackBy.length,
        examples: heldBackBy.map(({ member }) => member.deviceId),
      });
    }
  });
}

function examineClockAndVectors(examination: Examination, db: Parameters<typeof readState>[0]): void {
  const { members } = examination.patient.library.deps;
  const { self, hlc, floor } = readState(db);
  const own = ownVector(db);
  const known = new Set(db.prepare("SELECT num FROM tidemark_member").pluck().all() as number[]);
  const strange = new Tally();
  const rows = db.prepare("SELECT member, origin FROM tidemark_vector").all() as {
    readonly member: number;
    readonly origin: number;
  }[];
  for (const { member, origin } of rows) {
    if (!known.has(member) || !known.has(Math.abs(origin))) strange.add(`${member} ${origin}`);
  }
  if (strange.count > 0) {
    examination.find({
      severity: "error",
      code: "vectors-damaged",
      what: `${counted(strange.count, "statement")} on who has what ${are(strange.count)} about a device that is not known`,
      why: "the sync tables have been changed by somebody else, or the database file is damaged",
      advice: RESET_ADVICE,
      count: strange.count,
    });
  }
  const ahead = members.present().filter(({ num }) => num !== self && (loadVector(db, num).get(self!) ?? 0) > hlc);
  if (ahead.length > 0) {
    examination.find({
      severity: "error",
      code: "gone-back-in-time",
      what: "Other devices have seen more of this device than its database holds",
      why: "a backup was restored, the file was copied, or a loss of power took back what had been sent",
      advice: RESET_ADVICE,
      count: ahead.length,
      examples: ahead.map(({ deviceId }) => deviceId),
    });
  }
  // One that has to come back forgets all of it, and may have taken back whom it had taken for removed.
  const isMember = self !== null && members.byNumber(self).removal === null;
  const below = members.present().filter(({ num, joinHlc }) => isMember && (own.get(num) ?? joinHlc ?? 0) < floor);
  if (floor > hlc || below.length > 0) {
    examination.find({
      severity: "error",
      code: "vectors-damaged",
      what: "More has been forgotten here than this device has received",
      why: "the sync tables have been changed by somebody else, or the database file is damaged",
      advice: RESET_ADVICE,
      examples: below.map(({ deviceId }) => deviceId),
    });
  }
}
