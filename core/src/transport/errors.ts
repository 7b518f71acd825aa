import { TidemarkError } from "@tidemark/plugin-api";

/** Every error of the transport layer, with its stable code. */
export const transportErrors = {
  closed: ({ address, reason }: { readonly address: string; readonly reason: string }) =>
    new TidemarkError({
      code: "TIDEMARK_TRANSPORT_CLOSED",
      what: `A frame for ${address} can't be sent`,
      why: `the connection is closed (${reason})`,
      advice: "Send nothing after onClose; what was on its way is fetched again in the next session",
      details: { address, reason },
    }),

  addressInUse: ({ address }: { readonly address: string }) =>
    new TidemarkError({
      code: "TIDEMARK_TRANSPORT_ADDRESS_IN_USE",
      what: `The in-memory transport can't listen at ${address}`,
      why: "another transport of this network has been started there and not stopped",
      advice: "Stop the other one first, or choose another address",
      details: { address },
    }),

  secretTooShort: ({ length, minimum }: { readonly length: number; readonly minimum: number }) =>
    new TidemarkError({
      code: "TIDEMARK_TRANSPORT_SECRET_TOO_SHORT",
      what: "The library's shared secret can't be used",
      why: `it has ${length} characters, and fewer than ${minimum} could be guessed`,
      advice: "Generate a random one, e.g. with `openssl rand -base64 32`, and give it to every device of the library",
      details: { length, minimum },
    }),
};
