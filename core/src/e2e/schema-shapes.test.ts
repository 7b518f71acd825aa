import {
  ChildEntity,
  Column,
  CreateDateColumn,
  DeleteDateColumn,
  Entity,
  JoinColumn,
  JoinTable,
  ManyToMany,
  ManyToOne,
  OneToMany,
  OneToOne,
  PrimaryColumn,
  PrimaryGeneratedColumn,
  TableInheritance,
  Tree,
  TreeChildren,
  TreeParent,
  Unique,
  UpdateDateColumn,
  VersionColumn,
} from "typeorm";
import { afterEach, describe, expect, it } from "vitest";
import type { TestKernel } from "../testing/test-kernel.js";
import {
  expectNoViolations,
  expectSameTable,
  type Models,
  query,
  shared,
  TestLibrary,
} from "./library.test-support.js";

const libraries: TestLibrary[] = [];
afterEach(async () => {
  for (const library of libraries.splice(0)) await library.dispose();
});

function newLibrary(models: Models): TestLibrary {
  const library = new TestLibrary(models);
  libraries.push(library);
  return library;
}

class Address {
  @Column({ type: "varchar", nullable: true }) street!: string | null;
  @Column({ type: "varchar", nullable: true }) town!: string | null;
}

@Entity()
class Person {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column(() => Address) home!: Address;
  @Column(() => Address) work!: Address;
}

abstract class Base {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @CreateDateColumn({ type: "datetime" }) createdAt!: Date;
  @UpdateDateColumn({ type: "datetime" }) updatedAt!: Date;
  @DeleteDateColumn({ type: "datetime" }) deletedAt!: Date | null;
  @VersionColumn({ type: "integer" }) version!: number;
}

// Two tables that inherit their columns from a class that has none.
@Entity()
class Invoice extends Base {
  @Column({ type: "integer" }) cents!: number;
}

@Entity()
class Letter extends Base {
  @Column({ type: "text" }) body!: string;
}

@Entity()
@TableInheritance({ column: { type: "varchar", name: "kind" } })
class Content {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) title!: string;
}

@ChildEntity()
class Photo extends Content {
  @Column({ type: "varchar" }) size!: string;
}

@ChildEntity()
class Film extends Content {
  @Column({ type: "integer" }) seconds!: number;
}

describe("rows", () => {
  it("carries embedded columns, each with a stamp of its own", async () => {
    const library = newLibrary({ entities: [Person], declarations: shared(Person) });
    const { a, b } = await library.pair();
    await a.dataSource.getRepository(Person).save({
      uuid: "p",
      home: { street: "Elm", town: "Ulm" },
      work: { street: null, town: "" },
    });
    await library.settle(a, b);
    await b.dataSource.getRepository(Person).update({ uuid: "p" }, { home: { street: "Oak" } });
    await a.dataSource.getRepository(Person).update({ uuid: "p" }, { work: { street: "Mill" } });
    await library.settle(a, b);
    expectSameTable([a, b], "person");
    expect(await b.dataSource.getRepository(Person).findOneByOrFail({ uuid: "p" })).toMatchObject({
      home: { street: "Oak", town: "Ulm" },
      work: { street: "Mill", town: "" },
    });
  });

  it("carries all classes of a table with single-table inheritance", async () => {
    const library = newLibrary({ entities: [Content, Photo, Film], declarations: shared(Content) });
    const { a, b } = await library.pair();
    await a.dataSource.getRepository(Photo).save({ uuid: "photo", title: "sea", size: "10x15" });
    await b.dataSource.getRepository(Film).save({ uuid: "film", title: "waves", seconds: 90 });
    await library.settle(a, b);
    expectSameTable([a, b], "content");
    expect(await b.dataSource.getRepository(Photo).find()).toMatchObject([{ uuid: "photo", size: "10x15" }]);
    const films = await a.dataSource.getRepository(Content).findBy({ uuid: "film" });
    expect(films[0]).toBeInstanceOf(Film);
    expect(films[0]).toMatchObject({ title: "waves", seconds: 90 });
  });

  it("carries columns inherited from a class, versions, times, soft deletes and restores", async () => {
    const library = newLibrary({ entities: [Invoice, Letter], declarations: shared(Invoice, Letter) });
    const { a, b } = await library.pair();
    const invoices = a.dataSource.getRepository(Invoice);
    await invoices.save([
      { uuid: "i1", cents: 100 },
      { uuid: "i2", cents: 200 },
    ]);
    const letter = await b.dataSource.getRepository(Letter).save({ uuid: "l", body: "dear" });
    await library.settle(a, b);
    letter.body = "dear you";
    await b.dataSource.getRepository(Letter).save(letter);
    await invoices.softDelete({ uuid: "i1" });
    await library.settle(a, b);
    expectSameTable([a, b], "invoice");
    expectSameTable([a, b], "letter");
    const there = b.dataSource.getRepository(Invoice);
    expect(await there.find()).toMatchObject([{ uuid: "i2" }]);
    expect((await there.findOneOrFail({ where: { uuid: "i1" }, withDeleted: true })).deletedAt).toBeInstanceOf(Date);
    expect(await a.dataSource.getRepository(Letter).findOneByOrFail({ uuid: "l" })).toMatchObject({
      version: 2,
      body: "dear you",
    });
    await there.restore({ uuid: "i1" });
    await library.settle(a, b);
    expect(await invoices.findOneByOrFail({ uuid: "i1" })).toMatchObject({ deletedAt: null, cents: 100 });
    expectSameTable([a, b], "invoice");
  });
});

@Entity()
@Tree("closure-table")
class Branch {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @TreeChildren() children!: Branch[];
  @TreeParent({ onDelete: "CASCADE" }) parent!: Branch | null;
}

@Entity()
@Tree("materialized-path")
class Path {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @TreeChildren() children!: Path[];
  @TreeParent({ onDelete: "CASCADE" }) parent!: Path | null;
}

@Entity()
@Tree("nested-set")
class Nested {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @TreeChildren() children!: Nested[];
  @TreeParent({ onDelete: "CASCADE" }) parent!: Nested | null;
}

interface Shape {
  readonly uuid: string;
  readonly children: readonly Shape[];
}

interface TreeNode {
  id: number;
  uuid: string;
  children?: TreeNode[];
  parent?: TreeNode | null;
}

function shapeOf({ uuid, children = [] }: TreeNode): Shape {
  return { uuid, children: children.map(shapeOf).sort((one, other) => (one.uuid < other.uuid ? -1 : 1)) };
}

/** The tree as TypeORM reads it from what is derived, from each record up and down. */
async function treeOf(kernel: TestKernel, entity: typeof Branch | typeof Path | typeof Nested) {
  const repository = kernel.dataSource.getTreeRepository(entity as typeof Branch);
  const roots = (await repository.findTrees()).map(shapeOf);
  const ancestors: Record<string, string[]> = {};
  const descendants: Record<string, string[]> = {};
  for (const node of await repository.find()) {
    ancestors[node.uuid] = (await repository.findAncestors(node)).map(({ uuid }) => uuid).sort();
    descendants[node.uuid] = (await repository.findDescendants(node)).map(({ uuid }) => uuid).sort();
  }
  return { roots: roots.sort((one, other) => (one.uuid < other.uuid ? -1 : 1)), ancestors, descendants };
}

describe("trees", () => {
  for (const entity of [Branch, Path, Nested] as const) {
    const table = entity.name.toLowerCase();
    it(`rebuilds what is derived of a ${table} tree on the other device`, async () => {
      const library = newLibrary({ entities: [entity], declarations: shared(entity) });
      const a = await library.device("a");
      const repository = a.dataSource.getTreeRepository(entity as typeof Branch);
      // Other local keys on b than on a, and other trees made there.
      const root = await repository.save({ uuid: "root", parent: null } as Partial<Branch> as Branch);
      const left = await repository.save({ uuid: "left", parent: root } as Branch);
      await repository.save({ uuid: "right", parent: root } as Branch);
      const b = await library.device("b", { dial: ["a"] });
      await library.settle(a, b);
      expect(await treeOf(b, entity)).toEqual(await treeOf(a, entity));

      // Live, below what is there: from a, then from b.
      await repository.save({ uuid: "leaf", parent: left } as Branch);
      await library.settle(a, b);
      const there = b.dataSource.getTreeRepository(entity as typeof Branch);
      const parent = await there.findOneByOrFail({ uuid: "right" });
      const twig = await there.save({ uuid: "twig", parent } as Branch);
      await there.save({ uuid: "tip", parent: twig } as Branch);
      await library.settle(a, b);
      const grown = await treeOf(b, entity);
      expect(await treeOf(a, entity)).toEqual(grown);
      expect(grown.roots).toEqual([
        {
          uuid: "root",
          children: [
            { uuid: "left", children: [{ uuid: "leaf", children: [] }] },
            { uuid: "right", children: [{ uuid: "twig", children: [{ uuid: "tip", children: [] }] }] },
          ],
        },
      ]);
      expect(grown.ancestors.tip).toEqual(["right", "root", "tip", "twig"]);

      // A branch goes with all that hangs on it.
      await b.dataSource.query(`DELETE FROM "${table}" WHERE uuid = 'right'`);
      await library.settle(a, b);
      expect((await treeOf(a, entity)).roots).toEqual([
        { uuid: "root", children: [{ uuid: "left", children: [{ uuid: "leaf", children: [] }] }] },
      ]);
      expectNoViolations(a, b);
    });
  }

  for (const entity of [Branch, Path] as const) {
    it(`follows a ${entity.name.toLowerCase()} that moves to another parent`, async () => {
      const library = newLibrary({ entities: [entity], declarations: shared(entity) });
      const { a, b } = await library.pair();
      const repository = a.dataSource.getTreeRepository(entity as typeof Branch);
      const root = await repository.save({ uuid: "root", parent: null } as Partial<Branch> as Branch);
      const left = await repository.save({ uuid: "left", parent: root } as Branch);
      const right = await repository.save({ uuid: "right", parent: root } as Branch);
      const leaf = await repository.save({ uuid: "leaf", parent: left } as Branch);
      await repository.save({ uuid: "tip", parent: leaf } as Branch);
      await library.settle(a, b);
      leaf.parent = right;
      await repository.save(leaf);
      await library.settle(a, b);
      const moved = await treeOf(b, entity);
      expect(moved).toEqual(await treeOf(a, entity));
      expect(moved.ancestors.tip).toEqual(["leaf", "right", "root", "tip"]);
    });
  }
});

@Entity()
class Author {
  @PrimaryColumn({ type: "varchar" }) uuid!: string;
  @Column({ type: "varchar" }) name!: string;
  @OneToOne(() => Profile, { nullable: true, onDelete: "SET NULL" }) @JoinColumn() profile!: Profile | null;
}

@Entity()
class Profile {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "text" }) bio!: string;
}

@Entity()
class Label {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) name!: string;
}

@Entity()
@Unique(["author", "title"])
class Book {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) title!: string;
  @ManyToOne(() => Author, { nullable: false, onDelete: "CASCADE" }) author!: Author;
  @ManyToOne(() => Book, { nullable: true, onDelete: "SET NULL" }) sequelTo!: Book | null;
  @ManyToMany(() => Label) @JoinTable() labels!: Label[];
  @ManyToMany(() => Author) @JoinTable() readers!: Author[];
  @OneToMany(
    () => Loan,
    (loan) => loan.book,
  )
  loans!: Loan[];
}

/** A junction that is an entity of its own. */
@Entity()
class Loan {
  @PrimaryColumn({ type: "integer" }) bookId!: number;
  @PrimaryColumn({ type: "varchar" }) authorUuid!: string;
  @ManyToOne(() => Book, { nullable: false, onDelete: "CASCADE" }) book!: Book;
  @ManyToOne(() => Author, { nullable: false, onDelete: "CASCADE" }) author!: Author;
  @Column({ type: "integer", nullable: true }) days!: number | null;
  @Column({ type: "varchar", nullable: true }) note!: string | null;
}

const LIBRARY_ENTITIES = [Author, Profile, Label, Book, Loan];

describe("references", () => {
  it("carries every kind of relation between keys that differ from device to device", async () => {
    const library = newLibrary({ entities: LIBRARY_ENTITIES, declarations: shared(...LIBRARY_ENTITIES) });
    const { a, b } = await library.pair();
    // Make the integer keys differ.
    for (const table of ["profile", "label"]) {
      const column = table === "profile" ? "bio" : "name";
      await b.dataSource.query(`INSERT INTO ${table} (id, uuid, ${column}) VALUES (500, 'early-${table}', 'x')`);
    }
    await library.settle(a, b);
    const profile = await a.dataSource.getRepository(Profile).save({ uuid: "pr", bio: "wrote" });
    const author = await a.dataSource.getRepository(Author).save({ uuid: "au", name: "Ann", profile });
    const reader = await b.dataSource.getRepository(Author).save({ uuid: "re", name: "Bo", profile: null });
    await library.settle(a, b);
    const label = await b.dataSource.getRepository(Label).save({ uuid: "la", name: "sea" });
    await library.settle(a, b);
    const books = a.dataSource.getRepository(Book);
    const labelHere = await a.dataSource.getRepository(Label).findOneByOrFail({ uuid: "la" });
    const first = await books.save({
      uuid: "b1",
      title: "One",
      author,
      sequelTo: null,
      labels: [labelHere],
      readers: [reader],
    });
    await books.save({ uuid: "b2", title: "Two", author, sequelTo: first, labels: [], readers: [author, reader] });
    await a.dataSource
      .getRepository(Loan)
      .save({ bookId: first.id, authorUuid: "re", days: 14, note: null } as Partial<Loan> as Loan);
    await library.settle(a, b);

    const there = b.dataSource.getRepository(Book);
    const relations = {
      author: { profile: true },
      sequelTo: true,
      labels: true,
      readers: true,
      loans: { author: true },
    };
    const arrived = await there.find({ relations, order: { uuid: "ASC", readers: { uuid: "ASC" } } });
    expect(arrived).toMatchObject([
      {
        uuid: "b1",
        author: { uuid: "au", profile: { uuid: "pr", bio: "wrote" } },
        sequelTo: null,
        labels: [{ uuid: "la" }],
        readers: [{ uuid: "re" }],
        loans: [{ days: 14, note: null, author: { uuid: "re" } }],
      },
      { uuid: "b2", sequelTo: { uuid: "b1" }, labels: [], readers: [{ uuid: "au" }, { uuid: "re" }], loans: [] },
    ]);
    expect(arrived[0]!.labels[0]!.id).toBe(label.id);

    // Both edit the same junction's extra columns; each keeps its own.
    await a.dataSource.getRepository(Loan).update({ authorUuid: "re" }, { days: 21 });
    await b.dataSource.getRepository(Loan).update({ authorUuid: "re" }, { note: "late" });
    // And both change the labels and readers.
    const book = arrived[1]!;
    book.readers = book.readers.filter(({ uuid }) => uuid !== "au");
    book.labels = [label];
    await there.save(book);
    await library.settle(a, b);
    expect(await a.dataSource.getRepository(Loan).find()).toMatchObject([{ days: 21, note: "late", authorUuid: "re" }]);
    expect(await books.findOneOrFail({ where: { uuid: "b2" }, relations })).toMatchObject({
      labels: [{ uuid: "la" }],
      readers: [{ uuid: "re" }],
    });

    // Consequences that SQLite draws by itself.
    await a.dataSource.getRepository(Profile).delete({ uuid: "pr" });
    await library.settle(a, b);
    expect(
      await b.dataSource.getRepository(Author).findOneOrFail({ where: { uuid: "au" }, relations: { profile: true } }),
    ).toMatchObject({ profile: null });
    await b.dataSource.getRepository(Book).delete({ uuid: "b1" });
    await library.settle(a, b);
    expect(await a.dataSource.getRepository(Loan).count()).toBe(0);
    expect(await books.findOneOrFail({ where: { uuid: "b2" }, relations })).toMatchObject({ sequelTo: null });
    await a.dataSource.getRepository(Author).delete({ uuid: "au" });
    await library.settle(a, b);
    expect(await there.count()).toBe(0);
    expect(query(b.database, "SELECT * FROM book_labels_label")).toEqual([]);
    expectNoViolations(a, b);
  });

  it("needs no translation where the uuid is the primary key", async () => {
    const library = newLibrary({ entities: LIBRARY_ENTITIES, declarations: shared(...LIBRARY_ENTITIES) });
    const { a, b } = await library.pair();
    await a.dataSource.getRepository(Author).save({ uuid: "9f1c", name: "Ann", profile: null });
    await a.dataSource.getRepository(Book).save({ uuid: "b", title: "One", author: { uuid: "9f1c" } as Author });
    await library.settle(a, b);
    expectSameTable([a, b], "author", { local: [] });
    expectSameTable([a, b], "book");
  });

  it("carries a cycle of required references that the application wrote with deferred foreign keys", async () => {
    // TypeORM refuses relations that make such a cycle, so it is declared by hand.
    const library = newLibrary({
      entities: [Hen, Egg],
      declarations: shared(
        { entity: Hen, references: { eggId: { to: Egg } } },
        { entity: Egg, references: { layerId: { to: Hen } } },
      ),
    });
    const before = ({ dataSource }: TestKernel) => makeHens(dataSource);
    const a = await library.device("a", { synchronize: false, before });
    await hatch(a, "1", [11, 21]);
    const b = await library.device("b", { dial: ["a"], synchronize: false, before });
    await library.settle(a, b);
    expect(await hens(b)).toEqual([{ hen: "hen1", egg: "egg1", layer: "hen1" }]);
    await hatch(a, "2", [12, 22]);
    await hatch(b, "3", [13, 23]);
    await library.settle(a, b);
    expect(await hens(b)).toEqual([
      { hen: "hen1", egg: "egg1", layer: "hen1" },
      { hen: "hen2", egg: "egg2", layer: "hen2" },
      { hen: "hen3", egg: "egg3", layer: "hen3" },
    ]);
    expect(await hens(a)).toEqual(await hens(b));
    await b.dataSource.transaction(async (manager) => {
      await manager.query("PRAGMA defer_foreign_keys = ON");
      await manager.query("DELETE FROM hen WHERE uuid = 'hen1'");
      await manager.query("DELETE FROM egg WHERE uuid = 'egg1'");
    });
    await library.settle(a, b);
    expect(await hens(a)).toHaveLength(2);
    expectNoViolations(a, b);
  });
});

@Entity()
class Hen {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "integer" }) eggId!: number;
}

@Entity()
class Egg {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "integer" }) layerId!: number;
}

async function makeHens(dataSource: TestKernel["dataSource"]): Promise<void> {
  const key = "id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, uuid varchar NOT NULL UNIQUE";
  await dataSource.query(
    `CREATE TABLE hen (${key}, "eggId" integer NOT NULL REFERENCES egg (id) DEFERRABLE INITIALLY DEFERRED)`,
  );
  await dataSource.query(
    `CREATE TABLE egg (${key}, "layerId" integer NOT NULL REFERENCES hen (id) DEFERRABLE INITIALLY DEFERRED)`,
  );
}

async function hatch({ dataSource }: TestKernel, name: string, [hen, egg]: readonly [number, number]): Promise<void> {
  await dataSource.transaction(async (manager) => {
    await manager.query(`INSERT INTO hen (id, uuid, "eggId") VALUES (${hen}, 'hen${name}', ${egg})`);
    await manager.query(`INSERT INTO egg (id, uuid, "layerId") VALUES (${egg}, 'egg${name}', ${hen})`);
  });
}

async function hens({ database }: TestKernel): Promise<unknown[]> {
  return query(
    database,
    `SELECT h.uuid AS hen, e.uuid AS egg, l.uuid AS layer FROM hen h JOIN egg e ON e.id = h."eggId"
     JOIN hen l ON l.id = e."layerId" ORDER BY 1`,
  );
}
