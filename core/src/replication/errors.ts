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
};
