import { Column, Entity, JoinTable, ManyToMany, ManyToOne, PrimaryGeneratedColumn } from "typeorm";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { TestKernel } from "../testing/test-kernel.js";
import { expectNoViolations, shared, TestLibrary } from "./library.test-support.js";

// A device joins with records of its own that refer to one which the library has, too, and which has died and been made
// again there meanwhile: in its new life it is younger than anything that the joiner has written.

@Entity()
class Folder {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar", default: "" }) name!: string;
}

@Entity()
class Item {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @ManyToOne(() => Folder, { nullable: true, onDelete: "SET NULL" }) shortcut!: Folder | null;
}

@Entity()
class Page {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @ManyToOne(() => Folder, { nullable: false, onDelete: "CASCADE" }) folder!: Folder;
  @ManyToMany(() => Folder) @JoinTable() links!: Folder[];
}

let library: TestLibrary;
beforeEach(() => {
  library = new TestLibrary({ entities: [Folder, Item, Page], declarations: shared(Folder, Item, Page) });
});
afterEach(() => library.dispose());

const shown = async ({ dataSource }: TestKernel) => ({
  items: await dataSource.query(
    "SELECT i.uuid, f.uuid AS shortcut FROM item i LEFT JOIN folder f ON f.id = i.shortcutId ORDER BY 1",
  ),
  pages: await dataSource.query("SELECT p.uuid, f.uuid AS folder FROM page p JOIN folder f ON f.id = p.folderId"),
  links: await dataSource.query("SELECT f.uuid FROM page_links_folder l JOIN folder f ON f.id = l.folderId"),
});

describe("what a joining device has, and what refers to a later life of the library's record,", () => {
  it("is the same on both sides, and nothing of it is lost", async () => {
    const a = await library.device("a");
    await a.dataSource.query("INSERT INTO folder (uuid) VALUES ('f'), ('other')");
    // Somebody who keeps the others from forgetting.
    const c = await library.device("c", { dial: ["a"] });
    await library.settle(a, c);
    await c.tidemark.stop();
    await a.dataSource.query("DELETE FROM folder WHERE uuid = 'f'");
    await a.dataSource.query("INSERT INTO folder (uuid) VALUES ('f')");
    await a.tidemark.digest("Folder");
    const b = await library.device("b", {
      dial: ["a"],
      before: async ({ dataSource }) => {
        await dataSource.query("INSERT INTO folder (uuid) VALUES ('f')");
        await dataSource.query("INSERT INTO item (uuid, shortcutId) SELECT 'i', id FROM folder");
        await dataSource.query("INSERT INTO page (uuid, folderId) SELECT 'p', id FROM folder");
        await dataSource.query(
          "INSERT INTO page_links_folder (pageId, folderId) SELECT p.id, f.id FROM page p, folder f",
        );
      },
    });
    await library.clock.advance(10_000);
    const [here, there] = [await shown(a), await shown(b)];
    expect(there).toEqual(here);
    expect(here).toEqual({
      items: [{ uuid: "i", shortcut: "f" }],
      pages: [{ uuid: "p", folder: "f" }],
      links: [{ uuid: "f" }],
    });
    expectNoViolations(a, b);
    await library.settle(a, b);
  });
});
