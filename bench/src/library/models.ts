import type { EntityDeclaration } from "@tidemark/plugin-api";
import { Column, Entity, Index, JoinColumn, ManyToOne, PrimaryGeneratedColumn } from "typeorm";

/**
 * The models of the library that is measured: those of an application that indexes files, with what costs time kept as it
 * is there. An entry has nine columns, one unique identity, one index, and three references.
 */
@Entity({ name: "device" })
export class Device {
  @PrimaryGeneratedColumn({ type: "integer" })
  id!: number;

  @Column({ type: "text", unique: true })
  uuid!: string;

  @Column({ type: "text" })
  name!: string;
}

@Entity({ name: "location" })
export class Location {
  @PrimaryGeneratedColumn({ type: "integer" })
  id!: number;

  @Column({ type: "text", unique: true })
  uuid!: string;

  @Column({ type: "text" })
  name!: string;

  @Index()
  @ManyToOne(() => Device, { nullable: false, onDelete: "CASCADE" })
  @JoinColumn({ name: "deviceId" })
  device!: Device;
}

@Entity({ name: "content_identity" })
export class ContentIdentity {
  @PrimaryGeneratedColumn({ type: "integer" })
  id!: number;

  @Column({ type: "text", unique: true })
  uuid!: string;

  /** Of the first bytes of the content, in hexadecimal. */
  @Column({ type: "text" })
  hash!: string;

  @Column({ type: "text" })
  kind!: string;

  @Column({ type: "integer" })
  size!: number;
}

@Entity({ name: "user_metadata" })
export class UserMetadata {
  @PrimaryGeneratedColumn({ type: "integer" })
  id!: number;

  @Column({ type: "text", unique: true })
  uuid!: string;

  @Column({ type: "text", nullable: true })
  notes!: string | null;

  @Column({ type: "boolean" })
  favourite!: boolean;

  @Column({ type: "integer", nullable: true })
  rating!: number | null;
}

@Entity({ name: "entry" })
export class Entry {
  @PrimaryGeneratedColumn({ type: "integer" })
  id!: number;

  @Column({ type: "text", unique: true })
  uuid!: string;

  @Column({ type: "text" })
  name!: string;

  @Column({ type: "text" })
  kind!: string;

  @Column({ type: "integer" })
  size!: number;

  /** In microseconds since the Unix epoch. */
  @Column({ type: "integer" })
  mtimeUs!: number;

  @ManyToOne(() => Location, { nullable: false, onDelete: "CASCADE" })
  @JoinColumn({ name: "locationId" })
  location!: Location;

  @Index()
  @ManyToOne(() => ContentIdentity, { nullable: true, onDelete: "SET NULL" })
  @JoinColumn({ name: "contentId" })
  content!: ContentIdentity | null;

  @ManyToOne(() => UserMetadata, { nullable: true, onDelete: "SET NULL" })
  @JoinColumn({ name: "metadataId" })
  metadata!: UserMetadata | null;
}

export const benchEntities = [Device, Location, ContentIdentity, UserMetadata, Entry];

export const benchModels: readonly EntityDeclaration[] = [
  { entity: Device, ownership: { kind: "shared" }, isDevice: true },
  { entity: Location, ownership: { kind: "shared" } },
  { entity: ContentIdentity, ownership: { kind: "shared" } },
  { entity: UserMetadata, ownership: { kind: "shared" } },
  { entity: Entry, ownership: { kind: "device", owner: "location.device" } },
];
