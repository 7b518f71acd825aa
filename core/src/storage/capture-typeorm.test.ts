import "reflect-metadata";
import {
  ChildEntity,
  Column,
  DataSource,
  DeleteDateColumn,
  Entity,
  In,
  JoinTable,
  ManyToMany,
  ManyToOne,
  PrimaryGeneratedColumn,
  TableInheritance,
  UpdateDateColumn,
} from "typeorm";
import { describe, expect, it, onTestFinished } from "vitest";
import { capture, connect, model, taken, temporaryFile } from "./capture.test-support.js";
import { tidemarkDataSourceOptions } from "./data-source-options.js";

/** Every way in which TypeORM writes, through a real data source on a file. */

@Entity()
class Tag {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "text", unique: true }) uuid!: string;
  @Column({ type: "text", unique: true }) name!: string;
}

@Entity()
class Note {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "text", unique: true }) uuid!: string;
  @Column({ type: "text", nullable: true }) title!: string | null;
  @Column({ type: "blob", nullable: true }) body!: Buffer | null;
  @DeleteDateColumn() deletedAt!: Date | null;
  @UpdateDateColumn() updatedAt!: Date;
  @ManyToOne(() => Note, { nullable: true, onDelete: "CASCADE" }) parent!: Note | null;
  @ManyToMany(() => Tag) @JoinTable({ name: "note_tag" }) tags!: Tag[];
}

@Entity()
@TableInheritance({ column: { type: "varchar", name: "kind" } })
class Media {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "text", unique: true }) uuid!: string;
}

@ChildEntity()
class Photo extends Media {
  @Column({ type: "integer", nullable: true }) width!: number | null;
}

@ChildEntity()
class Song extends Media {
  @Column({ type: "text", nullable: true }) artist!: string | null;
}

const tag = model({ number: 2, table: "tag", columns: ["name"], uniqueKeys: [["name"]] });
// updatedAt is excluded: it would turn every save into a change.
const note = model({
  table: "note",
  columns: ["title", { column: "body", affinity: "none" }, "deletedAt", { column: "parentId", affinity: "integer" }],
});
const media = model({
  number: 3,
  table: "media",
  columns: ["kind", { column: "width", affinity: "integer" }, "artist"],
});
const noteTag = model({
  number: 4,
  table: "note_tag",
  columns: [
    { column: "noteId", affinity: "integer", target: note },
    { column: "tagId", affinity: "integer", target: tag },
  ],
  derived: ["noteId", "tagId"],
});

async function open() {
  const path = temporaryFile();
  const dataSource = new DataSource(
    tidemarkDataSourceOptions({
      type: "better-sqlite3",
      database: path,
      entities: [Tag, Note, Media, Photo, Song],
      synchronize: true,
    }),
  );
  await dataSource.initialize();
  onTestFinished(() => dataSource.destroy());
  const db = connect(path);
  capture(db, note, tag, media, noteTag);
  return { dataSource, db, notes: dataSource.getRepository(Note), tags: dataSource.getRepository(Tag) };
}

describe("the repository", () => {
  it("saves, changes and removes entities", async () => {
    const { notes, db } = await open();
    const entity = await notes.save({ uuid: "a", title: "x", body: Buffer.from([0, 1, 0]) });
    expect(taken(db)).toEqual(["birth a"]);
    await notes.save({ ...entity, title: "y" });
    expect(taken(db)).toEqual(["edit a 1"]);
    await notes.save({ ...entity, title: "y", body: Buffer.from([0, 1, 1]) });
    expect(taken(db)).toEqual(["edit a 2"]);
    await notes.remove((await notes.findOneByOrFail({ uuid: "a" })) as Note);
    expect(taken(db)).toEqual(["death a key=1"]);
  });

  it("logs nothing for an unchanged entity", async () => {
    const { notes, db } = await open();
    await notes.insert({ uuid: "a", title: "x" });
    taken(db);
    await notes.save(await notes.findOneByOrFail({ uuid: "a" }));
    await notes.update({ uuid: "a" }, { title: "x" });
    expect(taken(db)).toEqual([]);
  });

  it("inserts, updates, upserts and deletes without loading", async () => {
    const { notes, db } = await open();
    await notes.insert([{ uuid: "a" }, { uuid: "b" }]);
    await notes.update({ uuid: "a" }, { title: "x" });
    await notes.upsert(
      [
        { uuid: "a", title: "y" },
        { uuid: "c", title: "z" },
      ],
      ["uuid"],
    );
    await notes.delete({ uuid: In(["a", "b"]) });
    expect(taken(db)).toEqual([
      "birth a",
      "birth b",
      "edit a 1",
      "edit a 1",
      "birth c",
      "death a key=1",
      "death b key=2",
    ]);
  });

  it("soft-deletes and restores: edits of the delete date", async () => {
    const { notes, db } = await open();
    await notes.insert({ uuid: "a" });
    taken(db);
    await notes.softDelete({ uuid: "a" });
    expect(taken(db)).toEqual(["edit a 3"]);
    await notes.restore({ uuid: "a" });
    expect(taken(db)).toEqual(["edit a 3"]);
  });

  it("clears a table row by row", async () => {
    const { tags, db } = await open();
    await tags.insert([
      { uuid: "a", name: "x" },
      { uuid: "b", name: "y" },
    ]);
    taken(db);
    await tags.clear();
    expect(taken(db)).toEqual(["death 2:a key=1", "death 2:b key=2"]);
  });

  it("deletes a tree by cascade, children first", async () => {
    const { notes, db } = await open();
    const root = await notes.save({ uuid: "root" });
    await notes.save({ uuid: "child", parent: root });
    taken(db);
    await notes.delete({ uuid: "root" });
    expect(taken(db)).toEqual(["death child key=2", "death root key=1"]);
  });

  it("links and unlinks by a junction table", async () => {
    const { notes, tags, db } = await open();
    const red = await tags.save({ uuid: "r", name: "red" });
    const entity = await notes.save({ uuid: "a", tags: [red] });
    expect(taken(db)).toEqual(["birth 2:r", "birth a", "birth 4:[1,1]"]);
    await notes.save({ ...entity, tags: [] });
    expect(taken(db)).toEqual(["death 4:[1,1]"]);
  });

  it("stores several classes in one table", async () => {
    const { dataSource, db } = await open();
    const photo = await dataSource.getRepository(Photo).save({ uuid: "p", width: 1 });
    await dataSource.getRepository(Song).save({ uuid: "s", artist: "x" });
    await dataSource.getRepository(Photo).save({ ...photo, width: 2 });
    await dataSource.getRepository(Media).update({ uuid: "s" }, { uuid: "t" });
    expect(taken(db)).toEqual(["birth 3:p", "birth 3:s", "edit 3:p 2", "death 3:s key=2", "birth 3:t"]);
  });
});

describe("the query builder and raw SQL", () => {
  it("change many rows at once", async () => {
    const { dataSource, notes, db } = await open();
    await notes.insert([{ uuid: "a" }, { uuid: "b", title: "x" }]);
    taken(db);
    await notes.createQueryBuilder().update().set({ title: "x" }).execute();
    expect(taken(db)).toEqual(["edit a 1"]);
    await dataSource.query("UPDATE note SET title = title || ?", ["!"]);
    expect(taken(db)).toEqual(["edit a 1", "edit b 1"]);
    await notes.createQueryBuilder().delete().execute();
    expect(taken(db)).toEqual(["death a key=1", "death b key=2"]);
  });

  it("replace a record with its death, since the data source has recursive_triggers on", async () => {
    const { dataSource, tags, db } = await open();
    await tags.insert({ uuid: "a", name: "red" });
    taken(db);
    await dataSource.query("INSERT OR REPLACE INTO tag (uuid, name) VALUES ('b', 'red')");
    expect(taken(db)).toEqual(["suspect 2:a key=1", "death 2:a key=1", "birth 2:b"]);
  });
});

describe("transactions", () => {
  it("that fail leave nothing, also when they were open across awaits", async () => {
    const { dataSource, db } = await open();
    await expect(
      dataSource.transaction(async (manager) => {
        await manager.insert(Note, { uuid: "a" });
        await manager.insert(Note, { uuid: "b" });
        throw new Error("no");
      }),
    ).rejects.toThrow("no");
    expect(taken(db)).toEqual([]);
  });

  it("keep what an inner transaction that failed did not take along", async () => {
    const { dataSource, db } = await open();
    await dataSource.transaction(async (manager) => {
      await manager.insert(Note, { uuid: "a" });
      await manager
        .transaction(async (inner) => {
          await inner.insert(Note, { uuid: "b" });
          throw new Error("no");
        })
        .catch(() => {});
      await manager.insert(Note, { uuid: "c" });
    });
    expect(taken(db)).toEqual(["birth a", "birth c"]);
  });
});
