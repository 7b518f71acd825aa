import { logMaintenance } from "@tidemark/plugin-api";
import { Column, Entity, ManyToOne, PrimaryGeneratedColumn } from "typeorm";
import { afterEach, expect, it } from "vitest";
import { expectSameTable, type Models, query, shared, stored, TestLibrary } from "./library.test-support.js";

// Devices of one library whose application is of different versions: names differ, columns and models are missing.

const libraries: TestLibrary[] = [];
afterEach(async () => {
  for (const library of libraries.splice(0)) await library.dispose();
});

function newLibrary(models: Models): TestLibrary {
  const library = new TestLibrary(models);
  libraries.push(library);
  return library;
}

@Entity({ name: "song" })
class Song {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) title!: string;
  @Column({ type: "integer", nullable: true }) rating!: number | null;
  @Column({ type: "varchar", nullable: true }) cachePath!: string | null;
}

/** The same model elsewhere: the class, the table, a column and a property have other names. */
@Entity({ name: "tracks" })
class Track {
  @PrimaryGeneratedColumn({ name: "track_id" }) key!: number;
  @Column({ type: "varchar", unique: true, name: "track_uuid" }) uuid!: string;
  @Column({ type: "varchar" }) name!: string;
  @Column({ type: "integer", nullable: true, name: "stars" }) rating!: number | null;
}

it("lets a table, columns and properties have other names on another device", async () => {
  const library = newLibrary({ entities: [Song], declarations: shared({ entity: Song, exclude: ["cachePath"] }) });
  const a = await library.device("a");
  await a.dataSource.getRepository(Song).save({ uuid: "s1", title: "One", rating: 3, cachePath: "/a/1" });
  const b = await library.device("b", {
    dial: ["a"],
    entities: [Track],
    declarations: shared({ entity: Track, name: "Song", wireNames: { name: "title" } }),
  });
  await library.settle(a, b);
  await b.dataSource.getRepository(Track).update({ uuid: "s1" }, { name: "First" });
  await b.dataSource.getRepository(Track).save({ uuid: "s2", name: "Two", rating: 5 });
  await a.dataSource.getRepository(Song).update({ uuid: "s1" }, { rating: 4 });
  await library.settle(a, b);
  expect(query(b.database, "SELECT track_uuid, name, stars FROM tracks ORDER BY 1")).toEqual([
    { track_uuid: "s1", name: "First", stars: 4 },
    { track_uuid: "s2", name: "Two", stars: 5 },
  ]);
  expect(query(a.database, 'SELECT uuid, title, rating, "cachePath" FROM song ORDER BY 1')).toEqual([
    { uuid: "s1", title: "First", rating: 4, cachePath: "/a/1" },
    { uuid: "s2", title: "Two", rating: 5, cachePath: null },
  ]);
});

it("keeps an excluded column to each device, through creation, edits and new lives elsewhere", async () => {
  const library = newLibrary({ entities: [Song], declarations: shared({ entity: Song, exclude: ["cachePath"] }) });
  const { a, b } = await library.pair();
  await a.dataSource.getRepository(Song).save({ uuid: "s", title: "One", rating: null, cachePath: "/a" });
  await library.settle(a, b);
  await b.dataSource.getRepository(Song).update({ uuid: "s" }, { cachePath: "/b" });
  await a.dataSource.getRepository(Song).update({ uuid: "s" }, { title: "Uno", cachePath: "/a2" });
  await library.settle(a, b);
  expect(query(a.database, 'SELECT title, "cachePath" FROM song')).toEqual([{ title: "Uno", cachePath: "/a2" }]);
  expect(query(b.database, 'SELECT title, "cachePath" FROM song')).toEqual([{ title: "Uno", cachePath: "/b" }]);
});

@Entity({ name: "album" })
class NewAlbum {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) title!: string;
  @Column({ type: "blob", nullable: true }) cover!: Buffer | null;
  @ManyToOne(() => Studio, { nullable: true, onDelete: "SET NULL" }) studio!: Studio | null;
}

@Entity({ name: "studio" })
class Studio {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) city!: string;
}

@Entity({ name: "album" })
class OldAlbum {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) title!: string;
}

const NEW: Models = {
  entities: [NewAlbum, Studio],
  declarations: shared({ entity: NewAlbum, name: "Album" }, Studio),
};
const OLD: Models = { entities: [OldAlbum], declarations: shared({ entity: OldAlbum, name: "Album" }) };

it("leaves nothing of a former life to a record that a device makes anew without knowing all columns", async () => {
  const library = newLibrary(NEW);
  const a = await library.device("a");
  const albums = a.dataSource.getRepository(NewAlbum);
  await albums.save({ uuid: "al1", title: "One", cover: Buffer.from([1]) });
  const b = await library.device("b", { dial: ["a"], ...OLD });
  await library.settle(b);
  await library.clock.advance(5_000);
  expect(query(b.database, "SELECT count(*) AS n FROM tidemark_extra WHERE val LIKE '%AQ==%'")).toEqual([{ n: 1 }]);
  // Both at once, so that a meets the new life before it has heard of the end of the first.
  library.network.cut("a", "b");
  const old = b.dataSource.getRepository(OldAlbum);
  await old.delete({ uuid: "al1" });
  await old.save({ uuid: "al1", title: "Again" });
  await b.tidemark.digest("Album");
  expect(query(b.database, "SELECT count(*) AS n FROM tidemark_extra")).toEqual([{ n: 0 }]);
  library.network.heal("a", "b");
  await library.clock.advance(20_000);
  await library.settle(b);
  expect(await albums.find()).toMatchObject([{ uuid: "al1", title: "Again", cover: null }]);
});

it("leaves nothing of an edit either that came too late for a life which had been ended elsewhere", async () => {
  const library = newLibrary(NEW);
  const a = await library.device("a");
  const albums = a.dataSource.getRepository(NewAlbum);
  await albums.save({ uuid: "al1", title: "One" });
  const b = await library.device("b", { dial: ["a"], ...OLD });
  const c = await library.device("c", { dial: ["b"], ...OLD });
  await library.settle(b, c);
  library.network.cut("b", "a");
  await c.dataSource.getRepository(OldAlbum).delete({ uuid: "al1" });
  await library.clock.advance(5_000);
  await albums.update({ uuid: "al1" }, { cover: Buffer.from([1]) });
  library.network.cut("c", "b");
  library.network.heal("b", "a");
  // Then b has the edit, as one of a dead record, and makes the record anew.
  await library.clock.advance(20_000);
  expect(query(b.database, "SELECT count(*) AS n FROM tidemark_extra")).toEqual([{ n: 1 }]);
  await b.dataSource.getRepository(OldAlbum).save({ uuid: "al1", title: "Again" });
  await library.clock.advance(5_000);
  expect(await albums.find()).toMatchObject([{ uuid: "al1", title: "Again", cover: null }]);
});

it("takes what a device that is too old for a column says of a record for all that the library says of it", async () => {
  const library = newLibrary(NEW);
  const a = await library.device("a");
  const b = await library.device("b", { dial: ["a"], ...OLD });
  await library.settle(b);
  await b.dataSource.getRepository(OldAlbum).save({ uuid: "al1", title: "One" });
  const c = await library.device("c", { dial: ["b"] });
  await library.settle(a, c);
  for (let turn = 0; turn < 3; turn++) {
    for (const kernel of [a, b, c]) {
      await kernel.tidemark.services.get(logMaintenance).acknowledge();
      await library.clock.advance(1_000);
      await kernel.tidemark.services.get(logMaintenance).prune();
    }
  }
  expect((await b.tidemark.status()).logEntries).toBe(0);
  // Nobody hears of the cover: c is reset before it meets anybody, and then meets b alone.
  await c.tidemark.pause();
  await c.dataSource.getRepository(NewAlbum).update({ uuid: "al1" }, { cover: Buffer.from([1]) });
  await c.tidemark.digest("Album");
  await c.tidemark.resetSyncState();
  await c.tidemark.resume();
  await library.clock.advance(10_000);
  await library.settle(a, c);
  expect(await c.dataSource.getRepository(NewAlbum).find()).toMatchObject([{ uuid: "al1", title: "One", cover: null }]);
  expect(await c.tidemark.journal()).toMatchObject([
    { kind: "overwritten-at-join", model: "Album", record: "al1", values: { cover: { b: "AQ==" } } },
  ]);
});

@Entity({ name: "album" })
class LabelledAlbum {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) title!: string;
  @Column({ type: "varchar" }) label!: string;
}

it("keeps what a table can't be without, and doesn't say that it was overwritten, where the library lacks the column", async () => {
  const library = newLibrary(OLD);
  const a = await library.device("a");
  await a.dataSource.getRepository(OldAlbum).save({ uuid: "al1", title: "One" });
  const b = await library.device("b", {
    dial: ["a"],
    entities: [LabelledAlbum],
    declarations: shared({ entity: LabelledAlbum, name: "Album" }),
    before: async ({ dataSource }) => {
      await dataSource.getRepository(LabelledAlbum).save({ uuid: "al1", title: "Uno", label: "from before" });
    },
  });
  await library.settle(b);
  const albums = await b.dataSource.getRepository(LabelledAlbum).find();
  expect(albums).toMatchObject([{ title: "One", label: "from before" }]);
  expect(await b.tidemark.journal()).toMatchObject([{ kind: "overwritten-at-join", values: { title: "Uno" } }]);
  expect(Object.keys((await b.tidemark.journal())[0]!.values!)).toEqual(["title"]);
});

it("ends in the same record in whatever order creations come of which one does not know all columns", async () => {
  const library = newLibrary(NEW);
  const a = await library.device("a");
  await library.device("b", { dial: ["a"], ...OLD });
  const c = await library.device("c", { dial: ["b"] });
  const d = await library.device("d", { dial: ["b"], ...OLD });
  await library.settle(a, c);
  const around = [
    ["a", "b"],
    ["b", "c"],
    ["b", "d"],
  ] as const;
  for (const [one, other] of around) library.network.cut(one, other);
  await a.dataSource.getRepository(NewAlbum).save({ uuid: "al1", title: "by a", cover: Buffer.from([1]) });
  await a.tidemark.digest("Album");
  await library.clock.advance(1_000);
  await d.dataSource.getRepository(OldAlbum).save({ uuid: "al1", title: "by d" });
  await d.tidemark.digest("Album");
  // b gets a's and then d's, a has its own before d's, and c both at once.
  for (const other of ["a", "d", "c"]) {
    library.network.heal("b", other);
    await library.clock.advance(10_000);
  }
  await library.settle(a, c);
  for (const kernel of [a, c])
    expect(await kernel.dataSource.getRepository(NewAlbum).find()).toMatchObject([{ title: "by d", cover: null }]);
});

@Entity({ name: "studio" })
class LargeStudio {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) city!: string;
  @Column({ type: "integer", nullable: true }) area!: number | null;
}

it("passes such creations on as they are merged, through a device that does not know the model at all", async () => {
  const library = newLibrary({
    entities: [LargeStudio],
    declarations: shared({ entity: LargeStudio, name: "Studio" }),
  });
  const a = await library.device("a");
  await library.device("b", { dial: ["a"], ...OLD });
  const c = await library.device("c", { dial: ["b"] });
  const d = await library.device("d", { dial: ["b"], ...NEW });
  await library.settle(a, c);
  await library.settle(d);
  for (const other of ["a", "c", "d"]) library.network.cut("b", other);
  await a.dataSource.getRepository(LargeStudio).save({ uuid: "st1", city: "by a", area: 40 });
  await a.tidemark.digest("Studio");
  await library.clock.advance(1_000);
  await d.dataSource.getRepository(Studio).save({ uuid: "st1", city: "by d" });
  await d.tidemark.digest("Studio");
  for (const other of ["a", "d", "c"]) {
    library.network.heal("b", other);
    await library.clock.advance(10_000);
  }
  await library.settle(a, c);
  for (const kernel of [a, c])
    expect(await kernel.dataSource.getRepository(LargeStudio).find()).toMatchObject([{ city: "by d", area: null }]);
});

it("leaves nothing of a former life either where the device that makes it anew is the only one left", async () => {
  const library = newLibrary(NEW);
  const a = await library.device("a");
  await a.dataSource.getRepository(NewAlbum).save({ uuid: "al1", title: "One", cover: Buffer.from([1]) });
  const b = await library.device("b", { dial: ["a"], ...OLD });
  await library.settle(b);
  await a.tidemark.stop();
  const settled = b.next("removalSettled");
  await b.tidemark.removeMember("a");
  await settled;
  const old = b.dataSource.getRepository(OldAlbum);
  await old.delete({ uuid: "al1" });
  await b.tidemark.digest("Album");
  expect(query(b.database, "SELECT count(*) AS n FROM tidemark_extra")).toEqual([{ n: 0 }]);
  await old.save({ uuid: "al1", title: "Again" });
  const c = await library.device("c", { dial: ["b"] });
  await library.settle(c);
  await library.clock.advance(5_000);
  expect(await c.dataSource.getRepository(NewAlbum).find()).toMatchObject([{ title: "Again", cover: null }]);
});

it("passes columns and models through a device that is too old for them, and shows them there after an upgrade", async () => {
  const library = newLibrary(NEW);
  const a = await library.device("a");
  const albums = a.dataSource.getRepository(NewAlbum);
  const studios = a.dataSource.getRepository(Studio);
  const studio = await studios.save({ uuid: "st1", city: "Ulm" });
  const cover = Buffer.from([1, 0, 255]);
  await albums.save({ uuid: "al1", title: "One", cover, studio });
  let b = await library.device("b", { dial: ["a"], ...OLD });
  await library.settle(b);
  // c only ever talks to b.
  const c = await library.device("c", { dial: ["b"] });
  await library.settle(a, c);
  const relations = { studio: true };
  const there = c.dataSource.getRepository(NewAlbum);
  expect(await there.find({ relations })).toMatchObject([{ uuid: "al1", cover, studio: { uuid: "st1", city: "Ulm" } }]);

  // Live, through b in both directions: creations, edits, a move of a reference, deletions.
  const second = await studios.save({ uuid: "st2", city: "Bonn" });
  await albums.save({ uuid: "al2", title: "Two", cover: null, studio: second });
  await there.update({ uuid: "al1" }, { cover: Buffer.from("new") });
  await b.dataSource.getRepository(OldAlbum).update({ uuid: "al1" }, { title: "Uno" });
  await library.settle(a, c);
  expect(await albums.find({ relations, order: { uuid: "ASC" } })).toMatchObject([
    { uuid: "al1", title: "Uno", cover: Buffer.from("new"), studio: { uuid: "st1" } },
    { uuid: "al2", title: "Two", cover: null, studio: { uuid: "st2" } },
  ]);
  expectSameTable([a, c], "album", { local: ["id", "studioId"] });
  await c.dataSource.getRepository(Studio).update({ uuid: "st2" }, { city: "Köln" });
  await c.dataSource.query(`UPDATE album SET "studioId" = (SELECT id FROM studio WHERE uuid = 'st2')`);
  await c.dataSource.getRepository(Studio).delete({ uuid: "st1" });
  await library.settle(a, c);
  expect(await studios.find()).toMatchObject([{ uuid: "st2", city: "Köln" }]);
  expect((await albums.find({ relations })).map(({ studio }) => studio?.uuid)).toEqual(["st2", "st2"]);
  expect(stored(b.database, "album").size).toBe(2);

  // b is upgraded.
  b = await library.restart("b", b, { dial: ["a"], ...NEW });
  await library.settle(a, b, c);
  expect(await b.dataSource.getRepository(NewAlbum).find({ relations, order: { uuid: "ASC" } })).toMatchObject([
    { uuid: "al1", title: "Uno", cover: Buffer.from("new"), studio: { uuid: "st2", city: "Köln" } },
    { uuid: "al2", title: "Two", cover: null, studio: { uuid: "st2" } },
  ]);
  expectSameTable([a, b, c], "studio");
  expectSameTable([a, b, c], "album", { local: ["id", "studioId"] });
  // And takes part like any other.
  await b.dataSource.getRepository(Studio).update({ uuid: "st2" }, { city: "Trier" });
  await library.settle(a, b, c);
  expect(await studios.find()).toMatchObject([{ uuid: "st2", city: "Trier" }]);
});
