import { TidemarkError } from "@tidemark/plugin-api";

interface ListenFailure {
  readonly host: string;
  readonly port: number;
  readonly cause: unknown;
}

/** Every error of this plugin, with its stable code. */
export const websocketErrors = {
  portInUse: ({ host, port, cause }: ListenFailure) =>
    new TidemarkError({
      code: "TIDEMARK_WEBSOCKET_PORT_IN_USE",
      what: `The WebSocket transport can't listen on port ${port} of ${host}`,
      why: "another process, or another kernel of this one, listens there already",
      advice: "Stop the other one, or set `listen.port` to another port; 0 takes any free one",
      details: { host, port },
      cause,
    }),

  addressNotAvailable: ({ host, port, cause }: ListenFailure) =>
    new TidemarkError({
      code: "TIDEMARK_WEBSOCKET_ADDRESS_NOT_AVAILABLE",
      what: `The WebSocket transport can't listen at ${host}`,
      why: "this machine has no such address, or the name can't be resolved",
      advice: "Set `listen.host` to an address of this machine, such as 127.0.0.1, or 0.0.0.0 for all of them",
      details: { host, port },
      cause,
    }),

  portNotPermitted: ({ host, port, cause }: ListenFailure) =>
    new TidemarkError({
      code: "TIDEMARK_WEBSOCKET_PORT_NOT_PERMITTED",
      what: `The WebSocket transport can't listen on port ${port} of ${host}`,
      why: "the system does not allow this process to use that port",
      advice: "Set `listen.port` to a port above 1023, or 0 for any free one",
      details: { host, port },
      cause,
    }),

  listenFailed: ({ host, port, cause }: ListenFailure) =>
    new TidemarkError({
      code: "TIDEMARK_WEBSOCKET_LISTEN_FAILED",
      what: `The WebSocket transport can't listen on port ${port} of ${host}`,
      why: cause instanceof Error ? cause.message : "the system refused without a reason",
      advice: "Check `listen.host` and `listen.port`, and the limits of the process (open files)",
      details: { host, port },
      cause,
    }),

  badUrl: ({ url, why, cause }: { readonly url: string; readonly why: string; readonly cause?: unknown }) =>
    new TidemarkError({
      code: "TIDEMARK_WEBSOCKET_BAD_URL",
      what: `"${url}" is no address of a peer`,
      why,
      advice: "Write ws://host:port/path, or wss:// when TLS stands in front of the peer",
      details: { url },
      cause,
    }),

  closed: ({ address, reason }: { readonly address: string; readonly reason: string }) =>
    new TidemarkError({
      code: "TIDEMARK_TRANSPORT_CLOSED",
      what: `A frame for ${address} can't be sent`,
      why: `the connection is closed (${reason})`,
      advice: "Send nothing after onClose; what was on its way is fetched again in the next session",
      details: { address, reason },
    }),
};

/** The typed error for what `server.listen` failed with. */
export function listenError(failure: ListenFailure): TidemarkError {
  switch ((failure.cause as NodeJS.ErrnoException | undefined)?.code) {
    case "EADDRINUSE":
      return websocketErrors.portInUse(failure);
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
    case "EAI_AGAIN":
    case "EAFNOSUPPORT":
      return websocketErrors.addressNotAvailable(failure);
    case "EACCES":
    case "EPERM":
      return websocketErrors.portNotPermitted(failure);
    default:
      return websocketErrors.listenFailed(failure);
  }
}
