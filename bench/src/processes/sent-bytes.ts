import { subscribe } from "node:diagnostics_channel";
import type { Socket } from "node:net";

/**
 * Counts what this process writes to its TCP sockets, frames and handshakes included, whichever library opened them. Must
 * be called before the first one.
 */
export function countSentBytes(): () => number {
  const sockets: Socket[] = [];
  for (const channel of ["net.server.socket", "net.client.socket"]) {
    subscribe(channel, (message) => sockets.push((message as { readonly socket: Socket }).socket));
  }
  return () => sockets.reduce((sum, socket) => sum + socket.bytesWritten, 0);
}
