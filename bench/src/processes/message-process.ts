import { once } from "node:events";
import type { AddressInfo } from "node:net";
import Database from "better-sqlite3";
import { WebSocket, WebSocketServer } from "ws";
import { machineMs, pause, systemClock } from "../system-clock.js";
import type { MessageCommands } from "./message-commands.js";
import { serve } from "./serve.js";

/** The main file of a process that sends bare messages, or inserts what it receives. */
const insertedMs: number[] = [];
const RECEIVE_POLL_MS = 20;

async function listen(file: string): Promise<{ url: string }> {
  const db = new Database(file);
  db.pragma("journal_mode = WAL");
  db.pragma("synchronous = FULL");
  db.exec("CREATE TABLE message (id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, notes TEXT)");
  const insert = db.prepare("INSERT INTO message (uuid, notes) VALUES (?, ?)");
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false });
  server.on("connection", (socket) => {
    socket.on("message", (data: Buffer) => {
      const { uuid, notes } = JSON.parse(data.toString("utf8")) as { uuid: string; notes: string };
      insert.run(uuid, notes);
      insertedMs.push(machineMs());
    });
  });
  await once(server, "listening");
  return { url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

async function send(url: string, messages: number, perSecond: number): Promise<readonly number[]> {
  const socket = new WebSocket(url, { perMessageDeflate: false });
  await once(socket, "open");
  const sentMs: number[] = [];
  const startedMs = systemClock.monotonicMs();
  while (sentMs.length < messages) {
    const due = Math.min(messages, Math.floor(((systemClock.monotonicMs() - startedMs) * perSecond) / 1_000));
    while (sentMs.length < due) {
      const uuid = `10000000-0000-4000-8000-${String(sentMs.length).padStart(12, "0")}`;
      sentMs.push(machineMs());
      socket.send(JSON.stringify({ uuid, notes: String(sentMs.length) }));
    }
    await pause(1);
  }
  return sentMs;
}

serve<MessageCommands>({
  listen: ({ file }) => listen(file),
  send: async ({ url, changes, perSecond }) => ({ atMs: await send(url, changes, perSecond) }),
  received: async ({ messages }) => {
    // One connection keeps its messages in order, so the first one sent is the first one here.
    while (insertedMs.length < messages) await pause(RECEIVE_POLL_MS);
    return { atMs: insertedMs };
  },
});
