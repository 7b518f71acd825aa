import { Synced } from "@tidemark/core";
import { Column, Entity, Generated, JoinTable, ManyToMany, ManyToOne, PrimaryGeneratedColumn } from "typeorm";
import { Label } from "./label.js";
import { Notebook } from "./notebook.js";

/**
 * A note. Each column is merged by itself: one device may change the title and another the text, and both stay. The
 * references, and the table that joins notes and labels, come along by themselves.
 */
@Entity()
@Synced({ ownership: { kind: "shared" } })
export class Note {
  @PrimaryGeneratedColumn() id!: number;

  @Column("text", { unique: true }) @Generated("uuid") uuid!: string;

  @Column("text") title!: string;

  @Column("text") text!: string;

  @Column("boolean", { default: false }) pinned!: boolean;

  @ManyToOne(() => Notebook, { nullable: false, onDelete: "CASCADE" }) notebook!: Notebook;

  @ManyToMany(() => Label, { onDelete: "CASCADE" }) @JoinTable({ name: "note_label" }) labels!: Label[];
}
