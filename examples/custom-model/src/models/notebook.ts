import { Synced } from "@tidemark/core";
import { Column, Entity, Generated, PrimaryGeneratedColumn } from "typeorm";

/** Holds notes. Anybody may change it, as all that is shared. */
@Entity()
@Synced({ ownership: { kind: "shared" } })
export class Notebook {
  /** Local: the same notebook has another one on every device. Tidemark translates references to it. */
  @PrimaryGeneratedColumn() id!: number;

  /** What travels: which notebook this is. */
  @Column("text", { unique: true }) @Generated("uuid") uuid!: string;

  @Column("text") title!: string;
}
