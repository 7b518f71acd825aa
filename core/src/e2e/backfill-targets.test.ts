import { Column, Entity, ManyToOne, PrimaryGeneratedColumn } from "typeorm";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { TestKernel } from "../testing/test-kernel.js";
import { expectNoViolations, shared, TestLibrary } from "./library.test-support.js";

// A device takes the library in while its peer goes on writing: what is new there may refer to what is new in models that
// have been taken in already.

@Entity()
class Room {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
}

@Entity()
class Shelf {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @ManyToOne(() => Room, { nullable: false, onDelete: "CASCADE" }) room!: Room;
}

@Entity()
class Book {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @ManyToOne(() => Shelf, { nullable: false, onDelete: "CASCADE" }) shelf!: Shelf;
}

const PAGE = 50;
const settings = { replication: { pageRecords: PAGE } };

let library: TestLibrary;
beforeEach(() => {
  library = new TestLibrary({ entities: [Room, Shelf, Book], declarations: shared(Room, Shelf, Book) });
});
afterEach(() => library.dispose());

async function addBooks({ dataSource }: TestKernel, prefix: string, count: number): Promise<void> {
  await dataSource.transaction(async (manager) => {
    const room = await manager.save(Room, { uuid: `${prefix}-room` });
    const shelf = await manager.save(Shelf, { uuid: `${prefix}-shelf`, room });
    const books = Array.from({ length: count }, (_, index) => ({
      uuid: `${prefix}-${String(index).padStart(4, "0")}`,
      shelf,
    }));
    await manager.insert(Book, books);
  });
}

/** `b` takes in what `a` has; after its first page of books `a` gets more of them, on a shelf of their own. */
async function backfillWhileBooksCome(): Promise<{ readonly a: TestKernel; readonly b: TestKernel }> {
  const a = await library.device("a", { settings });
  await addBooks(a, "a", 2 * PAGE);
  const b = await library.device("b", { settings, dial: ["a"] });
  await b.next("backfillProgress", ({ model }) => model === "Book");
  await addBooks(a, "z", 20 * PAGE);
  await b.next("backfillCompleted", undefined, { past: true });
  return { a, b };
}

const timesParked = ({ recordedOf }: TestKernel) =>
  recordedOf("batchApplied").reduce((sum, { counts }) => sum + counts.parked, 0);

it("fetches what new records refer to, and what that refers to, instead of keeping them all aside", async () => {
  const { a, b } = await backfillWhileBooksCome();
  // One page shows that the shelf is missing, and the shelf that the room is. Nobody waits for them: some pages follow
  // before they are here.
  expect(timesParked(b)).toBeGreaterThan(0);
  expect(timesParked(b)).toBeLessThan(10 * PAGE);
  expect((await b.tidemark.status()).parked.hidden).toBe(0);
  await library.settle(a, b);
  expectNoViolations(a, b);
});

it("goes on when what they refer to is gone again before it can be asked for", async () => {
  const a = await library.device("a", { settings });
  await addBooks(a, "a", 2 * PAGE);
  const b = await library.device("b", { settings, dial: ["a"] });
  await b.next("backfillProgress", ({ model }) => model === "Book");
  await addBooks(a, "z", 6 * PAGE);
  await a.dataSource.query("DELETE FROM room WHERE uuid = 'z-room'");
  await b.next("backfillCompleted", undefined, { past: true });
  await library.settle(a, b);
  expect(await b.dataSource.query("SELECT count(*) AS n FROM book")).toEqual([{ n: 2 * PAGE }]);
});
