import { Column, Entity, Index, JoinColumn, ManyToOne, PrimaryGeneratedColumn } from "typeorm";
import { Device } from "./device.js";

/** A disk of a device. */
@Entity({ name: "volume" })
export class Volume {
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
