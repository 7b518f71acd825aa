import { fileLibraryErrors } from "../errors.js";
import type { IndexResult } from "../indexer/index-location.js";
import type { DeviceFigures } from "./figures.js";
import type { Forgotten } from "./until-forgotten.js";

/**
 * What the demo and its two device processes say to each other over IPC. Every command can be given again after its
 * process was killed: it goes on from what the database holds. Messages are checked on both sides, because a killed
 * process may leave anything behind, and an old build may still run.
 */
export type DeviceName = "A" | "B";

export interface DeviceSetup {
  readonly name: DeviceName;
  readonly deviceId: string;
  readonly databaseFile: string;
  readonly libraryId: string;
  readonly secret: string;
  readonly role: "found" | "join";
  /** Where to listen on loopback: 0 for any free port, null for not at all. */
  readonly listenPort: number | null;
  /** `ws://` addresses to dial. */
  readonly peers: readonly string[];
  /** Whether to take part in sync at once. */
  readonly online: boolean;
  /** Plugins that are turned off. */
  readonly without: readonly string[];
}

export interface Commands {
  /** Opens the database, and goes online if the setup says so. Always the first command. */
  readonly open: { readonly setup: DeviceSetup };
  readonly online: Record<never, never>;
  readonly offline: Record<never, never>;
  readonly index: {
    readonly root: string;
    readonly label: string;
    readonly skip: readonly string[];
    readonly maxFiles: number | null;
  };
  readonly scratch: { readonly root: string; readonly seed: string; readonly files: number };
  readonly round: {
    readonly root: string;
    readonly seed: string;
    readonly round: string;
    readonly fileChanges: number;
    readonly recordChanges: number;
  };
  /** Waits until everybody has acknowledged everything and the log is empty; gives up when nothing moves for so long. */
  readonly forget: { readonly patienceMs: number };
  readonly status: Record<never, never>;
  readonly report: Record<never, never>;
  readonly compare: Record<never, never>;
  readonly close: Record<never, never>;
}

export type CommandKind = keyof Commands;
export type Command = { readonly [Kind in CommandKind]: { readonly kind: Kind } & Commands[Kind] }[CommandKind];
export type Request = { readonly id: number } & Command;

export interface Results {
  readonly open: OnlineResult;
  readonly online: OnlineResult;
  readonly offline: null;
  readonly index: IndexResult;
  readonly scratch: null;
  readonly round: null;
  readonly forget: Forgotten;
  readonly status: DeviceStatus;
  readonly report: DeviceReport;
  readonly compare: Comparison;
  readonly close: null;
}

export interface OnlineResult {
  /** Where this device listens; null when it does not. */
  readonly url: string | null;
}

/** What a device tells of itself all the time. */
export interface DeviceReport {
  /** How many records are here. */
  readonly records: number;
  /** Ids of the plugins that run, or ran when the device was last online. */
  readonly plugins: readonly string[];
  /** Since this process started. */
  readonly figures: DeviceFigures;
}

export interface DeviceStatus {
  /** Nothing of its own is unsent or unfolded, and no backfill is under way. */
  readonly idle: boolean;
  /** Peers with whom everything has been exchanged. */
  readonly readyPeers: number;
  readonly backfilling: boolean;
  /** Local changes that have no stamp yet. */
  readonly outbox: number;
  readonly logEntries: number;
  readonly syncTableBytes: number;
  readonly parked: ParkedRecords;
  /** Rows by table. */
  readonly rows: Readonly<Record<string, number>>;
}

/** Records that are not, or not wholly, in their tables. */
export interface ParkedRecords {
  /** Something that they refer to has been deleted, or is still to come. */
  readonly hidden: number;
  /** Deleted, with edits by somebody who did not know of the deletion. */
  readonly dead: number;
  /** The local schema refuses them. */
  readonly quarantined: number;
  /** To be tried again later. */
  readonly deferred: number;
  /** Of a model that is unknown here. */
  readonly foreign: number;
}

export interface Comparison {
  readonly models: Readonly<Record<string, ModelDigest>>;
  readonly foreignKeyViolations: number;
}

export interface ModelDigest {
  readonly rows: number;
  /** By Tidemark's own digest service. */
  readonly digest: string;
  /** By the demo's own SQL over the tables, so that the engine does not judge itself. */
  readonly independentDigest: string;
}

export type DeviceMessage =
  | { readonly kind: "result"; readonly id: number; readonly result: unknown }
  | { readonly kind: "failure"; readonly id: number; readonly code: string; readonly message: string }
  | {
      readonly kind: "progress";
      readonly task: string;
      readonly unit: string;
      readonly done: number;
      readonly total: number;
    }
  | { readonly kind: "report"; readonly report: DeviceReport }
  | { readonly kind: "notice"; readonly text: string };

type Shape = "string" | "number" | "boolean" | "object" | "list" | "any";
/** A field's shape; a leading `?` allows null. */
type Fields = Readonly<Record<string, Shape | `?${Shape}`>>;

const COMMAND_FIELDS: Readonly<Record<CommandKind, Fields>> = {
  open: { setup: "object" },
  online: {},
  offline: {},
  index: { root: "string", label: "string", skip: "list", maxFiles: "?number" },
  scratch: { root: "string", seed: "string", files: "number" },
  round: { root: "string", seed: "string", round: "string", fileChanges: "number", recordChanges: "number" },
  forget: { patienceMs: "number" },
  status: {},
  report: {},
  compare: {},
  close: {},
};

const SETUP_FIELDS: Fields = {
  name: "string",
  deviceId: "string",
  databaseFile: "string",
  libraryId: "string",
  secret: "string",
  role: "string",
  listenPort: "?number",
  peers: "list",
  online: "boolean",
  without: "list",
};

const MESSAGE_FIELDS: Readonly<Record<DeviceMessage["kind"], Fields>> = {
  result: { id: "number", result: "any" },
  failure: { id: "number", code: "string", message: "string" },
  progress: { task: "string", unit: "string", done: "number", total: "number" },
  report: { report: "object" },
  notice: { text: "string" },
};

const RESULT_FIELDS: Readonly<Record<CommandKind, Fields | null>> = {
  open: { url: "?string" },
  online: { url: "?string" },
  offline: null,
  index: {
    added: "number",
    changed: "number",
    moved: "number",
    deleted: "number",
    unchanged: "number",
    filesHashed: "number",
    bytesHashed: "number",
    problemCount: "number",
    problems: "list",
  },
  scratch: null,
  round: null,
  forget: { logEntries: "number", heldBackBy: "list" },
  status: {
    idle: "boolean",
    readyPeers: "number",
    backfilling: "boolean",
    outbox: "number",
    logEntries: "number",
    syncTableBytes: "number",
    parked: "object",
    rows: "object",
  },
  report: { records: "number", plugins: "list", figures: "object" },
  compare: { models: "object", foreignKeyViolations: "number" },
  close: null,
};

const FIGURES_FIELDS: Fields = {
  received: "number",
  references: "object",
  log: "object",
  catchUps: "object",
  backfill: "object",
  pool: "?object",
  health: "?object",
};

const PARKED_FIELDS: Fields = {
  hidden: "number",
  dead: "number",
  quarantined: "number",
  deferred: "number",
  foreign: "number",
};

const MODEL_FIELDS: Fields = { rows: "number", digest: "string", independentDigest: "string" };

/** Checks what a device process received. @throws FILE_LIBRARY_INVALID_MESSAGE */
export function parseRequest(value: unknown): Request {
  const from = "the demo";
  const kind = kindOf(value, COMMAND_FIELDS, from);
  check(value, { id: "number", ...COMMAND_FIELDS[kind] }, from, kind);
  if (kind === "open") check((value as { setup: unknown }).setup, SETUP_FIELDS, from, "open.setup");
  return value as Request;
}

/** Checks what the demo received. @throws FILE_LIBRARY_INVALID_MESSAGE */
export function parseMessage(value: unknown, from: string): DeviceMessage {
  const kind = kindOf(value, MESSAGE_FIELDS, from);
  check(value, MESSAGE_FIELDS[kind], from, kind);
  if (kind === "report") checkReport((value as { report: unknown }).report, from, "report.report");
  return value as DeviceMessage;
}

/** Checks the result of a command. @throws FILE_LIBRARY_INVALID_MESSAGE */
export function parseResult<Kind extends CommandKind>(kind: Kind, value: unknown, from: string): Results[Kind] {
  const fields = RESULT_FIELDS[kind];
  if (fields === null) return null as Results[Kind];
  check(value, fields, from, `the result of ${kind}`);
  if (kind === "status") check((value as DeviceStatus).parked, PARKED_FIELDS, from, "the result of status.parked");
  if (kind === "report") checkReport(value, from, "the result of report");
  if (kind === "compare") {
    for (const [name, model] of Object.entries((value as Comparison).models)) check(model, MODEL_FIELDS, from, name);
  }
  return value as Results[Kind];
}

function checkReport(value: unknown, from: string, what: string): void {
  check(value, RESULT_FIELDS.report!, from, what);
  check((value as DeviceReport).figures, FIGURES_FIELDS, from, `${what}.figures`);
}

function kindOf<Kind extends string>(value: unknown, known: Readonly<Record<Kind, unknown>>, from: string): Kind {
  const kind = isObject(value) ? value.kind : undefined;
  if (typeof kind === "string" && Object.hasOwn(known, kind)) return kind as Kind;
  throw fileLibraryErrors.invalidMessage({ from, message: `its kind is ${JSON.stringify(kind) ?? "missing"}` });
}

function check(value: unknown, fields: Fields, from: string, what: string): void {
  if (!isObject(value)) throw fileLibraryErrors.invalidMessage({ from, message: `${what} is not an object` });
  for (const [field, shape] of Object.entries(fields)) {
    if (!hasShape(value[field], shape)) {
      throw fileLibraryErrors.invalidMessage({
        from,
        message: `${what}.${field} is not ${aOrAn(shape.replace("?", ""))}`,
      });
    }
  }
}

function aOrAn(noun: string): string {
  return /^[aeiou]/.test(noun) ? `an ${noun}` : `a ${noun}`;
}

function hasShape(value: unknown, shape: string): boolean {
  if (shape.startsWith("?")) return value === null || hasShape(value, shape.slice(1));
  switch (shape) {
    case "any":
      return true;
    case "list":
      return Array.isArray(value);
    case "object":
      return isObject(value);
    case "number":
      return typeof value === "number" && Number.isFinite(value);
    default:
      return typeof value === shape;
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
