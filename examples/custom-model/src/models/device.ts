import { Synced } from "@tidemark/core";
import { Column, Entity, PrimaryColumn } from "typeorm";

/** A computer or phone of the notes' owner. Each device writes its own record, and nobody else's. */
@Entity()
@Synced({ ownership: { kind: "device", owner: "" }, isDevice: true })
export class Device {
  /** The `device.id` of Tidemark's settings. */
  @PrimaryColumn("text") id!: string;

  @Column("text") name!: string;
}
