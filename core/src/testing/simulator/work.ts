// What the application does on a device: random statements that respect the schema, on few records, so that devices meet
// at the same ones. Plain SQL, because capture promises to see every write.

import type { Chance } from "./chance.js";
import type { SchemaVersion } from "./library-model.js";

export interface Statement {
  readonly sql: string;
  readonly parameters: readonly (string | number | null)[];
  /** The folder that may begin a life with it. */
  readonly begins?: string;
  /** The folder that a remark comes to refer to with it. */
  readonly remarksOn?: string;
}

type Maker = (draw: Draw) => Statement;

/**
 * What the application does about badges of which two got the same code: the engine sets one of them aside on each side,
 * and only the application can tell which is to give way.
 */
export const TELL_BADGES_APART = "UPDATE badge SET code = uuid WHERE code <> uuid";

/** What a statement is made from. */
class Draw {
  constructor(
    readonly chance: Chance,
    readonly device: string,
    /** Different each time. */
    readonly text: string,
    readonly devices: readonly string[],
  ) {}

  folder = () => `f${this.chance.below(6)}`;
  label = () => `l${this.chance.below(3)}`;
  team = () => `t${this.chance.below(2)}`;
  person = () => `p${this.chance.below(3)}`;
  part = () => `w${this.chance.below(3)}`;
  badge = () => `b${this.chance.below(3)}`;
  remark = () => `r${this.chance.below(3)}`;
  drive = (device = this.device) => `d-${device}-${this.chance.below(2)}`;
  anyDevice = () => this.chance.pick(this.devices);
  below = (n: number) => this.chance.below(n);
}

const id = (table: string) => `(SELECT id FROM "${table}" WHERE uuid = ?)`;
const OWN = "driveId IN (SELECT d.id FROM drive d JOIN machine m ON m.id = d.machineId WHERE m.uuid = ?)";

function statement(sql: string, ...parameters: readonly (string | number | null)[]): Statement {
  return { sql, parameters };
}

function beginning(folder: string, make: (folder: string) => Statement): Statement {
  return { ...make(folder), begins: folder };
}

const SHARED: readonly (readonly [Maker, number])[] = [
  [
    (d) =>
      beginning(d.folder(), (folder) =>
        statement(
          `INSERT OR IGNORE INTO folder (uuid, name, parentId) VALUES (?, ?, ${id("folder")})`,
          folder,
          d.text,
          d.folder(),
        ),
      ),
    4,
  ],
  [(d) => statement("UPDATE folder SET name = ? WHERE uuid = ?", d.text, d.folder()), 2],
  [(d) => statement("UPDATE folder SET size = size + 1 WHERE uuid = ?", d.folder()), 2],
  [(d) => statement(`UPDATE folder SET parentId = ${id("folder")} WHERE uuid = ?`, d.folder(), d.folder()), 2],
  [(d) => statement("DELETE FROM folder WHERE uuid = ?", d.folder()), 2],
  // The same identity in another life, or under another key.
  [
    (d) =>
      beginning(d.folder(), (folder) =>
        statement("INSERT OR REPLACE INTO folder (uuid, name) VALUES (?, ?)", folder, d.text),
      ),
    0.5,
  ],
  [
    (d) =>
      beginning(d.folder(), (folder) =>
        statement("UPDATE OR IGNORE folder SET uuid = ? WHERE uuid = ?", folder, d.folder()),
      ),
    0.3,
  ],
  [(d) => statement("INSERT OR IGNORE INTO label (uuid, name) VALUES (?, ?)", d.label(), d.text), 2],
  [(d) => statement("UPDATE label SET colour = ? WHERE uuid = ?", d.below(3) === 0 ? null : d.text, d.label()), 2],
  [(d) => statement("DELETE FROM label WHERE uuid = ?", d.label()), 1],
  [
    (d) =>
      statement(
        "INSERT OR IGNORE INTO folder_labels (folderId, labelId) SELECT f.id, l.id FROM folder f, label l WHERE f.uuid = ? AND l.uuid = ?",
        d.folder(),
        d.label(),
      ),
    2,
  ],
  [(d) => statement(`DELETE FROM folder_labels WHERE labelId = ${id("label")}`, d.label()), 1],
  [(d) => statement("INSERT OR IGNORE INTO team (uuid, name) VALUES (?, ?)", d.team(), d.text), 1],
  [
    (d) =>
      statement(
        "INSERT OR IGNORE INTO person (uuid, name, teamId) SELECT ?, ?, id FROM team WHERE uuid = ?",
        d.person(),
        d.text,
        d.team(),
      ),
    2,
  ],
  [(d) => statement(`UPDATE team SET leaderId = ${id("person")} WHERE uuid = ?`, d.person(), d.team()), 2],
  [
    (d) =>
      statement(
        "UPDATE person SET teamId = (SELECT id FROM team WHERE uuid = ?) WHERE uuid = ? AND EXISTS (SELECT 1 FROM team WHERE uuid = ?)",
        ...((team) => [team, d.person(), team])(d.team()),
      ),
    1,
  ],
  [(d) => statement("DELETE FROM team WHERE uuid = ?", d.team()), 0.5],
  [(d) => statement("DELETE FROM person WHERE uuid = ?", d.person()), 0.5],
  [
    (d) =>
      statement(
        "INSERT OR IGNORE INTO part (id, uuid, name, wholeId) SELECT n, ?, ?, coalesce((SELECT id FROM part WHERE uuid = ?), n) FROM (SELECT coalesce(max(id), 0) + 1 AS n FROM part)",
        d.part(),
        d.text,
        d.part(),
      ),
    2,
  ],
  [(d) => statement(`UPDATE part SET wholeId = coalesce(${id("part")}, id) WHERE uuid = ?`, d.part(), d.part()), 1],
  [(d) => statement("UPDATE part SET wholeId = id WHERE uuid = ?", d.part()), 0.5],
  [(d) => statement("DELETE FROM part WHERE uuid = ?", d.part()), 0.7],
  [
    (d) =>
      statement("INSERT OR IGNORE INTO badge (uuid, code, name) VALUES (?, ?, ?)", d.badge(), `c${d.below(4)}`, d.text),
    1,
  ],
  [(d) => statement("UPDATE OR IGNORE badge SET code = ? WHERE uuid = ?", `c${d.below(4)}`, d.badge()), 1],
  [(d) => statement("UPDATE badge SET name = ? WHERE uuid = ?", d.text, d.badge()), 0.5],
  [(d) => statement("DELETE FROM badge WHERE uuid = ?", d.badge()), 0.5],
];

const OWNED: readonly (readonly [Maker, number])[] = [
  [
    (d) =>
      statement(
        "INSERT OR IGNORE INTO drive (uuid, name, machineId) SELECT ?, ?, id FROM machine WHERE uuid = ?",
        d.drive(),
        d.text,
        d.device,
      ),
    2,
  ],
  [
    (d) =>
      statement(
        "UPDATE drive SET name = ? WHERE machineId = (SELECT id FROM machine WHERE uuid = ?)",
        d.text,
        d.device,
      ),
    1,
  ],
  [(d) => statement("DELETE FROM drive WHERE uuid = ?", d.drive()), 0.5],
  [
    (d) =>
      statement(
        `INSERT INTO item (uuid, name, driveId, folderId, shortcutId)
         SELECT ?, ?, d.id, f.id, ${id("folder")} FROM drive d, folder f WHERE d.uuid = ? AND f.uuid = ?`,
        `i-${d.text}`,
        d.text,
        d.folder(),
        d.drive(),
        d.folder(),
      ),
    5,
  ],
  [
    (d) =>
      statement(
        `UPDATE item SET name = ? WHERE id IN (SELECT id FROM item WHERE ${OWN} ORDER BY uuid LIMIT 2)`,
        d.text,
        d.device,
      ),
    2,
  ],
  [(d) => statement(`UPDATE item SET note = ? WHERE ${OWN} AND id % 3 = ?`, d.text, d.device, d.below(3)), 1],
  [
    (d) =>
      statement(
        `UPDATE item SET folderId = (SELECT id FROM folder ORDER BY uuid LIMIT 1) WHERE ${OWN} AND id % 3 = ? AND EXISTS (SELECT 1 FROM folder)`,
        d.device,
        d.below(3),
      ),
    2,
  ],
  [(d) => statement(`DELETE FROM item WHERE ${OWN} AND id % 4 = ?`, d.device, d.below(4)), 1],
  [
    (d) =>
      statement(
        "INSERT OR IGNORE INTO item_labels (itemId, labelId) SELECT i.id, l.id FROM item i, label l WHERE l.uuid = ? AND i.id % 2 = ?",
        d.label(),
        d.below(2),
      ),
    2,
  ],
  [(d) => statement(`DELETE FROM item_labels WHERE labelId = ${id("label")}`, d.label()), 1],
  // Somebody else's record: taken back.
  [(d) => statement("UPDATE item SET name = ? WHERE id = ?", d.text, 1 + d.below(6)), 0.7],
  // A drive changes hands.
  [
    (d) =>
      statement(
        "UPDATE drive SET machineId = (SELECT id FROM machine WHERE uuid = ?) WHERE uuid = ? AND machineId = (SELECT id FROM machine WHERE uuid = ?) AND EXISTS (SELECT 1 FROM machine WHERE uuid = ?)",
        ...((to) => [to, d.drive(d.anyDevice()), d.device, to])(d.anyDevice()),
      ),
    0.7,
  ],
];

const LATER: readonly (readonly [Maker, number])[] = [
  [(d) => statement("UPDATE label SET mood = ? WHERE uuid = ?", d.text, d.label()), 3],
  [
    (d) => {
      const made = statement(
        "INSERT OR IGNORE INTO remark (uuid, text, aboutId) SELECT ?, ?, id FROM folder WHERE uuid = ?",
        d.remark(),
        d.text,
        d.folder(),
      );
      return { ...made, remarksOn: made.parameters[2] as string };
    },
    3,
  ],
  [(d) => statement("UPDATE remark SET text = ? WHERE uuid = ?", d.text, d.remark()), 1],
  [(d) => statement("DELETE FROM remark WHERE uuid = ?", d.remark()), 1],
];

/** In the place of a statement that is left out. */
const NOTHING = statement("UPDATE folder SET size = size WHERE 0");

/** Makes statements for all devices of a run. */
export class Work {
  readonly #chance: Chance;
  readonly #devices: readonly string[];
  #serial = 0;
  /** How often each folder may have begun a life, those of the foundation included. */
  readonly #beginnings = new Map([
    ["f0", 1],
    ["f1", 1],
    ["f2", 1],
  ]);
  readonly #remarkedOn = new Set<string>();

  constructor({ chance, devices }: { readonly chance: Chance; readonly devices: readonly string[] }) {
    this.#chance = chance;
    this.#devices = devices;
  }

  next(device: string, schema: SchemaVersion): Statement {
    this.#serial += 1;
    const draw = new Draw(this.#chance, device, `${device}${this.#serial}`, this.#devices);
    const makers = [...SHARED, ...OWNED, ...(schema > 1 ? LATER : [])];
    const made = this.#chance.weighted(makers)(draw);
    if (this.#isUnknowable(made)) return NOTHING;
    const { begins, remarksOn } = made;
    if (begins !== undefined) this.#beginnings.set(begins, (this.#beginnings.get(begins) ?? 0) + 1);
    if (remarksOn !== undefined) this.#remarkedOn.add(remarksOn);
    return made;
  }

  /**
   * A folder that has been remarked on begins no other life, and none is remarked on that may have: a device that does not
   * know remarks yet, and forgets the new life before it does, can't tell which of both a remark is about (a known limit).
   */
  #isUnknowable({ begins, remarksOn }: Statement): boolean {
    if (begins !== undefined) return this.#remarkedOn.has(begins);
    return remarksOn !== undefined && (this.#beginnings.get(remarksOn) ?? 0) > 1;
  }

  /** What every device makes for itself when it starts for the first time. */
  firstOf(device: string): readonly Statement[] {
    return [
      statement("INSERT OR IGNORE INTO machine (uuid, name) VALUES (?, ?)", device, device),
      statement(
        "INSERT OR IGNORE INTO drive (uuid, name, machineId) SELECT ?, ?, id FROM machine WHERE uuid = ?",
        `d-${device}-0`,
        device,
        device,
      ),
    ];
  }

  /** What the library holds at first, so that there is something to meet at. */
  foundation(): readonly Statement[] {
    return [
      statement("INSERT INTO folder (uuid, name) VALUES ('f0', 'first'), ('f1', 'second')"),
      statement("INSERT INTO folder (uuid, name, parentId) SELECT 'f2', 'third', id FROM folder WHERE uuid = 'f0'"),
      statement("INSERT INTO label (uuid, name) VALUES ('l0', 'first'), ('l1', 'second')"),
      statement("INSERT INTO folder_labels (folderId, labelId) SELECT f.id, l.id FROM folder f, label l"),
      statement("INSERT INTO team (uuid, name) VALUES ('t0', 'first')"),
      statement("INSERT INTO person (uuid, name, teamId) SELECT 'p0', 'first', id FROM team"),
      statement("UPDATE team SET leaderId = (SELECT id FROM person)"),
      statement("INSERT INTO part (id, uuid, name, wholeId) VALUES (1, 'w0', 'first', 1), (2, 'w1', 'second', 1)"),
      statement("INSERT INTO badge (uuid, code, name) VALUES ('b0', 'c0', 'first')"),
    ];
  }
}
