import { TidemarkError } from "@tidemark/plugin-api";

/** Every error of replication, with its stable code. */
export const replicationErrors = {
  badValue: ({ reason }: { readonly reason: string }) =>
    new TidemarkError({
      code: "TIDEMARK_WIRE_BAD_VALUE",
      what: "A received value was refused",
      why: reason,
      advice: "Update the device that sent it; if it runs the same version, please report this as a bug",
      details: { reason },
    }),
  valueTooLong: ({ length }: { readonly length: number }) =>
    new TidemarkError({
      code: "TIDEMARK_WIRE_VALUE_TOO_LONG",
      what: "A stored value can't be sent",
      why: `it is ${length} bytes or characters long`,
      advice: "Keep large contents in files, or exclude the column from sync with `exclude`",
      details: { length },
    }),
  malformed: ({ reason }: { readonly reason: string }) =>
    new TidemarkError({
      code: "TIDEMARK_WIRE_MALFORMED",
      what: "A message from a peer was refused",
      why: reason,
      advice: "Update the device that sent it; if it runs the same version, please report this as a bug",
      details: { reason },
    }),
  messageTooLong: ({ bytes, limit }: { readonly bytes: number; readonly limit: number }) =>
    new TidemarkError({
      code: "TIDEMARK_RECORD_TOO_LARGE",
      what: "A record can't be sent",
      why: `with its values it takes ${bytes} bytes, and at most ${limit} can travel`,
      advice: "Keep large contents in files, or exclude the column from sync with `exclude`",
      details: { bytes, limit },
    }),
  fromTheFuture: ({ hlc, limit }: { readonly hlc: number; readonly limit: number }) =>
    new TidemarkError({
      code: "TIDEMARK_CLOCK_FROM_THE_FUTURE",
      what: "A received change was refused",
      why: "it is stamped further in the future than any clock may be off",
      advice: "Set the clocks of this device and of the one that made the change; then it is taken by itself",
      details: { hlc, limit },
    }),
  protocolVersion: ({ own, peer }: { readonly own: number; readonly peer: number }) =>
    new TidemarkError({
      code: "TIDEMARK_PEER_PROTOCOL_VERSION",
      what: "The peer can't be synced with",
      why: `it speaks version ${peer} of the protocol, and this device version ${own}`,
      advice: "Update the application on the older of the two",
      details: { own, peer },
    }),
  otherLibrary: ({ own, peer }: { readonly own: string; readonly peer: string }) =>
    new TidemarkError({
      code: "TIDEMARK_PEER_OTHER_LIBRARY",
      what: "The peer can't be synced with",
      why: `it belongs to the library "${peer}", and this device to "${own}"`,
      advice: "Check `library.id` in the settings of both, and the address that was dialled",
      details: { own, peer },
    }),
  authenticationMethod: ({ own, peer }: { readonly own: string; readonly peer: string }) =>
    new TidemarkError({
      code: "TIDEMARK_PEER_AUTHENTICATION_METHOD",
      what: "The peer can't be synced with",
      why: `it proves itself by "${peer}", and this device by "${own}"`,
      advice: "Give both devices the same kind of authenticator",
      details: { own, peer },
    }),
  wrongSecret: () =>
    new TidemarkError({
      code: "TIDEMARK_PEER_WRONG_SECRET",
      what: "The peer can't be synced with",
      why: "its proof does not fit the secret of this library",
      advice: "Give both devices the same `library.secret`; if you do not know the peer, somebody is trying to get in",
    }),
  foundedApart: ({ library }: { readonly library: string }) =>
    new TidemarkError({
      code: "TIDEMARK_PEER_FOUNDED_APART",
      what: "The peer can't be synced with",
      why: `both devices have founded "${library}", so they are two libraries of the same name`,
      advice:
        'Set `library.role` to "join" on one of them and call resetSyncState() there: it keeps every record and joins the other',
      details: { library },
    }),
  sameDevice: ({ device }: { readonly device: string }) =>
    new TidemarkError({
      code: "TIDEMARK_PEER_SAME_DEVICE",
      what: "The peer can't be synced with",
      why: `it calls itself "${device}", which is the id of this device`,
      advice: "Give every device an id of its own; if the database was copied, call resetSyncState() on the copy",
      details: { device },
    }),
  memberRemoved: ({ device, self }: { readonly device: string; readonly self: boolean }) =>
    new TidemarkError({
      code: "TIDEMARK_MEMBER_REMOVED",
      what: self ? "This device can't be synced" : "The peer can't be synced with",
      why: `"${device}" has been removed from the library, so nothing more is taken from it`,
      advice: "If that was a mistake, call resetSyncState() on that device: it keeps every record and joins anew",
      details: { device, self },
    }),
  membersAreLeft: ({ members }: { readonly members: readonly string[] }) =>
    new TidemarkError({
      code: "TIDEMARK_MEMBERS_ARE_LEFT",
      what: "The library can't be founded anew",
      why: `${members.map((member) => `"${member}"`).join(", ")} would go on with the library as it is, beside the new one`,
      advice: "Call resetSyncState() without `found` to join them again, or removeMember() first for each that is gone",
      details: { members },
    }),
  removesItself: () =>
    new TidemarkError({
      code: "TIDEMARK_MEMBER_IS_THIS_DEVICE",
      what: "The member can't be removed",
      why: "it is this device itself",
      advice: "Remove it from another device, or call uninstall() to stop taking part",
    }),
  tooManyRemovals: ({ limit }: { readonly limit: number }) =>
    new TidemarkError({
      code: "TIDEMARK_TOO_MANY_REMOVALS",
      what: "A member can't be removed",
      why: `a library remembers at most ${limit} removals`,
      advice: "Found a new library with these records, and let the devices join it",
      details: { limit },
    }),
  clockDrift: ({ driftMs, limitMs }: { readonly driftMs: number; readonly limitMs: number }) =>
    new TidemarkError({
      code: "TIDEMARK_CLOCK_DRIFT",
      what: "The peer can't be synced with for now",
      why: `its clock and this one are ${Math.round(Math.abs(driftMs) / 1000)} s apart; at most ${Math.round(limitMs / 1000)} s are allowed`,
      advice: "Set the clocks of both devices; work goes on, and sync resumes by itself",
      details: { driftMs, limitMs },
    }),
  databaseOfOtherLibrary: ({ own, found }: { readonly own: string; readonly found: string }) =>
    new TidemarkError({
      code: "TIDEMARK_DATABASE_OF_OTHER_LIBRARY",
      what: "This database can't be synced with these settings",
      why: `it belongs to the library "${found}", and the settings name "${own}"`,
      advice: "Correct `library.id`, or call uninstall() with the old settings to take the database out of its library",
      details: { own, found },
    }),
  notReady: () =>
    new TidemarkError({
      code: "TIDEMARK_PEER_NOT_READY",
      what: "The peer can't serve the library yet",
      why: "it is not a member, or has not received the whole library itself",
      advice: "Nothing needs to be done: it says when it is ready",
    }),
  deviceNotReady: () =>
    new TidemarkError({
      code: "TIDEMARK_DEVICE_NOT_READY",
      what: "This device can't be compared with a peer yet",
      why: "it is not a member of the library, or has not received all of it",
      advice: "Wait until `status()` names an origin and no backfill",
    }),
  unknownPeer: ({ peer, known }: { readonly peer: string; readonly known: readonly string[] }) =>
    new TidemarkError({
      code: "TIDEMARK_PEER_UNKNOWN",
      what: `There is no peer "${peer}"`,
      why: "no other member of the library has this origin or device id",
      advice: known.length === 0 ? "Nobody else is known here yet" : `Use one of: ${known.join(", ")}`,
      details: { peer, known },
    }),
  notConnected: ({ peer }: { readonly peer: string }) =>
    new TidemarkError({
      code: "TIDEMARK_PEER_NOT_CONNECTED",
      what: `The peer "${peer}" can't be asked`,
      why: "there is no session with it at present",
      advice:
        "Wait until `status()` says that it is connected; its last `peerRefused` or `catchUpFailed` says why it is not",
      details: { peer },
    }),
  refused: ({ code, reason }: { readonly code: string; readonly reason: string }) =>
    new TidemarkError({
      code,
      what: "The peer refused a request",
      why: reason,
      advice: "It is tried again by itself",
    }),
  timedOut: ({ request, timeoutMs }: { readonly request: string; readonly timeoutMs: number }) =>
    new TidemarkError({
      code: "TIDEMARK_PEER_TIMED_OUT",
      what: `The peer did not answer (${request})`,
      why: `nothing came for ${timeoutMs} ms`,
      advice: "It is tried again by itself; raise `replication.requestTimeoutMs` for very slow links",
      details: { request, timeoutMs },
    }),
  sessionLost: ({ reason }: { readonly reason: string }) =>
    new TidemarkError({
      code: "TIDEMARK_SESSION_LOST",
      what: "The session with the peer broke off",
      why: reason,
      advice: "It is taken up again by itself",
    }),
  backfillOutdated: () =>
    new TidemarkError({
      code: "TIDEMARK_BACKFILL_OUTDATED",
      what: "A backfill starts over",
      why: "the library has forgotten more since than what its servers had said they have",
      advice: "Nothing needs to be done: it is tried again by itself, from the beginning",
    }),
  backfillPeerBehind: ({ peer }: { readonly peer: string }) =>
    new TidemarkError({
      code: "TIDEMARK_BACKFILL_PEER_BEHIND",
      what: "A peer does not take part in a backfill",
      why: `${peer} lacks much of what the peer has with which it was begun`,
      advice: "Nothing needs to be done: the others serve",
      details: { peer },
    }),
  backfillCallRefused: ({ reason }: { readonly reason: string }) =>
    new TidemarkError({
      code: "TIDEMARK_BACKFILL_CALL_REFUSED",
      what: "A scheduler of backfills asked for something that can't be",
      why: reason,
      advice: "Correct the plugin that provides the scheduler, or turn it off; nothing was changed",
      details: { reason },
    }),
  backfillSchedulerFailed: ({ reason, cause }: { readonly reason: string; readonly cause?: unknown }) =>
    new TidemarkError({
      code: "TIDEMARK_BACKFILL_SCHEDULER_FAILED",
      what: "A backfill was broken off by the plugin that schedules it",
      why: reason,
      advice:
        "It goes on where it stood, with the kernel's own scheduler until the next start; update the plugin, or turn it off",
      details: { reason },
      cause,
    }),
  unknownModel: ({ model, known }: { readonly model: string; readonly known: readonly string[] }) =>
    new TidemarkError({
      code: "TIDEMARK_UNKNOWN_MODEL",
      what: `There is no model "${model}"`,
      why: "no registered entity has this name on the wire",
      advice: `Use one of: ${known.join(", ")}`,
      details: { model, known },
    }),
  notStarted: () =>
    new TidemarkError({
      code: "TIDEMARK_NOT_STARTED",
      what: "Tidemark can't answer",
      why: "it is not running",
      advice: "Call start() and wait for it first",
    }),
  internal: ({ cause }: { readonly cause: unknown }) =>
    new TidemarkError({
      code: "TIDEMARK_REPLICATION_FAILED",
      what: "Replication with the peer failed",
      why: cause instanceof Error ? cause.message : String(cause),
      advice: "It is tried again by itself; if it keeps failing, please report this with the log",
      cause,
    }),
};

/** Errors that no retry can mend. */
const FINAL = new Set([
  "TIDEMARK_PEER_PROTOCOL_VERSION",
  "TIDEMARK_PEER_OTHER_LIBRARY",
  "TIDEMARK_PEER_AUTHENTICATION_METHOD",
  "TIDEMARK_PEER_WRONG_SECRET",
  "TIDEMARK_PEER_SAME_DEVICE",
  "TIDEMARK_PEER_FOUNDED_APART",
  "TIDEMARK_MEMBER_REMOVED",
]);

export function isRetryable(error: TidemarkError): boolean {
  return !FINAL.has(error.code);
}
