import { Column, Entity, PrimaryGeneratedColumn } from "typeorm";

/** A computer, phone or server of the library's owner. Its identity is the device id of Tidemark's settings. */
@Entity({ name: "device" })
export class Device {
  /** Local, and different on every device; what travels is `uuid`. The same holds for all models. */
  @PrimaryGeneratedColumn({ type: "integer" })
  id!: number;

  @Column({ type: "text", unique: true })
  uuid!: string;

  @Column({ type: "text" })
  name!: string;
}
