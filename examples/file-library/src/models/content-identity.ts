import { Column, Entity, PrimaryGeneratedColumn } from "typeorm";

/** What a file's content is, judged by its first bytes and never by its name, so that all devices judge alike. */
export type ContentKind = "empty" | "text" | "image" | "archive" | "program" | "binary";

/**
 * A content, wherever it lies. Its uuid is made from its hash (uuid v5), so two devices that hold the same file create
 * the same record, without having met.
 */
@Entity({ name: "content_identity" })
export class ContentIdentity {
  @PrimaryGeneratedColumn({ type: "integer" })
  id!: number;

  @Column({ type: "text", unique: true })
  uuid!: string;

  /** SHA-256 in hexadecimal. */
  @Column({ type: "text" })
  hash!: string;

  /** In bytes. */
  @Column({ type: "integer" })
  size!: number;

  @Column({ type: "text" })
  kind!: ContentKind;
}
