import { Column, Entity, Index, JoinColumn, JoinTable, ManyToMany, ManyToOne, PrimaryGeneratedColumn } from "typeorm";
import { ContentIdentity } from "./content-identity.js";
import { Location } from "./location.js";
import { Tag } from "./tag.js";
import { UserMetadata } from "./user-metadata.js";

export type EntryKind = "file" | "directory" | "symlink" | "other";

/**
 * A file or directory of a location. Only the device that holds the location may change it; anybody may tag it and edit
 * its metadata, for those are records of their own.
 */
@Entity({ name: "entry" })
@Index(["location", "inode"])
export class Entry {
  @PrimaryGeneratedColumn({ type: "integer" })
  id!: number;

  @Column({ type: "text", unique: true })
  uuid!: string;

  /** For people. Where `nameBytes` is set, what could not be decoded reads U+FFFD. */
  @Column({ type: "text" })
  name!: string;

  /** The name as it is on disk, only where it is not valid UTF-8. */
  @Column({ type: "blob", nullable: true })
  nameBytes!: Buffer | null;

  @Column({ type: "text" })
  kind!: EntryKind;

  /** In bytes; 0 for all but files and symbolic links. */
  @Column({ type: "integer" })
  size!: number;

  /** Time of the last change of the content, in microseconds since the Unix epoch: exact in a JavaScript number. */
  @Column({ type: "integer" })
  mtimeUs!: number;

  /** Permissions and type as in `stat`. */
  @Column({ type: "integer" })
  mode!: number;

  /** File number on its volume, as text because some file systems go beyond 2^53. Tells a moved file from a new one. */
  @Column({ type: "text" })
  inode!: string;

  /** When it was made, in microseconds since the Unix epoch. File systems give the inodes of deleted files to new ones. */
  @Column({ type: "integer", nullable: true })
  birthUs!: number | null;

  @ManyToOne(() => Location, { nullable: false, onDelete: "CASCADE" })
  @JoinColumn({ name: "locationId" })
  location!: Location;

  /** The directory that holds this entry; null: it lies in the location itself. */
  @Index()
  @ManyToOne(() => Entry, { nullable: true, onDelete: "CASCADE" })
  @JoinColumn({ name: "parentId" })
  parent!: Entry | null;

  /** Null for all but files, and for files that could not be read. */
  @Index()
  @ManyToOne(() => ContentIdentity, { nullable: true, onDelete: "SET NULL" })
  @JoinColumn({ name: "contentId" })
  content!: ContentIdentity | null;

  @Index()
  @ManyToOne(() => UserMetadata, { nullable: true, onDelete: "SET NULL" })
  @JoinColumn({ name: "metadataId" })
  metadata!: UserMetadata | null;

  @ManyToMany(() => Tag)
  @JoinTable({
    name: "entry_tag",
    joinColumn: { name: "entryId", referencedColumnName: "id" },
    inverseJoinColumn: { name: "tagId", referencedColumnName: "id" },
  })
  tags!: Tag[];
}
