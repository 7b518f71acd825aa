import { Synced } from "@tidemark/core";
import { Column, Entity, PrimaryColumn } from "typeorm";

/**
 * A word for notes. Its identity is made from the word itself, so that two devices that invent the same one while they
 * are apart have made one label, not two that get in each other's way.
 */
@Entity()
@Synced({ ownership: { kind: "shared" } })
export class Label {
  /** The word in small letters, without blanks: identities have none. */
  @PrimaryColumn("text") id!: string;

  @Column("text") name!: string;

  /** As in CSS. */
  @Column("text") colour!: string;

  static of({ name, colour }: { readonly name: string; readonly colour: string }): Label {
    return Object.assign(new Label(), { id: name.toLowerCase().split(/\s+/).join("-"), name, colour });
  }
}
