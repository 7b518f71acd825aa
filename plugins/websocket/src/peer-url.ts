// Addresses of peers: which ones can be dialled, and how they are written for people.

import { isIPv6 } from "node:net";
import { websocketErrors } from "./errors.js";

/** The URL of a peer. Throws `TIDEMARK_WEBSOCKET_BAD_URL`. */
export function parsePeerUrl(text: string): URL {
  const bad = (why: string, cause?: unknown) => websocketErrors.badUrl({ url: withoutPassword(text), why, cause });
  let url: URL;
  try {
    url = new URL(text);
  } catch (cause) {
    throw bad("it is not a URL", cause);
  }
  if (url.protocol !== "ws:" && url.protocol !== "wss:") throw bad(`it begins with ${url.protocol}, not ws: or wss:`);
  if (url.hash !== "") throw bad(`a WebSocket address can't have a fragment (${url.hash})`);
  return url;
}

/** A peer's address for logs and reports; user name, password and query stay out of it. */
export function displayUrl(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname === "/" ? "" : url.pathname}`;
}

/** The address of a socket as a URL. */
export function socketUrl({
  host,
  port,
  path = "/",
}: {
  readonly host: string;
  readonly port: number;
  readonly path?: string;
}): string {
  return `ws://${isIPv6(host) ? `[${host}]` : host}:${port}${path === "/" ? "" : path}`;
}

/** Whether a bound address can be reached from this machine alone. */
export function isLoopback(address: string): boolean {
  return address === "::1" || address.startsWith("127.") || address.startsWith("::ffff:127.");
}

function withoutPassword(text: string): string {
  return text.replace(/\/\/[^/@]*@/, "//…@");
}
