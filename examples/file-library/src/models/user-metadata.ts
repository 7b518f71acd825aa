import { Column, Entity, PrimaryGeneratedColumn } from "typeorm";

/** What a person says about an entry. Shared: edits of different columns on different devices both survive. */
@Entity({ name: "user_metadata" })
export class UserMetadata {
  @PrimaryGeneratedColumn({ type: "integer" })
  id!: number;

  @Column({ type: "text", unique: true })
  uuid!: string;

  @Column({ type: "text", nullable: true })
  notes!: string | null;

  @Column({ type: "boolean", default: false })
  favourite!: boolean;

  /** 1 to 5 stars; null: not rated. */
  @Column({ type: "integer", nullable: true })
  rating!: number | null;
}
