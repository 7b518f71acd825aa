// What the tests of bad input share: a small library, and a way to tell whether anything in a database has changed.

import { Column, Entity, JoinTable, ManyToMany, ManyToOne, PrimaryGeneratedColumn } from "typeorm";
import { onTestFinished } from "vitest";
import { createTestKernel, type TestKernel, type TestKernelOptions } from "../testing/test-kernel.js";

@Entity()
export class Tag {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) name!: string;
  @Column({ type: "integer", nullable: true }) weight!: number | null;
}

@Entity()
export class Folder {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) name!: string;
  @ManyToOne(() => Folder, { nullable: true, onDelete: "CASCADE" }) parent!: Folder | null;
}

@Entity()
export class Note {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "text" }) text!: string;
  @ManyToOne(() => Folder, { nullable: false, onDelete: "CASCADE" }) folder!: Folder;
  @ManyToMany(() => Tag) @JoinTable() tags!: Tag[];
}

export const entities = [Tag, Folder, Note];
export const models = ["Tag", "Folder", "Note", "Note.tags"];
export const declarations = entities.map((entity) => ({ entity, ownership: { kind: "shared" as const } }));

/** A kernel of this library that lives until `disposeKernels`. */
export async function device(name: string, options: Partial<TestKernelOptions> = {}): Promise<TestKernel> {
  return await createTestKernel({ device: name, entities, declarations, ...options });
}

/** A kernel of this library that is disposed of after the test. */
export async function testDevice(name: string, options: Partial<TestKernelOptions> = {}): Promise<TestKernel> {
  const kernel = await device(name, options);
  onTestFinished(() => kernel.dispose());
  return kernel;
}

/** A little of everything. */
export async function fill({ dataSource }: TestKernel): Promise<void> {
  const tag = await dataSource.getRepository(Tag).save({ uuid: "t1", name: "red", weight: 1 });
  const root = await dataSource.getRepository(Folder).save({ uuid: "f1", name: "root", parent: null });
  const child = await dataSource.getRepository(Folder).save({ uuid: "f2", name: "child", parent: root });
  await dataSource.getRepository(Note).save({ uuid: "n1", text: "hello", folder: child, tags: [tag] });
}

export async function digests(kernel: TestKernel): Promise<unknown> {
  return Promise.all(models.map((model) => kernel.tidemark.digest(model)));
}

/** Changes of every session, whatever is said in it: the token, the fence and the account of failures. */
const RESTLESS: Readonly<Record<string, string>> = {
  tidemark_state: "id, format, library, device, self, hlc, floor, sequence, log_id, ready",
  tidemark_peer: "member, log_id, position, full_backfill",
};

/** All rows of all tables, those of Tidemark included. */
export async function contents({ dataSource }: TestKernel): Promise<Readonly<Record<string, unknown>>> {
  const tables = (await dataSource.query(
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name",
  )) as { name: string }[];
  const rows: Record<string, unknown> = {};
  for (const { name } of tables) {
    const found = (await dataSource.query(`SELECT ${RESTLESS[name] ?? "*"} FROM "${name}"`)) as unknown[];
    rows[name] = found.map((row) => JSON.stringify(row)).sort();
  }
  return rows;
}
