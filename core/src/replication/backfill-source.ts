import type { Survey } from "./backfill-bounds.js";
import type { Stretch } from "./backfill-ranges.js";
import type { MessageOf } from "./messages.js";
import type { FetchRecords } from "./restore.js";

/** A session as the backfill of this device sees it: a peer that can be asked. */
export interface BackfillSource {
  /** Origin id of the peer. */
  readonly peer: string;
  /** Told before the first request: from now on a loss of the session is a failure. */
  begin(): Promise<void>;
  plan(): Promise<MessageOf<"backfill-plan">>;
  page(request: {
    readonly model: string;
    readonly stretch: Stretch;
    readonly limit: number;
    readonly maxBytes: number | undefined;
  }): Promise<{ readonly answer: MessageOf<"backfill-rows">; readonly bytes: number }>;
  bounds(model: string, survey: Survey): Promise<readonly string[]>;
  readonly fetch: FetchRecords;
  /** Ends the session because of an error, which is decided upon. */
  fail(error: unknown): void;
}
