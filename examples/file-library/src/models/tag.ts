import { Column, Entity, PrimaryGeneratedColumn } from "typeorm";

/** A label for entries. Names are not unique: two people may invent the same word while they are apart. */
@Entity({ name: "tag" })
export class Tag {
  @PrimaryGeneratedColumn({ type: "integer" })
  id!: number;

  @Column({ type: "text", unique: true })
  uuid!: string;

  @Column({ type: "text" })
  name!: string;

  /** As in CSS, e.g. `#1f77b4`. */
  @Column({ type: "text" })
  colour!: string;
}
