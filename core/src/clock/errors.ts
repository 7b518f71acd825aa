import { TidemarkError } from "@tidemark/plugin-api";

/** Every error of the clock, with its stable code. */
export const clockErrors = {
  outOfRange: ({ wallMs }: { readonly wallMs: number }) =>
    new TidemarkError({
      code: "TIDEMARK_CLOCK_OUT_OF_RANGE",
      what: "A change can't be stamped",
      why: `the clock stands at ${wallMs} ms since 1970, and stamps reach to the year 2089`,
      advice: "Set the clock of this device; nothing is lost, the change is stamped once the clock is right",
      details: { wallMs },
    }),
  notAnHlc: ({ hlc }: { readonly hlc: number }) =>
    new TidemarkError({
      code: "TIDEMARK_CLOCK_NOT_AN_HLC",
      what: "A received time was refused",
      why: `${hlc} is not an integer from 0 to 2^53 - 1`,
      advice: "Check times from outside before they reach the clock",
      details: { hlc },
    }),
};
