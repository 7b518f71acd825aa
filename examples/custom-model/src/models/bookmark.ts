import { Synced } from "@tidemark/core";
import { Column, Entity, JoinColumn, ManyToOne, PrimaryColumn } from "typeorm";
import { Device } from "./device.js";
import { Note } from "./note.js";

/**
 * Where a device has stopped reading a note, so that the others can offer to go on there. Only that device may move it.
 * Its key consists of references, and so does its identity: a device has one bookmark in a note.
 */
@Entity()
@Synced({ ownership: { kind: "device", owner: "device" } })
export class Bookmark {
  @PrimaryColumn("text") deviceId!: string;

  @PrimaryColumn("integer") noteId!: number;

  @ManyToOne(() => Device, { nullable: false, onDelete: "CASCADE" }) @JoinColumn({ name: "deviceId" }) device!: Device;

  @ManyToOne(() => Note, { nullable: false, onDelete: "CASCADE" }) @JoinColumn({ name: "noteId" }) note!: Note;

  @Column("integer") line!: number;
}
