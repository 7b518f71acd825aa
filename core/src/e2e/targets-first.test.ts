import { Column, Entity, ManyToOne, PrimaryGeneratedColumn } from "typeorm";
import { afterEach, expect, it } from "vitest";
import { onFile, query, shared, TestLibrary } from "./library.test-support.js";

// A tree whose children sort before their parents. A row that is inserted before what it refers to makes SQLite read the
// whole table for each row that comes after it, and a trigger of the application find nothing where it expects something.

@Entity()
class Folder {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @ManyToOne(() => Folder, { nullable: true, onDelete: "CASCADE" }) parent!: Folder | null;
}

let library: TestLibrary;
afterEach(() => library.dispose());

/** Each folder lies in the one before it, or in one further up, whose uuid is the greater. */
function tree(folders: number): string {
  return `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${folders})
    INSERT INTO folder (id, uuid, parentId) SELECT i, printf('f-%04d', 9999 - i), nullif(i / 2, 0) FROM n`;
}

const NOTE_EARLY_ROWS = [
  "CREATE TABLE early (uuid TEXT)",
  `CREATE TRIGGER note_early AFTER INSERT ON folder
   WHEN new.parentId IS NOT NULL AND NOT EXISTS (SELECT 1 FROM folder WHERE id = new.parentId)
   BEGIN INSERT INTO early VALUES (new.uuid); END`,
];

it.each([
  ["that nothing is known of any more", { folders: 60, stamped: false }],
  ["with stamps, many", { folders: 60, stamped: true }],
  ["with stamps, few", { folders: 6, stamped: true }],
])("inserts folders after what they lie in: records %s", async (_, { folders, stamped }) => {
  library = new TestLibrary({ entities: [Folder], declarations: shared(Folder) });
  const a = await library.device("a", stamped ? {} : { before: (kernel) => onFile(kernel.database, tree(folders)) });
  if (stamped) {
    // Whoever lacks them keeps the others from forgetting the stamps.
    const c = await library.device("c", { dial: ["a"] });
    await library.settle(a, c);
    library.network.cut("a", "c");
    onFile(a.database, tree(folders));
  }
  await library.clock.advance(10_000);
  const b = await library.device("b", {
    dial: ["a"],
    before: (kernel) => onFile(kernel.database, ...NOTE_EARLY_ROWS),
  });
  await library.settle(a, b);
  const whole = "SELECT f.uuid, p.uuid AS parent FROM folder f LEFT JOIN folder p ON p.id = f.parentId ORDER BY 1";
  expect(query(b.database, whole)).toHaveLength(folders);
  expect(query(b.database, whole)).toEqual(query(a.database, whole));
  expect(query(b.database, "SELECT uuid FROM early")).toEqual([]);
});
