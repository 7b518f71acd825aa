// The library of the tests: entries with three references each, folders that form a tree, and labels with uuid keys.

import {
  createTestKernel,
  InMemoryNetwork,
  ManualClock,
  SeededRandom,
  type TestKernel,
  type TestKernelOptions,
} from "@tidemark/core/testing";
import { Column, Entity, JoinColumn, ManyToOne, PrimaryColumn, PrimaryGeneratedColumn } from "typeorm";
import { onTestFinished } from "vitest";

@Entity()
export class Location {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
}

@Entity()
export class Content {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
}

@Entity()
export class Kind {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
}

@Entity()
export class Entry {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @ManyToOne(() => Location, { nullable: false }) @JoinColumn({ name: "location_id" }) location!: Location;
  @ManyToOne(() => Content, { nullable: false }) @JoinColumn({ name: "content_id" }) content!: Content;
  @ManyToOne(() => Kind, { nullable: false }) @JoinColumn({ name: "kind_id" }) kind!: Kind;
}

/** Its own uuid is its key, so references hold the identity itself. */
@Entity()
export class Label {
  @PrimaryColumn({ type: "varchar" }) uuid!: string;
}

@Entity()
export class Folder {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @ManyToOne(() => Folder, { nullable: true, onDelete: "SET NULL" })
  @JoinColumn({ name: "parent_id" })
  parent!: Folder | null;
  @ManyToOne(() => Folder, { nullable: true, onDelete: "SET NULL" })
  @JoinColumn({ name: "twin_id" })
  twin!: Folder | null;
  @ManyToOne(() => Label, { nullable: true, onDelete: "SET NULL" })
  @JoinColumn({ name: "label_id" })
  label!: Label | null;
  @ManyToOne(() => Location, { nullable: true, onDelete: "SET NULL" })
  @JoinColumn({ name: "location_id" })
  location!: Location | null;
}

/** Requires its folder: without it, it can't be in its table. */
@Entity()
export class Note {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @ManyToOne(() => Folder, { nullable: false, onDelete: "CASCADE" })
  @JoinColumn({ name: "folder_id" })
  folder!: Folder;
}

export const entities = [Location, Content, Kind, Entry, Label, Folder, Note];
export const models = entities.map(({ name }) => name);

/** Devices of one library, disposed of when the test is over. */
export class TestDevices {
  readonly clock = new ManualClock();
  readonly network = new InMemoryNetwork({ clock: this.clock, random: new SeededRandom(1) });

  /** A device that runs, with `rows` in its tables before. */
  async start(
    device: string,
    {
      rows = [],
      ...options
    }: Partial<TestKernelOptions> & {
      /** Statements that fill the tables. */
      readonly rows?: readonly string[];
    } = {},
  ): Promise<TestKernel> {
    const kernel = await createTestKernel({
      device,
      entities,
      declarations: entities.map((entity) => ({ entity, ownership: { kind: "shared" } })),
      clock: this.clock,
      network: this.network,
      ...options,
    });
    onTestFinished(() => kernel.dispose());
    if (rows.length > 0) {
      await kernel.dataSource.initialize();
      for (const statement of rows) await kernel.dataSource.query(statement);
    }
    await kernel.tidemark.start();
    return kernel;
  }

  /** Lets time pass until the devices hold the same; fails when they don't come to that. */
  async settle(...kernels: readonly TestKernel[]): Promise<void> {
    for (let turn = 0, calm = 0; calm < 3; turn++) {
      if (turn === 200) throw new Error("the devices did not come into step");
      await this.clock.advance(300);
      const states = await Promise.all(kernels.map(digestsOf));
      const idle = await Promise.all(kernels.map(isIdle));
      calm = idle.every(Boolean) && new Set(states.map((state) => JSON.stringify(state))).size === 1 ? calm + 1 : 0;
    }
  }
}

export function digestsOf(kernel: TestKernel): Promise<unknown> {
  return Promise.all(models.map((model) => kernel.tidemark.digest(model)));
}

async function isIdle(kernel: TestKernel): Promise<boolean> {
  const { origin, backfill, outbox } = await kernel.tidemark.status();
  return origin !== null && backfill === null && outbox === 0;
}

/** `count` rows of a table, by an expression over `n`, which goes from 1 to `count`. */
export function fill(table: string, columns: string, count: number, values: string): string {
  return `WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ${count})
          INSERT INTO "${table}" (${columns}) SELECT ${values} FROM numbers`;
}
