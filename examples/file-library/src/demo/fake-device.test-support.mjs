// Stands in for a device's process in tests of the handle. What it remembers over restarts is in its "database".
import { readFileSync, writeFileSync } from "node:fs";

let file;
let deaf = false;
const read = () => {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return { opens: [], calls: [] };
  }
};
const remember = (change) => writeFileSync(file, JSON.stringify(change(read())));
const status = {
  idle: true,
  readyPeers: 1,
  backfilling: false,
  outbox: 0,
  logEntries: 0,
  syncTableBytes: 0,
  parked: { hidden: 0, dead: 0, quarantined: 0, deferred: 0, foreign: 0 },
  rows: {},
};

process.on("message", (request) => {
  const { id, kind } = request;
  const answer = (result) => process.send({ kind: "result", id, result });
  if (kind === "open") {
    file = request.setup.databaseFile;
    const { listenPort, online, peers } = request.setup;
    remember(({ opens, calls }) => ({ opens: [...opens, { listenPort, online, peers }], calls }));
    answer({ url: "ws://127.0.0.1:4711/" });
    return;
  }
  remember(({ opens, calls }) => ({ opens, calls: [...calls, kind] }));
  if (deaf) return;
  switch (kind) {
    case "online":
      deaf = true;
      process.send({ kind: "notice", text: "deaf from now on" });
      break;
    case "scratch":
      // The first process never ends this; its successor does at once.
      if (read().opens.length > 1) answer(null);
      else process.send({ kind: "notice", text: "busy" });
      break;
    case "index":
      process.stderr.write("the disk is on fire\n");
      process.stderr.write("", () => process.exit(3));
      break;
    case "round":
      process.send({ kind: "failure", id, code: "TIDEMARK_SOMETHING", message: "it can't be done." });
      break;
    case "compare":
      process.send({ kind: "result", id, result: { models: { Tag: { rows: "many" } }, foreignKeyViolations: 0 } });
      break;
    case "status":
      answer(status);
      break;
    case "close":
      answer(null);
      process.disconnect();
      break;
    default:
      answer({ url: null });
  }
});
