import { Column, Entity, Index, JoinColumn, ManyToOne, PrimaryGeneratedColumn } from "typeorm";
import { Volume } from "./volume.js";

/** A directory of a volume that is indexed, with all that it holds. */
@Entity({ name: "location" })
export class Location {
  @PrimaryGeneratedColumn({ type: "integer" })
  id!: number;

  @Column({ type: "text", unique: true })
  uuid!: string;

  @Column({ type: "text" })
  name!: string;

  /** Where the directory is on its own device; absolute. */
  @Column({ type: "text" })
  path!: string;

  @Index()
  @ManyToOne(() => Volume, { nullable: false, onDelete: "CASCADE" })
  @JoinColumn({ name: "volumeId" })
  volume!: Volume;
}
