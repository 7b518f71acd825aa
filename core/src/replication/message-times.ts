import { replicationErrors } from "./errors.js";
import type { Message, WireRemoval, WireVector } from "./messages.js";

/**
 * Refuses times that no clock within bounds can have told. Taken over into a vector, such a time would hide every change
 * below it for ever, and it would drag the own clock along. Throws `TIDEMARK_CLOCK_FROM_THE_FUTURE`. Stamps of records are
 * judged where records are decoded.
 */
export function checkTimes(message: Message, limit: number): void {
  const time = (hlc: number) => {
    if (hlc > limit) throw replicationErrors.fromTheFuture({ hlc, limit });
  };
  const removals = (told: readonly WireRemoval[]) => {
    for (const { hlc } of told) time(hlc);
  };
  const vector = (entries: WireVector) => {
    for (const origin in entries) time(entries[origin]!);
  };
  switch (message.t) {
    case "page":
      if (message.end === null) return;
      vector(message.end.vector);
      for (const { joinHlc } of message.end.members) time(joinHlc);
      removals(message.end.removals);
      for (const origin in message.end.vectors) vector(message.end.vectors[origin]!);
      return;
    case "removals":
      removals(message.removals);
      return;
    case "hello":
    case "backfill-plan":
      vector(message.vector);
      time(message.floor);
      for (const { joinHlc } of message.members) time(joinHlc);
      if (message.t === "hello") removals(message.removals);
      return;
    case "joined":
      time(message.hlc);
      vector(message.settled);
      for (const { joinHlc } of message.members) time(joinHlc);
      return;
    case "pull":
      vector(message.vector);
      return;
    case "backfill-rows":
    case "fetched":
    case "snapshot-required":
      time(message.floor);
      return;
    default:
  }
}
