import { Synced } from "@tidemark/core";
import { Column, Entity, ManyToOne, PrimaryColumn } from "typeorm";
import { Note } from "./note.js";

/** A file that belongs to a note. A new one gets its identity where it is made; there is no local key beside it. */
@Entity()
@Synced({ ownership: { kind: "shared" } })
export class Attachment {
  @PrimaryColumn("text") id: string = crypto.randomUUID();

  @Column("text") fileName!: string;

  /** As it is, up to the setting `replication.maxFrameBytes`, 16 MiB by default. Larger files belong beside the database. */
  @Column("blob") bytes!: Buffer;

  @ManyToOne(() => Note, { nullable: false, onDelete: "CASCADE" }) note!: Note;
}
