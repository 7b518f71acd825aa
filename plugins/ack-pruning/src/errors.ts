import { TidemarkError } from "@tidemark/plugin-api";

const DAY_MS = 24 * 3_600_000;

/** Every error of this plugin, with its stable code. */
export const ackPruningErrors = {
  keepsTooLong: ({ keepDays, maxOfflineMs }: { readonly keepDays: number; readonly maxOfflineMs: number }) =>
    new TidemarkError({
      code: "TIDEMARK_ACK_PRUNING_KEEPS_TOO_LONG",
      what: `Entries that every member has can't be kept for ${keepDays} days`,
      why: `a member that has been away for ${maxOfflineMs / DAY_MS} days lapses and gets everything anew, so nobody would ever ask for older ones`,
      advice: "Lower `keepDays`, or raise `membership.maxOfflineMs` of the kernel on all devices",
      details: { keepDays, maxOfflineMs },
    }),
};
