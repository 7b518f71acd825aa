import { expect, it } from "vitest";
import { listenError } from "./errors.js";

it.each([
  ["EADDRINUSE", "TIDEMARK_WEBSOCKET_PORT_IN_USE"],
  ["EADDRNOTAVAIL", "TIDEMARK_WEBSOCKET_ADDRESS_NOT_AVAILABLE"],
  ["ENOTFOUND", "TIDEMARK_WEBSOCKET_ADDRESS_NOT_AVAILABLE"],
  ["EACCES", "TIDEMARK_WEBSOCKET_PORT_NOT_PERMITTED"],
  ["EMFILE", "TIDEMARK_WEBSOCKET_LISTEN_FAILED"],
])("names what listening failed with: %s", (systemCode, code) => {
  const cause = Object.assign(new Error(`listen ${systemCode}`), { code: systemCode });
  const error = listenError({ host: "127.0.0.1", port: 80, cause });
  expect(error).toMatchObject({ code, cause, details: { host: "127.0.0.1", port: 80 } });
});
