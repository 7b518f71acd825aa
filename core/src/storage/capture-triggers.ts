import { type CapturedColumn, type CaptureIdentity, type CapturePlan, identityColumns } from "./capture-plan.js";
import { quoteName, quoteText } from "./identifiers.js";
import { BORN, COLUMNS_PER_PART, DIED, SUSPECT } from "./outbox.js";

/**
 * The triggers that capture one table, as SQL text; installing them is done elsewhere. They may name only their own
 * table and the sync tables: a trigger that names another table of the application breaks the re-creation of that
 * table. And they use no SQL newer than SQLite 3.24, because they run in every process that writes to the file.
 */
export interface CaptureTrigger {
  readonly name: string;
  /** As `sqlite_master` keeps it, so that it can be compared. */
  readonly sql: string;
}

const PREFIX = "tidemark_capture_";

/** Matches the names of all capture triggers, for `GLOB`. */
export const CAPTURE_TRIGGER_GLOB = `${PREFIX}*`;

/** The number of the model that a capture trigger belongs to. The name outlives a rename of the table. */
export function modelOfTrigger(name: string): number | undefined {
  const match = /^tidemark_capture_(\d+)_/.exec(name);
  return match ? Number(match[1]) : undefined;
}

// `unixepoch` is NULL before 3.42; `julianday` costs the same and works everywhere.
const NOW = "julianday('now')";
const NOT_APPLYING = "NOT EXISTS (SELECT 1 FROM tidemark_applying)";
const ROW = "tidemark_row";

/** All triggers that the plan asks for. */
export function captureTriggers(plan: CapturePlan): readonly CaptureTrigger[] {
  const trigger = (name: string, when: string, condition: string | null, body: string): CaptureTrigger => {
    const fullName = quoteName(`${PREFIX}${plan.model}_${name}`);
    // The guard comes last: it is the most expensive term, and most updates end before it.
    const guard = condition === null ? NOT_APPLYING : `${condition} AND ${NOT_APPLYING}`;
    return {
      name: `${PREFIX}${plan.model}_${name}`,
      sql: `CREATE TRIGGER ${fullName} ${when} ON ${quoteName(plan.table)} WHEN ${guard} BEGIN ${body} END`,
    };
  };
  const insert = (columns: string, source: string) => `INSERT INTO tidemark_outbox (t, model, ${columns}) ${source};`;
  const key = (row: string) => (plan.key === null ? "NULL" : `${row}.${quoteName(plan.key)}`);
  const hop = (row: string) => (plan.hop === null ? "NULL" : `${row}.${quoteName(plan.hop)}`);
  const birth = insert(
    "record, mask, key, hop",
    `VALUES (${NOW}, ${plan.model}, ${record(plan.identity, "NEW")}, ${BORN}, ${key("NEW")}, ${hop("NEW")})`,
  );
  const death = insert(
    "record, mask, key, hop",
    `VALUES (${NOW}, ${plan.model}, ${record(plan.identity, "OLD")}, ${DIED}, ${key("OLD")}, ${hop("OLD")})`,
  );

  const triggers = [
    trigger("birth", "AFTER INSERT", null, birth),
    trigger("death", "AFTER DELETE", null, death),
    trigger(
      "identity",
      // A single key column can be an alias of the rowid, which `UPDATE … SET rowid` changes without naming it.
      plan.identity.kind === "derived" && plan.identity.columns.length === 1
        ? "AFTER UPDATE"
        : `AFTER UPDATE OF ${names(identityColumns(plan.identity))}`,
      `(${identityColumns(plan.identity).map(changed).join(" OR ")})`,
      `${death} ${birth}`,
    ),
  ];

  for (const [part, columns] of partsOf(plan)) {
    triggers.push(
      trigger(
        `update_${part}`,
        `AFTER UPDATE OF ${names(columns.map(({ column }) => column))}`,
        `(${columns.map(columnChanged).join(" OR ")}) AND ${sameIdentity(plan.identity, "NEW", "OLD")}`,
        insert(
          // The hop is the old one: only who owned the record before may change its owner.
          "record, mask, part, hop",
          `VALUES (${NOW}, ${plan.model}, ${record(plan.identity, "NEW")}, ${mask(columns)}, ${part}, ${hop("OLD")})`,
        ),
      ),
    );
  }

  // INSERT OR REPLACE and UPDATE OR REPLACE remove the row that is in their way without firing its delete trigger.
  // Whether it will be removed can't be known here (OR IGNORE, an upsert), so the row is only named as a suspect.
  if (plan.uniqueKeys.length > 0) {
    const clash = (columns: readonly string[], own: "NEW" | "OLD") =>
      `FROM ${quoteName(plan.table)} AS ${ROW} WHERE ${columns
        .map((column) => `${ROW}.${quoteName(column)} = NEW.${quoteName(column)}`)
        .join(" AND ")} AND NOT ${sameIdentity(plan.identity, ROW, own)}`;
    const suspects = (own: "NEW" | "OLD") =>
      plan.uniqueKeys
        .map((columns) =>
          insert(
            "record, mask, key, hop",
            `SELECT ${NOW}, ${plan.model}, ${record(plan.identity, ROW)}, ${SUSPECT}, ${key(ROW)}, ${hop(ROW)} ${clash(columns, own)}`,
          ),
        )
        .join(" ");
    // The search stands in WHEN as well: without a clash, which is nearly always, the body need not be entered. An
    // automatic rowid reads -1 or NULL here and finds nothing, or at worst a false suspect.
    triggers.push(
      trigger(
        "replace_insert",
        "BEFORE INSERT",
        `(${plan.uniqueKeys.map((columns) => `EXISTS (SELECT 1 ${clash(columns, "NEW")})`).join(" OR ")})`,
        suspects("NEW"),
      ),
      trigger(
        "replace_update",
        `BEFORE UPDATE OF ${names([...new Set(plan.uniqueKeys.flat())])}`,
        `(${plan.uniqueKeys
          .map((columns) => `(${columns.map(changed).join(" OR ")}) AND EXISTS (SELECT 1 ${clash(columns, "OLD")})`)
          .join(" OR ")})`,
        suspects("OLD"),
      ),
    );
  }
  return triggers;
}

function names(columns: readonly string[]): string {
  return columns.map(quoteName).join(", ");
}

/** Without COLLATE BINARY the comparison follows the column's collation, and 'abc' → 'ABC' is no change under NOCASE. */
function changed(column: string): string {
  return `NEW.${quoteName(column)} IS NOT OLD.${quoteName(column)} COLLATE BINARY`;
}

function columnChanged({ column, affinity }: CapturedColumn): string {
  // Without affinity 1 and 1.0 are stored differently and compare as equal.
  const name = quoteName(column);
  return affinity === "none"
    ? `(${changed(column)} OR typeof(NEW.${name}) <> typeof(OLD.${name}))`
    : `(${changed(column)})`;
}

function sameIdentity(identity: CaptureIdentity, one: string, other: string): string {
  return `(${identityColumns(identity)
    .map((column) => `${one}.${quoteName(column)} IS ${other}.${quoteName(column)} COLLATE BINARY`)
    .join(" AND ")})`;
}

/** The columns by part. Key columns of a derived identity are left out: they can't change while the identity stays. */
function partsOf(plan: CapturePlan): ReadonlyMap<number, readonly CapturedColumn[]> {
  const own = identityColumns(plan.identity);
  const parts = new Map<number, CapturedColumn[]>();
  for (const column of plan.columns) {
    if (own.includes(column.column)) continue;
    const part = Math.floor((column.number - 1) / COLUMNS_PER_PART);
    parts.set(part, [...(parts.get(part) ?? []), column]);
  }
  return parts;
}

function mask(columns: readonly CapturedColumn[]): string {
  return columns.map((column) => `(${columnChanged(column)} << ${(column.number - 1) % COLUMNS_PER_PART})`).join(" | ");
}

function record(identity: CaptureIdentity, row: string): string {
  if (identity.kind === "column") return `${row}.${quoteName(identity.column)}`;
  // The JSON functions of SQLite are not in every build, so the array is put together by hand. An integer is cast so
  // that whatever else may stand in the column can't make the array unreadable.
  const values = identity.columns.map(({ column, kind }) =>
    kind === "integer" ? `CAST(${row}.${quoteName(column)} AS INTEGER)` : jsonText(`${row}.${quoteName(column)}`),
  );
  return `'[' || ${values.join(" || ',' || ")} || ']'`;
}

/** A JSON string of a text value. The escapes of control characters stand in a branch of their own: they are rare. */
function jsonText(value: string): string {
  const escaped = `replace(replace(${value}, ${quoteText("\\")}, ${quoteText("\\\\")}), '"', ${quoteText('\\"')})`;
  let withControls = escaped;
  for (let code = 1; code < 32; code++) {
    withControls = `replace(${withControls}, char(${code}), '\\u00${code.toString(16).padStart(2, "0")}')`;
  }
  // `replace` can't find a NUL, and no identity has one: null keeps the array readable.
  return `CASE WHEN instr(${value}, char(0)) > 0 THEN 'null' WHEN ${value} GLOB '*[' || char(1) || '-' || char(31) || ']*' THEN '"' || ${withControls} || '"' ELSE '"' || ${escaped} || '"' END`;
}
